#include <coroutine>

#include "greenback/await.h"

struct Awaiter {
#ifdef MUST_NOT_COMPILE
  void await_ready() const {}
#else
  bool await_ready() const { return false; }
#endif
  void await_suspend(std::coroutine_handle<>) const {}
  int await_resume() const { return 42; }
};

int Ask() { return greenback::Await(Awaiter()); }
