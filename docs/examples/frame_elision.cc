// What clang does to a coroutine that a plain function awaits, and the cure
// that Await() has; see docs/principle.md. Prints "resumed" twice. With
// UNGUARDED, clang at -O2 without exceptions makes it jump to address 0.
#include <coroutine>
#include <cstdio>

struct Task {
  struct promise_type {
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
  ~Task() { handle.destroy(); }
};

std::coroutine_handle<> ready;
int resumed = 0;

struct Checkpoint {
  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept {
    ready = handle;
  }
  void await_resume() noexcept {}
};

Task Awaited() {
  co_await Checkpoint();
  ++resumed;
  std::puts("resumed");
}

// Stands for the switch to the loop, and is as opaque.
__attribute__((noinline)) void RunLoop() {
  asm volatile("" ::: "memory");
  ready.resume();
}

void Synchronous() {
  Task task = Awaited();
#ifndef UNGUARDED
  asm volatile("" : : "r"(&task) : "memory");
#endif
  task.handle.resume();
  RunLoop();
}

int main() {
  Synchronous();
  Synchronous();
  return resumed == 2 ? 0 : 1;
}
