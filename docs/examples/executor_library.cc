// A coroutine library with an executor, as docs/hosts.md shows it: its
// awaitables reach the executor below a portal, too, and frames that a thread
// of another library completes continue on it.
#include <coroutine>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/coroutine_library.h"
#include "greenback/greenback.h"

// Another library: its coroutines run in a loop, on one thread.
namespace mylib {

class Executor {
 public:
  // On any thread.
  void Schedule(std::coroutine_handle<> next) {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(next);
  }
  void RunAll() {
    while (const std::coroutine_handle<> next = Take()) next.resume();
  }

 private:
  std::coroutine_handle<> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.empty()) return nullptr;
    const std::coroutine_handle<> first = queue_.front();
    queue_.pop_front();
    return first;
  }

  std::mutex mutex_;
  std::deque<std::coroutine_handle<>> queue_;
};

// A coroutine that runs on an executor from Spawn() on, and is destroyed when
// it ends.
struct Task {
  struct promise_type {
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }

    Executor* executor = nullptr;
  };
  std::coroutine_handle<promise_type> handle;
};

void Spawn(Executor& executor, Task task) {
  task.handle.promise().executor = &executor;
  executor.Schedule(task.handle);
}

// co_await Yield() lets others run. It finds the executor in the promise.
struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<Task::promise_type> waiter) const {
    waiter.promise().executor->Schedule(waiter);
  }
  void await_resume() const noexcept {}
};

}  // namespace mylib

// What greenback needs to be told about it, once.
template <>
struct greenback::CoroutineLibrary<mylib::Task::promise_type> {
  using Promise = mylib::Task::promise_type;
  static mylib::Executor* Context(Promise& promise) { return promise.executor; }
  static void Resume(Promise& promise, std::coroutine_handle<> frames) {
    promise.executor->Schedule(frames);
  }
};

// Yield() for everything but the library's own coroutines.
struct YieldOn {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    executor->Schedule(waiter);
  }
  void await_resume() const noexcept {}
  mylib::Executor* executor;
};
template <>
struct greenback::AwaitableAdapter<mylib::Yield> {
  static YieldOn Adapt(mylib::Yield) {
    return {greenback::OuterContext<mylib::Executor>()};
  }
};

// A third library, with callbacks.
class Oracle {
 public:
  void Ask(std::function<void(int)> done) { asked_.push_back(std::move(done)); }
  // Answers on a thread of its own.
  void AnswerAll() {
    std::thread([this] {
      for (const auto& done : std::exchange(asked_, {})) done(42);
    }).join();
  }

 private:
  std::vector<std::function<void(int)>> asked_;
};

// Plain code, which waits for the library's awaitable and for the oracle.
void Work(const char* name, Oracle& oracle) {
  std::printf("%s begins\n", name);
  greenback::Await(mylib::Yield());
  std::printf("%s asks\n", name);
  const int answer = greenback::Await(
      greenback::FromCallback<int>([&oracle](auto done) { oracle.Ask(done); }));
  std::printf("%s continues with %d\n", name, answer);
}

mylib::Task Call(const char* name, Oracle& oracle) {
  co_await greenback::WithPortalRunSync(Work, name, std::ref(oracle));
  co_await mylib::Yield();
  std::printf("%s ends\n", name);
}

int main() {
  mylib::Executor executor;
  Oracle oracle;
  mylib::Spawn(executor, Call("ann", oracle));
  mylib::Spawn(executor, Call("bob", oracle));
  executor.RunAll();
  oracle.AnswerAll();
  std::printf("a thread has answered\n");
  executor.RunAll();
}
