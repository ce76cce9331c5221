#include "greenback/runtime/co.h"
#include "util/decorate_as_sync.h"

greenback::Co<int> Fetch(int id);

void Decorate() {
#ifdef MUST_NOT_COMPILE
  const auto decorator = [](auto) {};
#else
  const auto decorator = [](auto fn) { return fn; };
#endif
  static_cast<void>(greenback::DecorateAsSync(decorator)(Fetch));
}
