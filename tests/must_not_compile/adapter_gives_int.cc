#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/runtime/co.h"

struct Question {};
greenback::Co<int> Answer();

template <>
struct greenback::AwaitableAdapter<Question> {
#ifdef MUST_NOT_COMPILE
  static int Adapt(Question&&) { return 42; }
#else
  static greenback::Co<int> Adapt(Question&&) { return Answer(); }
#endif
};

int Ask() { return greenback::Await(Question()); }
