#include "greenback/runtime/co.h"

greenback::Co<int> Answer();

greenback::Co<int> Ask() {
#ifdef MUST_NOT_COMPILE
  int answer = co_await 42;
#else
  int answer = co_await Answer();
#endif
  co_return answer;
}
