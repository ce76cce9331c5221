#include "greenback/runtime/co.h"
#include "util/with_async_context.h"

struct Lease {
  greenback::Co<int> Enter();
#ifndef MUST_NOT_COMPILE
  greenback::Co<void> Exit(greenback::ExitReason reason);
#endif
};

int Use() {
  return greenback::WithAsyncContext(Lease(), [](int n) { return n; });
}
