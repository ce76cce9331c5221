#include <coroutine>

#include "greenback/runtime/co.h"

struct Promise;

struct Awaiter {
  bool await_ready() const { return false; }
#ifdef MUST_NOT_COMPILE
  void await_suspend(std::coroutine_handle<Promise>) const {}
#else
  void await_suspend(std::coroutine_handle<>) const {}
#endif
  int await_resume() const { return 42; }
};

greenback::Co<int> Ask() { co_return co_await Awaiter(); }
