#include "greenback/coroutine_library.h"
#include "greenback/portal.h"
#include "tests/support/owned_coroutine.h"

struct Executor {};

template <>
struct greenback::CoroutineLibrary<greenback::OwnedCoroutine::promise_type> {
  using Promise = greenback::OwnedCoroutine::promise_type;
#ifdef MUST_NOT_COMPILE
  static Executor Context(Promise&) { return {}; }
#else
  static Executor* Context(Promise&) { return nullptr; }
#endif
};

greenback::OwnedCoroutine Call() {
  co_await greenback::WithPortalRunSync([] {});
}
