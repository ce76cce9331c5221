// RunInThread(): calls a function that blocks, on another thread, while tasks
// run on this one.
//
//   absl::StatusOr<std::string> text =
//       co_await greenback::RunInThread([&] { return ReadFile(path); });
//
// Use it for files, name lookups, and libraries that know nothing of
// coroutines. Do not use it for operations that Boost.Asio or Event can wait
// for: a thread is expensive.
//
// co_await -> absl::StatusOr of the function's result; absl::Status if the
// function returns void; a Status or StatusOr is returned as it is. An
// exception of the function propagates to the awaiting code. ResourceExhausted
// if there is no thread and none can be started.
//
// Always a schedule point, and a cancellation point until the function begins:
// if the task is cancelled before that, the function is never called and the
// result is kCancelled. A function that has begun cannot be stopped, so the
// task waits until it returns.
//
// The function runs in a copy of the task's context (task_local.h), outside any
// run: no Await(), no CurrentTask(). It can reach the run through a RunToken.
// `fn` and `args` are kept until the end; objects that they refer to must exist
// as long as the task waits.
//
// Threads: each run starts up to RunOptions::max_threads (0 counts as 1), which
// end with the run. They begin with the signal mask of the run's thread, as
// every thread that it starts does, and so do the processes that `fn` starts. A
// program that wants its signals on certain threads blocks them in all others,
// the run's included, before it calls Run().
#ifndef GREENBACK_RUNTIME_RUN_IN_THREAD_H_
#define GREENBACK_RUNTIME_RUN_IN_THREAD_H_

#include <concepts>
#include <coroutine>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/await.h"
#include "greenback/internal/carries_status.h"
#include "greenback/internal/outcome.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/thread_pool.h"
#include "greenback/task_local.h"

namespace greenback {

namespace internal {

// The wait for a function that runs on another thread.
class ThreadWait : private CancellableWait,
                   private ThreadPool::Job,
                   private Posted {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  // OK: the function has returned.
  absl::Status await_resume();

 protected:
  using CancellableWait::LeaveIfWaiting;
  ThreadWait() = default;
  ~ThreadWait() = default;

 private:
  bool Abort() override;
  void Work() final;
  virtual void DoWork() noexcept = 0;

  Loop* loop_ = nullptr;
  std::shared_ptr<ThreadPool> pool_;
  Context context_;
  absl::Status not_started_;
};

template <class Call>
class ThreadCall final : public ThreadWait {
 public:
  using Result = std::invoke_result_t<Call&>;

  explicit ThreadCall(Call& call) : call_(call) {}
  ~ThreadCall() { LeaveIfWaiting("RunInThread(), whose function has begun"); }

  // After await_resume() has returned OK.
  Result TakeResult() { return outcome_.Take(); }

 private:
  void DoWork() noexcept override { outcome_.Run(call_); }

  Call& call_;
  Outcome<Result> outcome_;
};

template <class T>
struct ThreadResultOf {
  static_assert(std::is_same_v<T, std::decay_t<T>>,
                "greenback::RunInThread(fn, args...): fn returns a reference "
                "or a const; let it return a value or a pointer");
  using type = std::conditional_t<kCarriesStatus<T>, T, absl::StatusOr<T>>;
};
template <>
struct ThreadResultOf<void> {
  using type = absl::Status;
};

}  // namespace internal

template <class Fn, class... Args>
  requires std::invocable<Fn, Args...>
auto RunInThread(Fn fn, Args... args) -> Co<typename internal::ThreadResultOf<
    std::invoke_result_t<Fn, Args...>>::type> {
  auto call = [&]() -> decltype(auto) {
    return std::invoke(std::move(fn), std::move(args)...);
  };
  internal::ThreadCall<decltype(call)> running(call);
  absl::Status status = co_await running;
  if (!status.ok()) co_return status;
  if constexpr (std::is_void_v<std::invoke_result_t<Fn, Args...>>) {
    running.TakeResult();
    co_return status;
  } else {
    co_return running.TakeResult();
  }
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_IN_THREAD_H_
