#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

greenback::Co<void> Serve(greenback::TaskStatus<int> started, const char* name);

greenback::Co<absl::StatusOr<int>> Spawn(greenback::Nursery& nursery) {
#ifdef MUST_NOT_COMPILE
  return nursery.Start<int>(Serve, 42);
#else
  return nursery.Start<int>(Serve, "forty-two");
#endif
}
