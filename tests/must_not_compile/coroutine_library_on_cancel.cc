#include "greenback/coroutine_library.h"
#include "greenback/portal.h"
#include "tests/support/owned_coroutine.h"

template <>
struct greenback::CoroutineLibrary<greenback::OwnedCoroutine::promise_type> {
  using Promise = greenback::OwnedCoroutine::promise_type;
  template <class Stop>
#ifdef MUST_NOT_COMPILE
  static void OnCancel(Promise&, Stop) {
  }
#else
  static Stop OnCancel(Promise&, Stop stop) {
    return stop;
  }
#endif
};

greenback::OwnedCoroutine Call() {
  co_await greenback::WithPortalRunSync([] {});
}
