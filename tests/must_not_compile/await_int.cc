#include "greenback/await.h"
#include "greenback/runtime/co.h"

greenback::Co<int> Answer();

int Ask() {
#ifdef MUST_NOT_COMPILE
  return greenback::Await(42);
#else
  return greenback::Await(Answer());
#endif
}
