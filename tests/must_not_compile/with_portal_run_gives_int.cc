#include "greenback/portal.h"
#include "greenback/runtime/co.h"

#ifdef MUST_NOT_COMPILE
int Answer();
#else
greenback::Co<int> Answer();
#endif

greenback::Co<int> Ask() {
  int answer = co_await greenback::WithPortalRun(Answer);
  co_return answer;
}
