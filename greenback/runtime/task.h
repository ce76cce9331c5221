// Task: what the runtime runs. A coroutine with a name, a cancel scope, a place
// in the task tree and, perhaps, a portal.
//
//   greenback::Task& task = greenback::CurrentTask();
//   task.set_name("import " + file);
//
// A task is made by Run() and by Nursery::StartSoon(), and belongs to the
// runtime: a reference is good until the task ends. Use it on the run's thread.
#ifndef GREENBACK_RUNTIME_TASK_H_
#define GREENBACK_RUNTIME_TASK_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/portal_task.h"
#include "greenback/runtime/cancel_state.h"
#include "greenback/runtime/loop.h"

namespace greenback {

class Nursery;
namespace internal {

struct TaskAccess;
// `what` was called where no task of a run is running.
[[noreturn]] void DieOutsideRun(const char* what);

}  // namespace internal

class Task final : public PortalTask {
 public:
  // Internal: Run() and nurseries make tasks.
  Task(internal::Loop& loop, Nursery* parent, internal::CancelState& scope);
  ~Task() override;

  // "main", "task 7", or what it was set to. In messages and overflow reports.
  absl::string_view name() const override { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  // The nursery that waits for this task; null for the main task.
  Nursery* parent_nursery() const { return parent_; }

 private:
  friend struct internal::TaskAccess;

  absl::Status ReserveFiber() override;
  void Park(internal::ParkPoint& point) override;
  void Wake(internal::ParkPoint& point) noexcept override;
  void ScheduleCheckpoint(internal::ReadyNode& node) override;
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(internal::CancelHook& hook) override;
  void OnSelfBestowed() override;

  std::string name_;
  Nursery* const parent_;
  internal::Cancellable cancellation_;
};

// The task that runs. Outside a run's tasks: an error (std::logic_error, or a
// message and abort) that says so.
inline Task& CurrentTask() {
  const internal::ThreadState& thread = internal::ThisThread();
  if (thread.loop == nullptr || thread.current_task == nullptr) [[unlikely]] {
    internal::DieOutsideRun("CurrentTask()");
  }
  // In a run, all tasks are the runtime's.
  return static_cast<Task&>(*thread.current_task);
}

namespace internal {

struct TaskAccess {
  static Cancellable& Cancellation(Task& task) { return task.cancellation_; }
  // OK, or kCancelled.
  static absl::Status CancellationPoint(Task& task) {
    if (!task.cancellation_.is_cancelled()) [[likely]]
      return absl::OkStatus();
    return task.cancellation_.Cancelled();
  }
};

// The running task, for CancellableWait::Begin().
inline Cancellable& CurrentCancellable() {
  return TaskAccess::Cancellation(CurrentTask());
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_TASK_H_
