// What reaches below a portal of what a coroutine library does for the
// awaitables of its coroutines. The libraries here are written by hand: one
// with an executor, several with a token for cancellation, and one whose
// coroutines do more to an awaiter than the compiler does.
#include "greenback/coroutine_library.h"

#include <concepts>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

// A coroutine of a library whose promises derive from Base. It runs from
// Start() on, and is destroyed with this object, wherever it stands.
template <class Base>
class LibraryTask {
 public:
  struct promise_type : Base {
    LibraryTask get_return_object() {
      return LibraryTask(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };

  LibraryTask(LibraryTask&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~LibraryTask() {
    if (handle_) handle_.destroy();
  }

  Base& promise() const { return handle_.promise(); }
  void Start() const { handle_.resume(); }
  bool done() const { return handle_.done(); }

 private:
  explicit LibraryTask(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

// Leaves a mark when it is destroyed, and how.
struct Mark {
  std::vector<std::string>& log;
  std::string name;
  ~Mark() {
    log.push_back(name +
                  (std::uncaught_exceptions() > 0 ? " unwound" : " left"));
  }
};

// Not std::this_thread::get_id() where it is used: compilers keep its value in
// functions that Await().
__attribute__((noinline)) std::thread::id ThisThreadId() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

// Suspends its awaiter until Open(), whose argument the await returns.
class Gate {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      gate->waiter_ = waiter;
    }
    absl::StatusOr<int> await_resume() const { return gate->value_; }
    Gate* gate;
  };
  Awaiter operator co_await() { return {this}; }

  void Open(int value) {
    value_ = value;
    std::exchange(waiter_, nullptr).resume();
  }
  void OpenOnAnotherThread(int value) {
    std::thread([&] { Open(value); }).join();
  }

 private:
  std::coroutine_handle<> waiter_;
  int value_ = 0;
};

Co<absl::StatusOr<int>> WaitInACo(Gate& gate) { co_return co_await gate; }

// ------------------------------------------------- A library with an executor

// A queue of what is to be resumed. RunAll() is its loop, on any thread.
class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor() { Drop(); }

  void Schedule(std::coroutine_handle<> frames) {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(frames);
  }
  int RunAll() {
    int resumed = 0;
    for (; const std::coroutine_handle<> next = Take(); ++resumed) {
      next.resume();
    }
    return resumed;
  }
  // Destroys what is scheduled.
  void Drop() {
    while (const std::coroutine_handle<> next = Take()) next.destroy();
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

struct ExecutorPromise {
  Executor* executor = nullptr;
};
using ExecutorTask = LibraryTask<ExecutorPromise>;

// Lets others run. It is for the library's own coroutines.
struct Yield {
  bool await_ready() const noexcept { return false; }
  template <std::derived_from<ExecutorPromise> Promise>
  void await_suspend(std::coroutine_handle<Promise> waiter) const {
    waiter.promise().executor->Schedule(waiter);
  }
  void await_resume() const noexcept {}
};

// The same for everything else.
struct YieldOn {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    executor->Schedule(waiter);
  }
  void await_resume() const noexcept {}
  Executor* executor;
};

}  // namespace

template <std::derived_from<ExecutorPromise> Promise>
struct CoroutineLibrary<Promise> {
  static Executor* Context(Promise& promise) { return promise.executor; }
  static void Resume(Promise& promise, std::coroutine_handle<> frames) {
    promise.executor->Schedule(frames);
  }
};

template <>
struct AwaitableAdapter<Yield> {
  static YieldOn Adapt(Yield) { return {OuterContext<Executor>()}; }
};

namespace {

// Calls `fn` in a coroutine of the library.
template <class Fn>
ExecutorTask CallOn(Executor& executor, Fn fn) {
  const auto body = [](Fn fn) -> ExecutorTask {
    co_await Yield();
    co_await WithPortalRunSync(std::move(fn));
  };
  ExecutorTask task = body(std::move(fn));
  task.promise().executor = &executor;
  task.Start();
  return task;
}

TEST(CoroutineLibraryTest, R21_AnAdapterFindsTheExecutorOfTheCoroutine) {
  Executor executor;
  std::vector<std::string> log;
  const auto yield_in_a_co = [&]() -> Co<void> {
    EXPECT_EQ(OuterContext<Executor>(), &executor);
    co_await Yield();
    EXPECT_EQ(OuterContext<Executor>(), &executor);
  };
  const auto call = [&] {
    EXPECT_EQ(OuterContext<Executor>(), &executor);
    EXPECT_EQ(OuterContext<int>(), nullptr) << "the library has no such thing";
    Await(Yield());
    log.push_back("one");
    Await(yield_in_a_co());
    log.push_back("two");
  };
  const ExecutorTask a = CallOn(executor, call);
  const ExecutorTask b = CallOn(executor, call);
  EXPECT_EQ(log.size(), 0u);
  EXPECT_GE(executor.RunAll(), 6);
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
  EXPECT_EQ(log, (std::vector<std::string>{"one", "one", "two", "two"}));
}

TEST(CoroutineLibraryTest, R21_ThereIsNoContextElsewhere) {
  EXPECT_EQ(OuterContext<Executor>(), nullptr);
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(OuterContext<Executor>(), nullptr);
    co_return;
  });
  // A coroutine that is resumed inside the call is not of the library.
  const auto plain = []() -> LibraryTask<std::allocator<int>> {
    co_await WithPortalRunSync(
        [] { EXPECT_EQ(OuterContext<Executor>(), nullptr); });
  };
  Executor executor;
  const ExecutorTask task = CallOn(executor, [&] {
    const auto inner = plain();
    inner.Start();
    EXPECT_TRUE(inner.done());
    EXPECT_EQ(OuterContext<Executor>(), &executor);
  });
  executor.RunAll();
  EXPECT_TRUE(task.done());
}

TEST(CoroutineLibraryTest, R21_FramesContinueOnTheExecutor) {
  Executor executor;
  Gate gate;
  int sum = 0;
  const std::thread::id here = ThisThreadId();
  const ExecutorTask task = CallOn(executor, [&] {
    sum += *Await(gate);
    EXPECT_EQ(ThisThreadId(), here);
    sum += *Await(WaitInACo(gate));
    EXPECT_EQ(ThisThreadId(), here);
  });
  executor.RunAll();
  for (const int value : {40, 2}) {
    const int before = sum;
    gate.OpenOnAnotherThread(value);
    EXPECT_EQ(sum, before) << "only the executor continues it";
    EXPECT_EQ(executor.RunAll(), 1);
    EXPECT_EQ(sum, before + value);
  }
  EXPECT_TRUE(task.done());
}

// Resumes what is scheduled on a thread of its own.
class ThreadOf {
 public:
  ThreadOf() : thread_([this] { Loop(); }) {}
  ~ThreadOf() {
    Schedule(nullptr);
    thread_.join();
  }

  void Schedule(std::coroutine_handle<> frames) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(frames);
    }
    changed_.notify_one();
  }
  bool IsHere() const { return ThisThreadId() == thread_.get_id(); }

 private:
  void Loop() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !queue_.empty(); });
      const std::coroutine_handle<> next = queue_.front();
      queue_.pop_front();
      lock.unlock();
      if (!next) return;
      next.resume();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> queue_;
  std::thread thread_;
};

struct ThreadPromise {
  ThreadOf* home = nullptr;
};

// Hops to a thread.
struct HopTo {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    thread->Schedule(waiter);
  }
  void await_resume() const noexcept {}
  ThreadOf* thread;
};

}  // namespace

// A reference serves as well as a pointer.
template <std::derived_from<ThreadPromise> Promise>
struct CoroutineLibrary<Promise> {
  static ThreadOf& Context(Promise& promise) { return *promise.home; }
  static void Resume(Promise& promise, std::coroutine_handle<> frames) {
    promise.home->Schedule(frames);
  }
};

namespace {

TEST(CoroutineLibraryTest, R21_FramesAlwaysComeHomeFromAnotherThread) {
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  int wrong = 0;
  // Destroyed when its thread has ended.
  std::optional<LibraryTask<ThreadPromise>> task;
  ThreadOf home;
  ThreadOf elsewhere;
  const auto hop_in_a_co = [&]() -> Co<void> {
    co_await HopTo(&elsewhere);
    wrong += !home.IsHere();
  };
  const auto body = [&]() -> LibraryTask<ThreadPromise> {
    co_await WithPortalRunSync([&] {
      Await(HopTo(&home));
      EXPECT_EQ(OuterContext<ThreadOf>(), &home);
      for (int i = 0; i < 500; ++i) {
        Await(HopTo(&elsewhere));
        wrong += !home.IsHere();
        Await(hop_in_a_co());
        wrong += !home.IsHere();
      }
    });
    wrong += !home.IsHere();
    const std::lock_guard<std::mutex> lock(mutex);
    ended = true;
    changed.notify_one();
  };
  task.emplace(body());
  task->promise().home = &home;
  task->Start();
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return ended; });
  EXPECT_EQ(wrong, 0);
}

#if defined(__cpp_exceptions)

TEST(CoroutineLibraryTest, R21_FramesThatTheExecutorDestroysAreUnwoundOnce) {
  Executor executor;
  Gate gate;
  std::vector<std::string> log;
  {
    const ExecutorTask task = CallOn(executor, [&] {
      const Mark mark{log, "call"};
      (void)Await(gate);
      log.push_back("not reached");
    });
    executor.RunAll();
    gate.OpenOnAnotherThread(1);
    EXPECT_EQ(log.size(), 0u);
    executor.Drop();
    EXPECT_EQ(log, std::vector<std::string>{"call unwound"});
    EXPECT_FALSE(task.done()) << "nothing resumes it any more";
  }
  EXPECT_EQ(log.size(), 1u);
}

TEST(CoroutineLibraryTest, R21_SoAreThoseWithACoBetween) {
  Executor executor;
  Gate gate;
  std::vector<std::string> log;
  const auto wait = [&]() -> Co<void> {
    const Mark mark{log, "inner"};
    (void)co_await gate;
    log.push_back("not reached");
  };
  {
    const ExecutorTask task = CallOn(executor, [&] {
      const Mark mark{log, "call"};
      Await(wait());
    });
    executor.RunAll();
    gate.OpenOnAnotherThread(1);
    executor.Drop();
    EXPECT_FALSE(task.done());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"inner unwound", "call unwound"}));
}

// Coroutines that hide their promise from every awaiter but those that have a
// function coAwait(), which receives their executor.
struct HidingPromise : ExecutorPromise {
  template <class A>
  struct Hidden {
    A inner;
    bool await_ready() const noexcept { return inner.await_ready(); }
    auto await_suspend(std::coroutine_handle<> waiter) {
      return inner.await_suspend(waiter);
    }
    decltype(auto) await_resume() { return inner.await_resume(); }
  };
  template <class A>
  auto await_transform(A&& awaitable) {
    if constexpr (requires { std::forward<A>(awaitable).coAwait(nullptr); }) {
      return std::forward<A>(awaitable).coAwait(executor);
    } else {
      return Hidden<A>{std::forward<A>(awaitable)};
    }
  }
};

TEST(CoroutineLibraryTest, R21_ACallSeesThePromiseOfCoroutinesThatHideIt) {
  Executor executor;
  Executor* in_function = nullptr;
  Executor* in_co = nullptr;
  const auto body = [&]() -> LibraryTask<HidingPromise> {
    co_await std::suspend_always();
    co_await WithPortalRunSync([&] { in_function = OuterContext<Executor>(); });
    co_await WithPortalRun([&]() -> Co<void> {
      in_co = OuterContext<Executor>();
      co_return;
    });
  };
  const LibraryTask<HidingPromise> task = body();
  task.promise().executor = &executor;
  task.Start();
  task.Start();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(in_function, &executor);
  EXPECT_EQ(in_co, &executor);
}

// A coroutine that belongs to whoever holds its handle, and the handle of what
// waits in it. It may have an executor.
template <bool kHasExecutor>
struct HandleOwned {
  struct promise_type {
    HandleOwned get_return_object() {
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

struct HandleOwnedLibrary {
  template <class Promise>
  static void Destroy(std::coroutine_handle<Promise> coroutine) {
    coroutine.destroy();
  }
};

}  // namespace

template <>
struct CoroutineLibrary<HandleOwned<false>::promise_type> : HandleOwnedLibrary {
};
template <>
struct CoroutineLibrary<HandleOwned<true>::promise_type> : HandleOwnedLibrary {
  static void Resume(HandleOwned<true>::promise_type& promise,
                     std::coroutine_handle<> frames) {
    promise.executor->Schedule(frames);
  }
};

namespace {

// Owns the handle of what waits for it.
class Holder {
 public:
  // Destroys the handle when it receives it if `destroys_at_once`.
  explicit Holder(bool destroys_at_once = false)
      : destroys_at_once_(destroys_at_once) {}
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { Drop(); }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    if (destroys_at_once_) {
      waiter.destroy();
    } else {
      waiter_ = waiter;
    }
  }
  void await_resume() const noexcept {}

  void Complete() { std::exchange(waiter_, nullptr).resume(); }
  void Drop() {
    if (waiter_) std::exchange(waiter_, nullptr).destroy();
  }
  // What waited has been destroyed.
  void Forget() { waiter_ = nullptr; }

 private:
  const bool destroys_at_once_;
  std::coroutine_handle<> waiter_;
};

class HandleOwnedTest : public testing::Test {
 protected:
  // Waits for `holder` in a call of a coroutine. Returns the handle of that.
  template <bool kHasExecutor>
  std::coroutine_handle<> Start(Holder& holder) {
    const auto body = [](std::vector<std::string>& log,
                         Holder& holder) -> HandleOwned<kHasExecutor> {
      const Mark coroutine_mark{log, "coroutine"};
      const auto wait = [&] {
        const Mark call_mark{log, "call"};
        Await(holder);
      };
      co_await WithPortalRunSync(wait);
      log.push_back("resumed");
    };
    const auto handle = body(log_, holder).handle;
    handle.promise().executor = &executor_;
    handle.resume();
    return handle;
  }

  Executor executor_;
  std::vector<std::string> log_;
  const std::vector<std::string> kDestroyed = {"call unwound",
                                               "coroutine left"};
};

TEST_F(HandleOwnedTest, R19_ItIsDestroyedWithTheFramesInIt) {
  Holder holder;
  Start<false>(holder);
  EXPECT_TRUE(log_.empty());
  holder.Drop();
  EXPECT_EQ(log_, kDestroyed);
}

TEST_F(HandleOwnedTest, R19_AlsoWhereTheWaitBegins) {
  Holder holder(true);
  Start<false>(holder);
  EXPECT_EQ(log_, kDestroyed);
}

TEST_F(HandleOwnedTest, R19_AlsoAfterTheWayHome) {
  Holder holder;
  Start<true>(holder);
  holder.Drop();
  EXPECT_TRUE(log_.empty());
  executor_.RunAll();
  EXPECT_EQ(log_, kDestroyed);
}

TEST_F(HandleOwnedTest, R19_AlsoOnTheWayHome) {
  Holder holder;
  Start<true>(holder);
  holder.Complete();
  EXPECT_TRUE(log_.empty());
  executor_.Drop();
  EXPECT_EQ(log_, kDestroyed);
}

TEST_F(HandleOwnedTest, R19_OnlyOnce) {
  Holder holder;
  Start<false>(holder).destroy();
  holder.Forget();
  EXPECT_EQ(log_, kDestroyed);
}

TEST_F(HandleOwnedTest, R19_NotWhereTheCallHasEnded) {
  Holder holder;
  Start<true>(holder);
  holder.Complete();
  executor_.RunAll();
  EXPECT_EQ(log_, (std::vector<std::string>{"call left", "resumed",
                                            "coroutine left"}));
}

#else

TEST(CoroutineLibraryTest, R21_AStatusSaysThatTheExecutorHasDestroyedFrames) {
  Executor executor;
  Gate gate;
  absl::StatusCode code = absl::StatusCode::kOk;
  const ExecutorTask task =
      CallOn(executor, [&] { code = Await(gate).status().code(); });
  executor.RunAll();
  gate.OpenOnAnotherThread(1);
  executor.Drop();
  EXPECT_EQ(code, absl::StatusCode::kCancelled);
  EXPECT_FALSE(task.done());
}

#endif

// --------------------------------------------- Libraries that cancel by a
// token

// A promise with a member get_stop_token().
struct WithStopToken {
  struct Promise {
    std::stop_token token;
    std::stop_token get_stop_token() const { return token; }
  };
};

// A promise with an environment that has one.
struct WithEnvironment {
  struct Environment {
    std::stop_token token;
    std::stop_token get_stop_token() const { return token; }
  };
  struct Promise {
    std::stop_token token;
    Environment get_env() const { return {token}; }
  };
};

// A promise with a token of a type of its own, of the standard's structure.
struct WithOwnStopToken {
  struct Token {
    template <class Fn>
    struct callback_type {
      callback_type(Token token, Fn fn)
          : callback(std::move(token.token), std::move(fn)) {}
      std::stop_callback<Fn> callback;
    };
    bool stop_requested() const noexcept { return token.stop_requested(); }
    bool stop_possible() const noexcept { return token.stop_possible(); }
    std::stop_token token;
  };
  struct Promise {
    std::stop_token token;
    Token get_stop_token() const { return {token}; }
  };
};

// A promise with a token of a type of its own, for which OnCancel() is written.
struct WithOnCancel {
  template <class Fn>
  struct CancelCallback {
    CancelCallback(std::stop_token token, Fn fn)
        : callback(std::move(token), std::move(fn)) {}
    CancelCallback(const CancelCallback&) = delete;
    CancelCallback& operator=(const CancelCallback&) = delete;
    std::stop_callback<Fn> callback;
  };
  struct Promise {
    std::stop_token token;
  };
};

}  // namespace

template <std::derived_from<WithOnCancel::Promise> Promise>
struct CoroutineLibrary<Promise> {
  template <class Stop>
  static auto OnCancel(Promise& promise, Stop stop) {
    return WithOnCancel::CancelCallback(promise.token, std::move(stop));
  }
};

namespace {

// An operation of a callback API, which ends when it is cancelled, in the
// middle of that.
class Operation {
 public:
  // Whether it has completed.
  auto Wait() {
    return FromCallback<bool>([this](auto done) { done_ = std::move(done); },
                              [this] {
                                ++cancels_;
                                End(false);
                              });
  }
  void Complete() { End(true); }
  int cancels() const { return cancels_; }

 private:
  void End(bool completed) {
    const std::function<void(bool)> done = std::exchange(done_, nullptr);
    done(completed);
  }

  std::function<void(bool)> done_;
  int cancels_ = 0;
};

// Ends when a stop is requested of the token that it finds in the promise of
// its awaiter. Two callbacks, so that one remains when the first ends the wait.
class UntilStopped {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
      requires requires(Promise& promise) { promise.get_stop_token(); }
    void await_suspend(std::coroutine_handle<Promise> waiter) const {
      const std::stop_token token = waiter.promise().get_stop_token();
      UntilStopped& self = *until;
      self.other_.emplace(token, Ignore());
      self.resume_.emplace(token, Resume{waiter, &self.is_stopped_});
    }
    void await_suspend(std::coroutine_handle<>) const {
      ADD_FAILURE() << "the promise has no stop token";
    }
    bool await_resume() const {
      until->resume_.reset();
      until->other_.reset();
      return until->is_stopped_;
    }
    UntilStopped* until;
  };
  Awaiter operator co_await() { return {this}; }

 private:
  struct Ignore {
    void operator()() const {}
  };
  struct Resume {
    void operator()() const {
      *is_stopped = true;
      waiter.resume();
    }
    std::coroutine_handle<> waiter;
    bool* is_stopped;
  };

  bool is_stopped_ = false;
  std::optional<std::stop_callback<Ignore>> other_;
  std::optional<std::stop_callback<Resume>> resume_;
};

// Has two things notified of a cancellation: a stop token, and the operation.
class BothNotified {
  using Inner = decltype(std::declval<Operation&>().Wait().operator co_await());

 public:
  explicit BothNotified(Operation& operation)
      : inner_(operation.Wait().operator co_await()) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiter) {
    if constexpr (requires { waiter.promise().get_stop_token(); }) {
      token_ = waiter.promise().get_stop_token();
    }
    return inner_.await_suspend(waiter);
  }
  bool await_resume() { return inner_.await_resume(); }

 private:
  Inner inner_;
  std::stop_token token_;
};

template <class Library>
class CancellationTest : public testing::Test {
 protected:
  using Task = LibraryTask<typename Library::Promise>;

  // Calls `fn` in a coroutine of the library.
  template <class Fn>
  Task Call(Fn fn) {
    const auto body = [](Fn fn) -> Task {
      co_await WithPortalRunSync(std::move(fn));
    };
    Task task = body(std::move(fn));
    task.promise().token = source_.get_token();
    task.Start();
    return task;
  }

  std::stop_source source_;
  Operation operation_;
};
using Libraries = testing::Types<WithStopToken, WithEnvironment,
                                 WithOwnStopToken, WithOnCancel>;
TYPED_TEST_SUITE(CancellationTest, Libraries);

TYPED_TEST(CancellationTest, R21_ReachesTheCallbackApiInAnAwait) {
  std::vector<bool> completed;
  const auto task = this->Call([&] {
    completed.push_back(Await(this->operation_.Wait()));
    completed.push_back(Await(this->operation_.Wait()));
  });
  this->operation_.Complete();
  EXPECT_EQ(completed, std::vector<bool>{true});
  EXPECT_FALSE(task.done());
  this->source_.request_stop();
  EXPECT_EQ(completed, (std::vector<bool>{true, false}));
  EXPECT_TRUE(task.done());
  EXPECT_EQ(this->operation_.cancels(), 1);
}

TYPED_TEST(CancellationTest, R21_ReachesTheCallbackApiInACo) {
  bool completed = true;
  const auto inner = [&]() -> Co<bool> {
    co_return co_await this->operation_.Wait();
  };
  const auto outer = [&]() -> Co<bool> { co_return co_await inner(); };
  const auto task = this->Call([&] { completed = Await(outer()); });
  EXPECT_FALSE(task.done());
  this->source_.request_stop();
  EXPECT_TRUE(task.done());
  EXPECT_FALSE(completed);
  EXPECT_EQ(this->operation_.cancels(), 1);
}

TYPED_TEST(CancellationTest, R21_MayComeFromAnotherThread) {
  std::vector<bool> completed;
  const auto wait = [&]() -> Co<bool> {
    co_return co_await this->operation_.Wait();
  };
  const auto task = this->Call([&] {
    completed.push_back(Await(this->operation_.Wait()));
    completed.push_back(Await(wait()));
  });
  std::thread([&] { this->source_.request_stop(); }).join();
  EXPECT_TRUE(task.done()) << "what waits afterwards is cancelled at once";
  EXPECT_EQ(completed, (std::vector<bool>{false, false}));
  EXPECT_EQ(this->operation_.cancels(), 2);
}

TYPED_TEST(CancellationTest, R21_MayHaveComeBeforeTheCall) {
  this->source_.request_stop();
  std::vector<bool> completed;
  const auto wait = [&]() -> Co<bool> {
    co_return co_await this->operation_.Wait();
  };
  const auto task = this->Call([&] {
    completed.push_back(Await(this->operation_.Wait()));
    completed.push_back(Await(wait()));
  });
  EXPECT_TRUE(task.done());
  EXPECT_EQ(completed, (std::vector<bool>{false, false}));
  EXPECT_EQ(this->operation_.cancels(), 2);
}

TYPED_TEST(CancellationTest, R21_MayRaceWithTheStartAndTheEndOfAWait) {
  for (int i = 0; i < 200; ++i) {
    std::stop_source source;
    std::swap(source, this->source_);
    bool completed = true;
    std::thread canceller([&] { this->source_.request_stop(); });
    std::optional<typename TestFixture::Task> task;
    task.emplace(
        this->Call([&] { completed = Await(this->operation_.Wait()); }));
    canceller.join();
    ASSERT_TRUE(task->done());
    ASSERT_FALSE(completed);
  }
  EXPECT_EQ(this->operation_.cancels(), 200);
}

TYPED_TEST(CancellationTest, R21_AnAwaitableFindsAStopTokenInItsPromise) {
  UntilStopped first;
  UntilStopped second;
  UntilStopped third;
  std::vector<bool> stopped;
  const auto wait = [&]() -> Co<bool> { co_return co_await second; };
  const auto task = this->Call([&] {
    stopped.push_back(Await(first));
    stopped.push_back(Await(wait()));
    stopped.push_back(Await(third));
  });
  EXPECT_FALSE(task.done());
  this->source_.request_stop();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(stopped, std::vector<bool>(3, true));
}

// Two things wait for the cancellation, of which the first ends the call, and
// with it the coroutine that owns both.
TYPED_TEST(CancellationTest, R21_MayEndTheCallWhileMoreIsToBeNotified) {
  std::optional<typename TestFixture::Task> task;
  bool was_destroyed = false;
  // Waits for the task, and destroys it.
  const auto destroy = [&]() -> LibraryTask<std::allocator<int>> {
    task.reset();
    was_destroyed = true;
    co_return;
  };
  const LibraryTask<std::allocator<int>> owner = destroy();
  const auto body = [&]() -> typename TestFixture::Task {
    co_await WithPortalRunSync([&] {
      const bool completed = Await(BothNotified(this->operation_));
      EXPECT_FALSE(completed);
    });
    struct Next {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) const { owner->Start(); }
      void await_resume() const noexcept {}
      const LibraryTask<std::allocator<int>>* owner;
    };
    co_await Next{&owner};
  };
  task.emplace(body());
  task->promise().token = this->source_.get_token();
  task->Start();
  EXPECT_FALSE(was_destroyed);
  this->source_.request_stop();
  EXPECT_TRUE(was_destroyed);
}

TYPED_TEST(CancellationTest, R21_IsSeenByCheckpoints) {
  std::vector<absl::StatusCode> codes;
  const auto checkpoint = [&]() -> Co<void> {
    const absl::Status status = co_await EnsurePortal();
    codes.push_back(status.code());
  };
  const auto call = [&] {
    codes.push_back(Await(EnsurePortal()).code());
    Await(checkpoint());
  };
  EXPECT_TRUE(this->Call(call).done());
  this->source_.request_stop();
  EXPECT_TRUE(this->Call(call).done());
  EXPECT_EQ(codes,
            (std::vector<absl::StatusCode>{
                absl::StatusCode::kOk, absl::StatusCode::kOk,
                absl::StatusCode::kCancelled, absl::StatusCode::kCancelled}));
}

TEST(CoroutineLibraryTest, R21_ATokenThatCannotStopIsNotAsked) {
  Operation operation;
  bool completed = false;
  const auto body = [&]() -> LibraryTask<WithStopToken::Promise> {
    co_await WithPortalRunSync([&] { completed = Await(operation.Wait()); });
  };
  const auto task = body();
  task.Start();
  operation.Complete();
  EXPECT_TRUE(task.done());
  EXPECT_TRUE(completed);
}

// ----------------------- A library whose coroutines do more to their awaiters
//
// As corral's do: they set an executor before they suspend, and cancel what
// they await by functions of the awaiter, which may end without a result.

namespace structured {

struct Executor {};

class Awaited {
 public:
  virtual ~Awaited() = default;
  virtual bool Cancel(std::coroutine_handle<> handle) = 0;
  virtual bool MustResume() const = 0;
};

class Promise {
 public:
  Promise() : proxy_(MakeProxy(*this).handle) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() { proxy_.destroy(); }

  Executor* executor = nullptr;

  template <class A>
  auto await_transform(A&& awaitable) {
    return Hooked<A>(*this, std::forward<A>(awaitable));
  }

  void Cancel() {
    if (awaited_ == nullptr) {
      is_cancel_requested_ = true;
      return;
    }
    is_cancelling_ = true;
    if (awaited_->Cancel(proxy_)) End();
  }
  // It has ended without a result, and is to be destroyed.
  bool was_cancelled() const { return was_cancelled_; }

 private:
  template <class A>
  class Hooked;
  struct OnResume {
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const {
      return promise->Resumed();
    }
    void await_resume() const noexcept {}
    Promise* promise;
  };
  // What awaiters resume.
  struct Proxy {
    struct promise_type {
      Proxy get_return_object() {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() const noexcept { return {}; }
      std::suspend_always final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
    std::coroutine_handle<> handle;
  };
  static Proxy MakeProxy(Promise& promise) {
    for (;;) co_await OnResume{&promise};
  }

  std::coroutine_handle<> Resumed() {
    Awaited* const awaited = std::exchange(awaited_, nullptr);
    if (std::exchange(is_cancelling_, false)) {
      if (!awaited->MustResume()) return End();
      is_cancel_requested_ = true;
    }
    return coroutine_;
  }
  std::coroutine_handle<> End() {
    awaited_ = nullptr;
    is_cancelling_ = false;
    was_cancelled_ = true;
    return std::noop_coroutine();
  }

  std::coroutine_handle<> proxy_;
  std::coroutine_handle<> coroutine_;
  Awaited* awaited_ = nullptr;
  bool is_cancel_requested_ = false;
  bool is_cancelling_ = false;
  bool was_cancelled_ = false;
};

template <class A>
class Promise::Hooked final : public Awaited {
  using Inner = decltype(GetAwaiter(std::declval<A>()));

 public:
  Hooked(Promise& promise, A&& awaitable)
      : promise_(promise), inner_(GetAwaiter(std::forward<A>(awaitable))) {}

  bool await_ready() const noexcept {
    return !promise_.is_cancel_requested_ && inner_.await_ready();
  }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> coroutine) {
    promise_.coroutine_ = coroutine;
    promise_.awaited_ = this;
    if (std::exchange(promise_.is_cancel_requested_, false)) {
      if (EarlyCancel()) return promise_.End();
      promise_.is_cancelling_ = true;
      if (inner_.await_ready()) return promise_.proxy_;
    }
    if constexpr (requires { inner_.await_set_executor(promise_.executor); }) {
      inner_.await_set_executor(promise_.executor);
    }
    const std::coroutine_handle<> proxy = promise_.proxy_;
    if constexpr (std::is_void_v<decltype(inner_.await_suspend(proxy))>) {
      inner_.await_suspend(proxy);
      return std::noop_coroutine();
    } else {
      if (inner_.await_suspend(proxy)) return std::noop_coroutine();
      return proxy;
    }
  }
  decltype(auto) await_resume() { return inner_.await_resume(); }

  bool Cancel(std::coroutine_handle<> handle) override {
    return inner_.await_cancel(handle);
  }
  bool MustResume() const override { return inner_.await_must_resume(); }

 private:
  bool EarlyCancel() {
    if constexpr (requires { inner_.await_early_cancel(); }) {
      return inner_.await_early_cancel();
    } else {
      return true;
    }
  }

  Promise& promise_;
  Inner inner_;
};

using Task = LibraryTask<Promise>;

// An awaitable of the library, and what happens to it.
class Wait {
 public:
  // How it takes a cancellation.
  bool cancels_at_once = true;
  bool cancels_early = true;
  bool must_resume = false;

  Executor* executor = nullptr;
  std::vector<std::string> log;

  class Awaiter {
   public:
    explicit Awaiter(Wait& wait) : wait_(&wait) {}
    bool await_ready() const noexcept { return false; }
    void await_set_executor(Executor* executor) noexcept {
      wait_->executor = executor;
    }
    bool await_early_cancel() noexcept {
      wait_->log.push_back("early cancel");
      return wait_->cancels_early;
    }
    void await_suspend(std::coroutine_handle<> waiter) {
      wait_->log.push_back("start");
      wait_->waiter_ = waiter;
    }
    bool await_cancel(std::coroutine_handle<>) noexcept {
      wait_->log.push_back("cancel");
      return wait_->cancels_at_once;
    }
    bool await_must_resume() const noexcept { return wait_->must_resume; }
    absl::StatusOr<int> await_resume() {
      wait_->log.push_back("result");
      return 42;
    }

   private:
    Wait* wait_;
  };
  Awaiter operator co_await() { return Awaiter(*this); }

  void Complete() { std::exchange(waiter_, nullptr).resume(); }

 private:
  std::coroutine_handle<> waiter_;
};

// An awaitable that has nothing but a function that cancels it.
struct Sleep {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  std::true_type await_cancel(std::coroutine_handle<>) const noexcept {
    ++*cancels;
    return {};
  }
  absl::Status await_resume() const noexcept { return absl::OkStatus(); }
  int* cancels;
};

}  // namespace structured

class StructuredTest : public testing::Test {
 protected:
  using Task = structured::Task;

  // Calls `fn`, which is to await `wait_`, in a coroutine of the library.
  template <class Fn>
  Task Call(Fn fn) {
    const auto body = [](Fn fn, int& results) -> Task {
      co_await WithPortalRunSync(std::move(fn));
      ++results;
    };
    Task task = body(std::move(fn), results_);
    task.promise().executor = &executor_;
    task.Start();
    return task;
  }
  Co<absl::StatusOr<int>> WaitInACo() {
    const Mark mark{log_, "co"};
    absl::StatusOr<int> result = co_await wait_;
    co_return result;
  }
  // Waits, and passes on a status as programs without exceptions do.
  void WaitBelow(bool in_a_co) {
    const Mark mark{log_, "call"};
    const absl::StatusOr<int> result =
        in_a_co ? Await(WaitInACo()) : Await(wait_);
    if (!result.ok()) return;
    log_.push_back("has a result");
  }

  structured::Executor executor_;
  structured::Wait wait_;
  int results_ = 0;  // calls that have ended with one
  std::vector<std::string> log_;
};

#if defined(__cpp_exceptions)
constexpr char kUnwound[] = " unwound";
#else
constexpr char kUnwound[] = " left";
#endif

using Log = std::vector<std::string>;

TEST_F(StructuredTest, R21_TheExecutorReachesAwaitersBelowThePortal) {
  for (const bool in_a_co : {false, true}) {
    wait_.executor = nullptr;
    const Task task = Call([&] {
      EXPECT_EQ(OuterContext<structured::Executor>(), &executor_);
      WaitBelow(in_a_co);
    });
    EXPECT_EQ(wait_.executor, &executor_);
    wait_.Complete();
    EXPECT_TRUE(task.done());
  }
  EXPECT_EQ(results_, 2);
}

TEST_F(StructuredTest, R21_ACancelledCallEndsWithoutAResult) {
  const Task task = Call([&] { WaitBelow(false); });
  EXPECT_EQ(wait_.log, Log{"start"});
  task.promise().Cancel();
  EXPECT_TRUE(task.promise().was_cancelled());
  EXPECT_EQ(wait_.log, (Log{"start", "cancel"}));
  EXPECT_EQ(log_, Log{std::string("call") + kUnwound});
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_SoDoesOneWithACoBetween) {
  const Task task = Call([&] { WaitBelow(true); });
  task.promise().Cancel();
  EXPECT_TRUE(task.promise().was_cancelled());
  EXPECT_EQ(wait_.log, (Log{"start", "cancel"}));
  EXPECT_EQ(log_, (Log{std::string("co") + kUnwound,
                       std::string("call") + kUnwound}));
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_AnAwaiterMayHaveNothingButAwaitCancel) {
  int cancels = 0;
  const auto wait = [&]() -> Co<absl::Status> {
    co_return co_await structured::Sleep{&cancels};
  };
  for (const bool in_a_co : {false, true}) {
    const Task task = Call([&] {
      const Mark mark{log_, "call"};
      (void)(in_a_co ? Await(wait()) : Await(structured::Sleep{&cancels}));
    });
    EXPECT_FALSE(task.promise().was_cancelled());
    task.promise().Cancel();
    EXPECT_TRUE(task.promise().was_cancelled());
  }
  EXPECT_EQ(cancels, 2);
  EXPECT_EQ(log_, Log(2, std::string("call") + kUnwound));
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_AnAwaiterMayEndLaterThanItIsCancelled) {
  wait_.cancels_at_once = false;
  for (const bool in_a_co : {false, true}) {
    const Task task = Call([&] { WaitBelow(in_a_co); });
    task.promise().Cancel();
    EXPECT_FALSE(task.promise().was_cancelled());
    wait_.Complete();
    EXPECT_TRUE(task.promise().was_cancelled());
  }
  EXPECT_EQ(wait_.log, (Log{"start", "cancel", "start", "cancel"}));
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_AResultThatIsThereAllTheSameIsUsed) {
  wait_.cancels_at_once = false;
  wait_.must_resume = true;
  for (const bool in_a_co : {false, true}) {
    const Task task = Call([&] { WaitBelow(in_a_co); });
    task.promise().Cancel();
    wait_.Complete();
    EXPECT_TRUE(task.done());
    EXPECT_FALSE(task.promise().was_cancelled());
  }
  EXPECT_EQ(results_, 2);
  EXPECT_EQ(wait_.log, (Log{"start", "cancel", "result",  //
                            "start", "cancel", "result"}));
  EXPECT_EQ(log_, (Log{"has a result", "call left",  //
                       "co left", "has a result", "call left"}));
}

TEST_F(StructuredTest, R21_WhatBeginsInACancelledCallIsCancelledEarly) {
  for (const bool in_a_co : {false, true}) {
    std::optional<Task> task;
    Gate gate;
    task.emplace(Call([&] {
      EXPECT_TRUE(Await(gate).ok());
      WaitBelow(in_a_co);
    }));
    task->promise().Cancel();
    EXPECT_FALSE(task->promise().was_cancelled()) << "a Gate takes no notice";
    gate.Open(1);
    EXPECT_TRUE(task->promise().was_cancelled());
  }
  EXPECT_EQ(wait_.log, (Log{"early cancel", "early cancel"}));
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_OneThatDoesNotCancelEarlyIsStarted) {
  wait_.cancels_early = false;
  for (const bool must_resume : {false, true}) {
    wait_.must_resume = must_resume;
    Gate gate;
    const Task task = Call([&] {
      EXPECT_TRUE(Await(gate).ok());
      WaitBelow(false);
    });
    task.promise().Cancel();
    gate.Open(1);
    EXPECT_FALSE(task.promise().was_cancelled());
    wait_.Complete();
    EXPECT_EQ(task.promise().was_cancelled(), !must_resume);
    EXPECT_EQ(task.done(), must_resume);
  }
  EXPECT_EQ(wait_.log, (Log{"early cancel", "start",  //
                            "early cancel", "start", "result"}));
  EXPECT_EQ(results_, 1);
}

TEST_F(StructuredTest, R21_ACallMayCancelItsOwnTask) {
  std::optional<Task> task;
  Gate gate;
  task.emplace(Call([&] {
    EXPECT_TRUE(Await(gate).ok());
    task->promise().Cancel();
    EXPECT_FALSE(task->promise().was_cancelled());
    WaitBelow(false);
  }));
  gate.Open(1);
  EXPECT_TRUE(task->promise().was_cancelled());
  EXPECT_EQ(wait_.log, Log{"early cancel"});
}

TEST_F(StructuredTest, R21_WhatCannotEndWithoutAResultHasOne) {
  Operation operation;
  bool completed = true;
  const Task task = Call([&] { completed = Await(operation.Wait()); });
  task.promise().Cancel();
  EXPECT_TRUE(task.done());
  EXPECT_FALSE(task.promise().was_cancelled());
  EXPECT_FALSE(completed);
  EXPECT_EQ(operation.cancels(), 1);
  EXPECT_EQ(results_, 1);
}

TEST_F(StructuredTest, R21_FramesThatReturnAStatusEndTheCallToo) {
  const Task task = Call([&] {
    for (int i = 0; i < 3; ++i)
      log_.push_back(std::string(
          absl::StatusCodeToString(TryAwait(wait_).status().code())));
  });
  task.promise().Cancel();
  EXPECT_TRUE(task.promise().was_cancelled());
  EXPECT_EQ(log_, Log(3, "CANCELLED"));
  EXPECT_EQ(results_, 0);
}

TEST_F(StructuredTest, R21_InsideTheLibrarysOwnCoroutineNothingChanges) {
  const auto body = [&]() -> Task {
    EXPECT_TRUE((co_await wait_).ok());
    (void)co_await wait_;
  };
  const Task task = body();
  task.promise().executor = &executor_;
  task.Start();
  EXPECT_EQ(wait_.executor, &executor_);
  wait_.Complete();
  task.promise().Cancel();
  EXPECT_TRUE(task.promise().was_cancelled());
}

#if defined(__cpp_exceptions)

TEST_F(StructuredTest, R21_AbandonedThatIsSwallowedEndsTheCallToo) {
  const Task task = Call([&] {
    try {
      (void)Await(wait_);
    } catch (...) {
      log_.push_back("swallowed");
    }
  });
  task.promise().Cancel();
  EXPECT_TRUE(task.promise().was_cancelled());
  EXPECT_EQ(log_, Log{"swallowed"});
  EXPECT_EQ(results_, 0);
}

// Awaits `wait_` where nothing has an executor.
void ExpectWrongHost(structured::Wait& wait) {
  try {
    (void)Await(wait);
    ADD_FAILURE() << "it is refused";
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
    EXPECT_NE(std::string(error.what()).find("await_set_executor()"),
              std::string::npos)
        << error.what();
  }
  EXPECT_EQ(TryAwait(wait).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(StructuredTest, R21_ElsewhereAnAwaiterWithAnExecutorIsRefused) {
  greenback::Run([&]() -> Co<void> {
    co_await WithPortalRunSync([&] { ExpectWrongHost(wait_); });
  });
  const auto body = [&]() -> LibraryTask<std::allocator<int>> {
    co_await WithPortalRunSync([&] { ExpectWrongHost(wait_); });
  };
  const auto task = body();
  task.Start();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(wait_.log, Log()) << "nothing has been started";
}

#endif

// ------------------ A library whose awaiters take an environment as an
// argument
//
// As Capy's do.

namespace env {

struct Environment {
  std::string name;
  std::stop_token token;
};

class Promise {
 public:
  Environment environment;

  template <class A>
  auto await_transform(A&& awaitable) {
    using Inner = decltype(GetAwaiter(std::declval<A>()));
    struct Passes {
      bool await_ready() const noexcept { return inner.await_ready(); }
      auto await_suspend(
          std::coroutine_handle<LibraryTask<Promise>::promise_type> waiter) {
        const Environment* const passed = &waiter.promise().environment;
        return inner.await_suspend(waiter, passed);
      }
      decltype(auto) await_resume() { return inner.await_resume(); }
      Inner inner;
    };
    return Passes{GetAwaiter(std::forward<A>(awaitable))};
  }
};

// Awaits the name of the environment; has it when it is resumed.
class Name {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter,
                       const Environment* environment) const {
      name->environment_ = environment;
      name->waiter_ = waiter;
    }
    std::string await_resume() const { return name->environment_->name; }
    Name* name;
  };
  Awaiter operator co_await() { return {this}; }
  void Complete() { std::exchange(waiter_, nullptr).resume(); }

 private:
  const Environment* environment_ = nullptr;
  std::coroutine_handle<> waiter_;
};

// Completes at once; await_suspend() returns a bool.
struct NameAtOnce {
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<>, const Environment* environment) {
    name = environment->name;
    return false;
  }
  std::string await_resume() const { return name; }
  std::string name = "";
};

}  // namespace env

}  // namespace

template <std::derived_from<env::Promise> Promise>
struct CoroutineLibrary<Promise> {
  template <class Stop>
  static auto OnCancel(Promise& promise, Stop stop) {
    return std::stop_callback(promise.environment.token, std::move(stop));
  }
};

namespace {

TEST(EnvironmentTest, R21_ReachesAwaitersBelowThePortal) {
  std::vector<std::string> names;
  env::Name name;
  const auto in_a_co = [&]() -> Co<void> {
    names.push_back(co_await name);
    names.push_back(co_await env::NameAtOnce());
  };
  const auto call = [&] {
    names.push_back(Await(name));
    names.push_back(Await(env::NameAtOnce()));
    Await(in_a_co());
  };
  const auto body = [&]() -> LibraryTask<env::Promise> {
    names.push_back(co_await name);
    co_await WithPortalRunSync(call);
    co_await WithPortalRun(in_a_co);
  };
  const auto task = body();
  task.promise().environment.name = "here";
  task.Start();
  for (int i = 0; i < 4; ++i) name.Complete();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(names, std::vector<std::string>(7, "here"));
}

TEST(EnvironmentTest, R21_ItsStopTokenCancelsWhatWaits) {
  Operation operation;
  bool completed = true;
  std::stop_source source;
  const auto body = [&]() -> LibraryTask<env::Promise> {
    co_await WithPortalRunSync([&] { completed = Await(operation.Wait()); });
  };
  const auto task = body();
  task.promise().environment.token = source.get_token();
  task.Start();
  source.request_stop();
  EXPECT_TRUE(task.done());
  EXPECT_FALSE(completed);
}

#if defined(__cpp_exceptions)

TEST(EnvironmentTest, R21_ElsewhereSuchAnAwaiterIsRefused) {
  greenback::Run([]() -> Co<void> {
    co_await WithPortalRunSync([] {
      try {
        Await(env::NameAtOnce());
        ADD_FAILURE() << "it is refused";
      } catch (const PortalError& error) {
        EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
      }
      EXPECT_EQ(TryAwait(env::NameAtOnce()).status().code(),
                absl::StatusCode::kFailedPrecondition);
    });
  });
}

#endif

}  // namespace
}  // namespace greenback
