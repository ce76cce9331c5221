// Where the examples of instrument/ stand.
#include <string>

#include "absl/status/status.h"
#include "greenback/greenback.h"
#include "instrument/greenback_instrument.h"

using greenback::Co;

Co<void> Main();

namespace auto_portal_instrument {
void Example() {
  // EXAMPLE instrument/auto_portal_instrument.h 1
}
}  // namespace auto_portal_instrument

namespace portals_for_children {
Co<void> Serve();
Co<void> Example() {
  // EXAMPLE instrument/portals_for_children.h 1
}
}  // namespace portals_for_children

namespace portals_for_tree {
void ReadAll();
Co<void> SendAll(greenback::Nursery& nursery);
Co<void> Example() {
  // EXAMPLE instrument/portals_for_tree.h 1
}
}  // namespace portals_for_tree

namespace with_portal_run_tree {
Co<void> ImportAll(std::string directory);
Co<void> Example(std::string directory) {
  // EXAMPLE instrument/with_portal_run_tree.h 1
}
}  // namespace with_portal_run_tree
