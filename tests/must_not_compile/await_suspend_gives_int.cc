#include <coroutine>

#include "greenback/await.h"

struct Awaiter {
  bool await_ready() const { return false; }
#ifdef MUST_NOT_COMPILE
  int await_suspend(std::coroutine_handle<>) const { return 0; }
#else
  bool await_suspend(std::coroutine_handle<>) const { return false; }
#endif
  int await_resume() const { return 42; }
};

int Ask() { return greenback::Await(Awaiter()); }
