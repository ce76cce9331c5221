// The coroutine that a nursery runs in each child, and the wait for all of
// them. Internal to nursery.h.
#ifndef GREENBACK_RUNTIME_INTERNAL_CHILD_TASK_H_
#define GREENBACK_RUNTIME_INTERNAL_CHILD_TASK_H_

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/awaitable.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/root_task.h"
#include "greenback/runtime/task.h"

namespace greenback {

class Nursery;

namespace internal {

// co_await -> void: resumes when all children have ended. Always a schedule
// point.
class AllChildrenAwaiter : private NeedsRun {
 public:
  explicit AllChildrenAwaiter(Nursery& nursery) : nursery_(nursery) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept;

 private:
  Nursery& nursery_;
};

// The private side of Nursery, for the coroutines of its tasks.
struct NurseryAccess {
  static void Note(Nursery& nursery, absl::Status status);
  static void Note(Nursery& nursery, std::exception_ptr error) noexcept;
  static AllChildrenAwaiter AllChildren(Nursery& nursery) {
    return AllChildrenAwaiter(nursery);
  }
  static void WhenEmpty(Nursery& nursery, std::coroutine_handle<> handle);
  static void ParentResumed(Nursery& nursery) noexcept;
  // The result of OpenNursery(); throws if a task has thrown.
  static absl::Status Result(Nursery& nursery);
  // The number of nurseries around `nursery` in its task.
  static size_t Depth(const Nursery& nursery);
  static void BeginStart(Nursery& nursery);
  static void EndStart(Nursery& nursery);
  static void TakeOver(Nursery& nursery, Task& child, CancelState& scope);
};

// The result types that a task's function, or a nursery's body, may have.
template <class A>
inline constexpr bool kGivesStatus =
    std::is_same_v<std::decay_t<AwaitResult<A>>, absl::Status>;
template <class A>
concept TaskAwaitable =
    Awaitable<A> && (kGivesStatus<A> || std::is_void_v<AwaitResult<A>>);
// A static_assert refuses all other functions. The rest of the template is then
// not instantiated, so that the sentence in the static_assert is the only
// error.
template <class Fn, class... Args>
concept TaskFunction = std::invocable<Fn, Args...> &&
                       TaskAwaitable<std::invoke_result_t<Fn, Args...>>;

// A child task: awaits fn(args...), and notes its failure in the nursery.
template <class Fn, class... Args>
RootTask RunChild(TaskPlace, Fn fn, Args... args) {
  // Its nursery may have changed by the end; see Start().
  const Task& task = CurrentTask();
  GREENBACK_TRY {
    // Parameters are destroyed after the promise, and so after the Task in it,
    // but objects that the task owns must be destroyed while the Task exists.
    Fn function = std::move(fn);
    std::tuple<Args...> arguments(std::move(args)...);
    if constexpr (kGivesStatus<std::invoke_result_t<Fn, Args...>>) {
      absl::Status status =
          co_await std::apply(std::move(function), std::move(arguments));
      NurseryAccess::Note(*task.parent_nursery(), std::move(status));
    } else {
      co_await std::apply(std::move(function), std::move(arguments));
    }
  }
  GREENBACK_CATCH_ALL {
    NurseryAccess::Note(*task.parent_nursery(), std::current_exception());
  }
}

// A task under Start(). Lives in that task, around the call of its function.
class StartedChild {
 public:
  explicit StartedChild(Nursery& target);
  StartedChild(const StartedChild&) = delete;
  StartedChild& operator=(const StartedChild&) = delete;
  ~StartedChild();

  // The task is ready. Returns false if it is too late, since Start() is
  // cancelled. Otherwise the caller passes a value to Start(), and then calls
  // Started().
  bool MayStart();
  void Started();

 private:
  Task& task_;
  Nursery& target_;
  CancelState scope_;
  bool started_ = false;
};

// Keeps a nursery open for a task that is yet to be moved into it.
class PendingStart {
 public:
  explicit PendingStart(Nursery& nursery) : nursery_(nursery) {
    NurseryAccess::BeginStart(nursery);
  }
  PendingStart(const PendingStart&) = delete;
  PendingStart& operator=(const PendingStart&) = delete;
  ~PendingStart() { NurseryAccess::EndStart(nursery_); }

 private:
  Nursery& nursery_;
};

// Why Start() ends without a value.
absl::Status ExplainNotStarted(absl::Status status);

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_INTERNAL_CHILD_TASK_H_
