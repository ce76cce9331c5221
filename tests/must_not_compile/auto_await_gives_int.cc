#include "greenback/runtime/co.h"
#include "util/auto_await.h"

greenback::Co<int> Fetch(int id);
int Look(int id);

int Ask() {
#ifdef MUST_NOT_COMPILE
  return greenback::AutoAwait(Look)(7);
#else
  return greenback::AutoAwait(Fetch)(7);
#endif
}
