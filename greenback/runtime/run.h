// Run(): runs a coroutine, and all tasks that it spawns, to their end.
//
//   greenback::Co<int> Main(int argc, char** argv);
//   ...
//   return greenback::Run(Main, argc, argv);   // in main()
//
// The calling thread becomes the run's loop until the main task has ended; I/O,
// timers and child processes are Boost.Asio's, on the same thread. Several
// threads may each have a run.
//
// Gives what `co_await async_fn(args...)` gives, result or exception.
//
// Suspends: never; it blocks the thread. To call Run() in a task of a run is an
// error (std::logic_error, or a message and abort): await the coroutine
// instead.
//
// Errors: when not even the first stack is to be had, StackExhausted (without
// exceptions: its text and abort).
#ifndef GREENBACK_RUNTIME_RUN_H_
#define GREENBACK_RUNTIME_RUN_H_

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/context/exceptions.h"
#include "greenback/in_place.h"
#include "greenback/runtime/cancel_state.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/loop.h"
#include "greenback/runtime/root_task.h"

namespace greenback {

struct RunOptions {
  // Bytes of address space for a fiber's stack, committed as it is used. Each
  // task that is parked in Await() has one, and so has the loop.
  size_t stack_size = size_t{1} << 20;

  // Fibers that may exist at the same time; an Await() that would need one more
  // fails with ResourceExhausted.
  size_t max_fibers = std::numeric_limits<size_t>::max();

  // Not owned; null: the system's monotonic clock.
  Clock* clock = nullptr;
};

namespace internal {

// The loop of a run, and the scope around all of its tasks.
struct RunState final : private TaskOwner {
  explicit RunState(const RunOptions& options);

  TaskPlace MainPlace() { return {loop, *this, nullptr, scope}; }
  // Until the main task has ended.
  void RunMain(RootTask main);

  Loop loop;
  CancelState scope;

 private:
  void TaskEnded() override { loop.Stop(); }
};

template <class Result, class Fn, class... Args>
RootTask RunMainTask(TaskPlace, InPlace<Result>& result,
                     std::exception_ptr& error, Fn fn, Args... args) {
  GREENBACK_TRY {
    // As in RunChild().
    Fn function = std::move(fn);
    std::tuple<Args...> arguments(std::move(args)...);
    auto&& awaitable = std::apply(std::move(function), std::move(arguments));
    using A = decltype(awaitable);
    if constexpr (std::is_void_v<AwaitResult<A>>) {
      co_await std::forward<A>(awaitable);
    } else {
      auto&& value = co_await std::forward<A>(awaitable);
      result.Emplace(
          [&]() -> Result { return std::forward<decltype(value)>(value); });
    }
  }
  GREENBACK_CATCH_ALL { error = std::current_exception(); }
}

}  // namespace internal

template <class Fn, class... Args>
requires(!std::same_as<std::decay_t<Fn>, RunOptions>) auto Run(
    const RunOptions& options, Fn&& async_fn, Args&&... args)
    -> AwaitResult<
        std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>> {
  using Result = AwaitResult<
      std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>>;
  struct Nothing {};
  using Kept = std::conditional_t<std::is_void_v<Result>, Nothing, Result>;
  internal::InPlace<Kept> result;
  std::exception_ptr error;
  {
    internal::RunState state(options);
    state.RunMain(
        internal::RunMainTask<Kept, std::decay_t<Fn>, std::decay_t<Args>...>(
            state.MainPlace(), result, error, std::forward<Fn>(async_fn),
            std::forward<Args>(args)...));
  }
  if (error) std::rethrow_exception(std::move(error));
  if constexpr (!std::is_void_v<Result>) return std::forward<Result>(*result);
}

template <class Fn, class... Args>
requires(!std::same_as<std::decay_t<Fn>, RunOptions>) decltype(auto)
    Run(Fn&& async_fn, Args&&... args) {
  return Run(RunOptions(), std::forward<Fn>(async_fn),
             std::forward<Args>(args)...);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_H_
