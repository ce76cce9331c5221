// Run(): runs a coroutine, and all tasks that it spawns, to their end.
//
//   greenback::Co<int> Main(int argc, char** argv);
//   ...
//   return greenback::Run(Main, argc, argv);   // in main()
//
// The calling thread is the run's loop until the main task has ended. I/O,
// timers and child processes are Boost.Asio's, on the same thread. Several
// threads may each have a run.
//
// Returns or throws what `co_await async_fn(args...)` does. The main task
// inherits the calling thread's context (task_local.h).
//
// When the main task has ended, system tasks (system_task.h) are cancelled and
// waited for. Functions that other threads and Asio's callbacks have posted by
// then are called; functions that these post in turn are dropped. Then Run()
// returns. A system task or a RunToken callback that fails cancels everything,
// and its failure is the result of Run() in place of the main task's result; an
// exception of the main task propagates together with it.
//
// Suspends: never; it blocks the thread. Calling Run() on the thread of a run,
// in a task or a callback, is an error (std::logic_error, or a message and
// abort). In a task, await the coroutine instead.
//
// Errors: StackExhausted if not even the first stack can be had (without
// exceptions: its text and abort). If memory runs out, in the run or before it
// has begun, std::bad_alloc propagates, alone or in an ExceptionGroup.
// Everything is destroyed as after any other failure, and the thread may call
// Run() again. Without exceptions, the program ends by std::terminate().
#ifndef GREENBACK_RUNTIME_RUN_H_
#define GREENBACK_RUNTIME_RUN_H_

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/internal/carries_status.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/outcome.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/internal/run_state.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run_options.h"  // IWYU pragma: export

namespace greenback {

namespace internal {

// A system task has failed with `status`, which the result type of Run() cannot
// carry: throws StatusError, or prints the status and aborts.
[[noreturn]] void ReportSystemTaskFailure(const absl::Status& status);

template <class Result, class Fn, class... Args>
Co<void> RunMain(Outcome<Result>& outcome, Fn fn, Args... args) {
  GREENBACK_TRY {
    auto&& awaitable = std::invoke(std::move(fn), std::move(args)...);
    using A = decltype(awaitable);
    if constexpr (std::is_void_v<Result>) {
      co_await std::forward<A>(awaitable);
      outcome.SetValue();
    } else {
      // An rvalue reference becomes a value, since it may refer to the awaiter.
      Result value = co_await std::forward<A>(awaitable);
      outcome.SetValue([&]() -> Result { return std::forward<Result>(value); });
    }
  }
  GREENBACK_CATCH_ALL { outcome.SetCurrentException(); }
}

}  // namespace internal

template <class Fn, class... Args>
  requires(!std::same_as<std::decay_t<Fn>, RunOptions>)
auto Run(const RunOptions& options, Fn&& async_fn, Args&&... args)
    -> AwaitResult<
        std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>> {
  using Result = AwaitResult<
      std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>>;
  internal::Outcome<Result> outcome;
  absl::Status failed;
  {
    internal::RunState state(options);
    absl::Status ran = state.RunToEnd([&](Nursery& nursery) {
      nursery.StartSoon(
          internal::RunMain<Result, std::decay_t<Fn>, std::decay_t<Args>...>,
          std::ref(outcome), std::forward<Fn>(async_fn),
          std::forward<Args>(args)...);
    });
    if (!ran.ok()) internal::ReportStackExhausted(ran);
    failed = state.Outcome(outcome.TakeError());
  }
  if (!failed.ok()) {
    if constexpr (internal::kCarriesStatus<Result>) {
      return failed;
    } else {
      internal::ReportSystemTaskFailure(failed);
    }
  }
  return outcome.Take();
}

template <class Fn, class... Args>
  requires(!std::same_as<std::decay_t<Fn>, RunOptions>)
decltype(auto) Run(Fn&& async_fn, Args&&... args) {
  return Run(RunOptions(), std::forward<Fn>(async_fn),
             std::forward<Args>(args)...);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_H_
