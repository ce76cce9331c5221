#include <coroutine>
#include <utility>

#include "greenback/runtime/co.h"

struct Awaiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const {}
  int await_resume() && { return 42; }
};

greenback::Co<int> Ask(Awaiter awaiter) {
#ifdef MUST_NOT_COMPILE
  co_return co_await awaiter;
#else
  co_return co_await std::move(awaiter);
#endif
}
