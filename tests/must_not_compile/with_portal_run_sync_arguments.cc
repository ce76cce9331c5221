#include "greenback/portal.h"
#include "greenback/runtime/co.h"

int Answer(const char* question);

greenback::Co<int> Ask() {
#ifdef MUST_NOT_COMPILE
  int answer = co_await greenback::WithPortalRunSync(Answer, 42);
#else
  int answer = co_await greenback::WithPortalRunSync(Answer, "6 * 7");
#endif
  co_return answer;
}
