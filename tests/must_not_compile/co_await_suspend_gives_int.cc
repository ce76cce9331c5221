#include <coroutine>

#include "greenback/runtime/co.h"

struct Awaiter {
  bool await_ready() const { return false; }
#ifdef MUST_NOT_COMPILE
  int await_suspend(std::coroutine_handle<>) const { return 0; }
#else
  bool await_suspend(std::coroutine_handle<>) const { return false; }
#endif
  int await_resume() const { return 42; }
};

greenback::Co<int> Ask() { co_return co_await Awaiter(); }
