#include "greenback/runtime/co.h"
#include "util/with_async_context.h"

struct Lease {
  greenback::Co<int> Enter();
  greenback::Co<void> Exit(greenback::ExitReason reason);
};

int Use() {
#ifdef MUST_NOT_COMPILE
  return greenback::WithAsyncContext(Lease(), [](int*) { return 1; });
#else
  return greenback::WithAsyncContext(Lease(), [](int) { return 1; });
#endif
}
