#include "greenback/runtime/co.h"
#include "util/async_context.h"

struct Lease {
#ifdef MUST_NOT_COMPILE
  int Enter();
#else
  greenback::Co<int> Enter();
#endif
  greenback::Co<void> Exit();
};

int Use() {
  greenback::AsyncContext lease{Lease()};
  return 1;
}
