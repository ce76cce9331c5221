#include <coroutine>

#include "greenback/await.h"

struct Executor;

// As an awaiter of corral's tasks.
struct Awaiter {
#ifdef MUST_NOT_COMPILE
  void await_set_executor(Executor*) noexcept {}
#endif
  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) {
    return handle;
  }
  int await_resume() && { return 42; }
};

int Ask() { return greenback::Await(Awaiter()); }
