#include "greenback/runtime/co.h"
#include "util/async_context.h"

struct Lease {
  greenback::Co<int> Enter();
#ifdef MUST_NOT_COMPILE
  greenback::Co<int> Exit();
#else
  greenback::Co<bool> Exit();
#endif
};

int Use() {
  greenback::AsyncContext lease{Lease()};
  return 1;
}
