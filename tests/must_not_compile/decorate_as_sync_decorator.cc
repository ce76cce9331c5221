#include "greenback/runtime/co.h"
#include "util/decorate_as_sync.h"

greenback::Co<int> Fetch(int id);

greenback::Co<int> Ask() {
  const auto plain = [](auto fn) { return fn; };
#ifdef MUST_NOT_COMPILE
  const auto decorator = [](int) { return 1; };
#else
  const auto decorator = plain;
#endif
  auto fetch = greenback::DecorateAsSync(plain)(Fetch);
  static_cast<void>(greenback::DecorateAsSync(decorator)(Fetch));
  co_return co_await fetch(7);
}
