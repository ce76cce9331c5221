// Checkpoints: where a task lets others run, and notices that it is cancelled.
//
//   for (Row& row : rows) {
//     Process(row);
//     absl::Status status = co_await greenback::Checkpoint();
//     if (!status.ok()) co_return status;
//   }
//
// At a schedule point other tasks may run. A cancellation point returns
// kCancelled if the task's cancel scope is cancelled. A checkpoint is both. In
// synchronous code with a portal: Await(Checkpoint()).
//
// Resumed by the run's loop, on its thread, after all tasks that were ready
// before. Only in a task of a run.
//
// A coroutine of another library that waits here, or in any other wait of the
// runtime, may be destroyed, on the run's thread and before its task ends: the
// wait is abandoned, and nothing resumes the coroutine. Where a wait cannot be
// abandoned (for a function on another thread, or for the children of a
// nursery), a message is printed and the program aborts.
#ifndef GREENBACK_RUNTIME_CHECKPOINT_H_
#define GREENBACK_RUNTIME_CHECKPOINT_H_

#include <coroutine>

#include "absl/status/status.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/task.h"

namespace greenback {

namespace internal {

class ScheduleAwaiter : private NeedsRun {
 public:
  static constexpr bool kGreenbackHoldsNoFrame = true;

  ScheduleAwaiter() {}  // `= default` would clear all members first
  // Awaiters are copied only before they are awaited.
  ScheduleAwaiter(const ScheduleAwaiter&) {}
  // The waiting coroutine may be destroyed.
  ~ScheduleAwaiter() {
    if (waiter_.is_waiting()) [[unlikely]]
      Loop::Withdraw(waiter_);
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.handle = handle;
    waiter_.Queue();
    waiter_.task = &CurrentTask();
    Schedule(waiter_);
  }
  bool await_park(FiberWaiter& waiter) {
    waiter_.task = waiter.task;
    Schedule(waiter);
    return true;
  }
  void await_resume() noexcept { Resumed(); }

 protected:
  void Resumed() { waiter_.Resumed(); }

  // For a coroutine that waits; for a fiber, only its task is used. Mutable,
  // since await_ready() is const.
  mutable Waiter waiter_{Waiter::Kind::kCoroutine};

 private:
  static void Schedule(Waiter& waiter) {
    Task& task = static_cast<Task&>(*waiter.task);
    TaskAccess::Cancellation(task).loop->Schedule(waiter);
  }
};

class CheckpointAwaiter : public ScheduleAwaiter {
 public:
  CheckpointAwaiter() {}

  absl::Status await_resume() {
    absl::Status status =
        TaskAccess::CancellationPoint(static_cast<Task&>(*waiter_.task));
    Resumed();
    return status;
  }
};

class CheckpointIfCancelledAwaiter : public CheckpointAwaiter {
 public:
  CheckpointIfCancelledAwaiter() {}

  // False outside a task of a run, so that await_suspend() reports the error.
  bool await_ready() const noexcept {
    PortalTask* const task = ThisThread().current_task;
    if (task == nullptr || !PortalAccess::Offers(*task, kRunService))
        [[unlikely]] {
      return false;
    }
    waiter_.task = task;
    return !TaskAccess::Cancellation(static_cast<Task&>(*task)).is_cancelled();
  }
};

}  // namespace internal

// co_await -> absl::Status. Always a schedule point and a cancellation point.
inline auto Checkpoint() { return internal::CheckpointAwaiter(); }

// co_await -> absl::Status. A cancellation point, and a schedule point only if
// the task is cancelled: for cheap work inside a loop that waits elsewhere.
inline auto CheckpointIfCancelled() {
  return internal::CheckpointIfCancelledAwaiter();
}

// co_await -> void. A schedule point, and not a cancellation point.
inline auto CancelShieldedCheckpoint() { return internal::ScheduleAwaiter(); }

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CHECKPOINT_H_
