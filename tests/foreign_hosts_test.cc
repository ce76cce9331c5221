// The suite for the coroutines of other libraries, on two that are written
// here: one as plain as can be, and one with lazy tasks that await each other.
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/foreign_host_suite.h"

namespace greenback {
namespace {

// Calls what is posted on any thread, on the one that runs it.
class CallLoop {
 public:
  void Post(std::function<void()> call) {
    const std::lock_guard<std::mutex> lock(mutex_);
    calls_.push_back(std::move(call));
    changed_.notify_one();
  }
  template <class Predicate>
  void RunUntil(Predicate is_over) {
    while (!is_over()) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !calls_.empty(); });
      const std::function<void()> call = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      call();
    }
  }

  // Completes in this loop.
  struct Soon {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      loop->Post([waiter] { waiter.resume(); });
    }
    void await_resume() const noexcept {}
    CallLoop* loop;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> calls_;
};

// The end of a coroutine is noted in its loop.
struct NoteEnd {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    Promise& promise = ended.promise();
    promise.loop->Post([&promise] { promise.has_ended = true; });
  }
  void await_resume() const noexcept {}
};

// Owns a coroutine, and destroys it wherever it stands.
template <class Promise>
class Owner {
 public:
  explicit Owner(Promise& promise)
      : handle_(std::coroutine_handle<Promise>::from_promise(promise)) {}
  Owner(Owner&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Owner() { Destroy(); }

  Promise& promise() const { return handle_.promise(); }
  std::coroutine_handle<Promise> handle() const { return handle_; }
  void Destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

 private:
  std::coroutine_handle<Promise> handle_;
};

// What the two have in common.
template <class Running>
class LoopHost {
 public:
  void RunToEnd(Running& running) {
    loop_.RunUntil([&] { return running.promise().has_ended; });
  }
  CallLoop::Soon Soon() { return {&loop_}; }
  void Destroy(Running& running) { running.Destroy(); }

  static constexpr const char* kNoDestroy = nullptr;
  static constexpr const char* kNoHop = nullptr;

 protected:
  CallLoop loop_;
};

// ------------------------------------------------------------- a plain library

struct EagerPromise;
struct EagerTask : Owner<EagerPromise> {
  using promise_type = EagerPromise;
  using Owner::Owner;
};
// Runs until it first waits.
struct EagerPromise {
  EagerTask get_return_object() { return EagerTask(*this); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  NoteEnd final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() const noexcept { std::terminate(); }

  CallLoop* loop = nullptr;
  bool has_ended = false;
};

class EagerHost : public LoopHost<EagerTask> {
 public:
  using Task = EagerTask;
  template <class Body>
  EagerTask Start(Body& body) {
    EagerTask task = body();
    task.promise().loop = &loop_;
    task.handle().resume();
    return task;
  }
  static constexpr const char* kNoCancel = "it has no cancellation";
  void Cancel(EagerTask&) {}
};

// --------------------------------- a library with lazy tasks and a stop token

struct LazyPromise;
// Begins when it is awaited, and has the stop token of its awaiter.
class LazyTask : public Owner<LazyPromise> {
 public:
  using promise_type = LazyPromise;
  using Owner::Owner;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiter);
  void await_resume() const noexcept {}
};
struct LazyPromise {
  struct Transfer {
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<LazyPromise> ended) const noexcept {
      return ended.promise().waiter;
    }
    void await_resume() const noexcept {}
  };

  LazyTask get_return_object() { return LazyTask(*this); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  Transfer final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() const noexcept { std::terminate(); }
  std::stop_token get_stop_token() const { return token; }

  std::coroutine_handle<> waiter;
  std::stop_token token;
};
template <class Promise>
std::coroutine_handle<> LazyTask::await_suspend(
    std::coroutine_handle<Promise> waiter) {
  promise().waiter = waiter;
  if constexpr (requires { waiter.promise().get_stop_token(); }) {
    promise().token = waiter.promise().get_stop_token();
  }
  return handle();
}

// The outermost coroutine.
struct RootPromise;
struct RootTask : Owner<RootPromise> {
  using promise_type = RootPromise;
  using Owner::Owner;
};
struct RootPromise {
  RootTask get_return_object() { return RootTask(*this); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  NoteEnd final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() const noexcept { std::terminate(); }
  std::stop_token get_stop_token() const { return stop.get_token(); }

  std::stop_source stop;
  CallLoop* loop = nullptr;
  bool has_ended = false;
};

class LazyHost : public LoopHost<RootTask> {
 public:
  using Task = LazyTask;
  template <class Body>
  RootTask Start(Body& body) {
    const auto root = [](Body& body) -> RootTask { co_await body(); };
    RootTask task = root(body);
    task.promise().loop = &loop_;
    task.handle().resume();
    return task;
  }
  static constexpr const char* kNoCancel = nullptr;
  void Cancel(RootTask& running) { running.promise().stop.request_stop(); }
};

using Hosts = testing::Types<EagerHost, LazyHost>;
INSTANTIATE_TYPED_TEST_SUITE_P(WrittenHere, ForeignHostTest, Hosts);

// A task of the library is awaited below a portal, and has its stop token.
TEST(LazyHostTest, R21_ATaskOfTheLibraryIsCancelledBelowAPortal) {
  LazyHost host;
  std::function<void(bool)> end;
  bool completed = true;
  const auto inner = [&]() -> LazyTask {
    co_await WithPortalRunSync([&] {
      completed = Await(FromCallback<bool>(
          [&](auto done) { end = std::move(done); }, [&] { end(false); }));
    });
  };
  const auto outer = [&]() -> LazyTask {
    co_await WithPortalRunSync([&] { Await(inner()); });
  };
  RootTask running = host.Start(outer);
  host.Cancel(running);
  host.RunToEnd(running);
  EXPECT_FALSE(completed);
}

}  // namespace
}  // namespace greenback
