#include "greenback/runtime/co.h"
#include "util/decorate_as_sync.h"

greenback::Co<int> Fetch(int id);

greenback::Co<int> Ask() {
  const auto plain = [](auto fn) { return fn; };
  auto fetch = greenback::DecorateAsSync(plain)(Fetch);
#ifdef MUST_NOT_COMPILE
  co_return co_await fetch("seven");
#else
  co_return co_await fetch(7);
#endif
}
