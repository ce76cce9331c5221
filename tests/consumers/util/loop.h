// A loop and coroutines of this program's own. All that they know of greenback
// is how to open a portal.
#ifndef LOOP_H_
#define LOOP_H_

#include <coroutine>
#include <deque>
#include <exception>
#include <utility>

#include "greenback/portal.h"

inline std::deque<std::coroutine_handle<>> ready;

// An awaitable: suspends once, and returns `value`.
template <class T>
struct Later {
  T value;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) {
    ready.push_back(coroutine);
  }
  T await_resume() { return std::move(value); }
};

struct Job {
  struct promise_type {
    Job get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

inline Job StartInPortal(void (*fn)()) {
  co_await greenback::WithPortalRunSync(fn);
}

// Calls fn(), a plain function that may wait, and returns when it has.
inline void RunInPortal(void (*fn)()) {
  StartInPortal(fn);
  while (!ready.empty()) {
    std::coroutine_handle<> next = ready.front();
    ready.pop_front();
    next.resume();
  }
}

#endif  // LOOP_H_
