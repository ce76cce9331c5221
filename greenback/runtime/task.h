// Task: a task of the runtime. It has a coroutine, a name, a cancel scope, a
// place in the task tree and, perhaps, a portal.
//
//   greenback::Task& task = greenback::CurrentTask();
//   task.set_name("import " + file);
//
// Run() and nurseries make tasks, which belong to the runtime: a reference is
// valid until the task ends. Use it on the run's thread.
//
// The tree: a task is a child of one nursery, its parent_nursery(). That
// nursery is open in another task, its parent_task(), which is a child of the
// next nursery, and so on. The root is a task of Run()'s own, named "init"; the
// main task and the system tasks are in its nurseries.
#ifndef GREENBACK_RUNTIME_TASK_H_
#define GREENBACK_RUNTIME_TASK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/loop.h"

namespace greenback {

class Nursery;
namespace internal {

struct TaskAccess;
class RescheduledWait;

// Is notified when a task ends.
class TaskOwner {
 public:
  virtual void TaskEnded() = 0;

 protected:
  ~TaskOwner() = default;
};

// Where a task begins: its nursery (null for the root) and its first scope.
struct TaskPlace {
  Loop& loop;
  TaskOwner& owner;
  Nursery* nursery;
  CancelState& scope;
};

// Links the nurseries that are open in a task.
struct NurseryLink {
  Nursery* nursery;
  NurseryLink* outer;
  size_t depth = outer != nullptr ? outer->depth + 1 : 0;
};

}  // namespace internal

class Task final : public PortalTask, public internal::ListItem<Task> {
 public:
  // Internal: Run() and nurseries make tasks.
  explicit Task(const internal::TaskPlace& place);
  ~Task() override;

  // "main", "task 7", or the name that was set. It is in messages and in
  // reports of stack overflows.
  absl::string_view name() const override;
  void set_name(std::string name) { name_ = std::move(name); }

  // The nursery that waits for this task; null for the root of the tree.
  Nursery* parent_nursery() const { return parent_; }
  // The nurseries that are open in this task, outermost first.
  std::vector<Nursery*> child_nurseries() const;

 private:
  friend struct internal::TaskAccess;

  absl::Status ReserveFiber(internal::FiberWaiter* waiter) override;
  context::SavedContext* Park(internal::FiberWaiter& waiter) override;
  void Wake(internal::Waiter& waiter) noexcept override;
  void ScheduleCheckpoint(internal::Waiter& waiter) override;
  void Withdraw(internal::Waiter& waiter) noexcept override {
    internal::Loop::Withdraw(waiter);
  }
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(internal::CancelHook& hook) override;
  void OnSelfBestowed() override;
  const char* OverflowAdvice() const noexcept override {
    return "raise RunOptions::stack_size";
  }

  // Made from the number when name() is first called.
  mutable std::string name_;
  const uint64_t number_;
  internal::TaskOwner* owner_;
  Nursery* parent_;
  // Where the task is when all scopes that it has opened are closed.
  internal::CancelState* outermost_scope_;
  internal::NurseryLink* innermost_nursery_ = nullptr;
  internal::Cancellable cancellation_;
  internal::Promotion promotion_;
  internal::RescheduledWait* rescheduled_wait_ = nullptr;
};

// The running task. Outside of tasks: an error (std::logic_error, or a message
// and abort) that says so; in a task of another host: PortalError, kWrongHost.
inline Task& CurrentTask() {
  PortalTask* const task = internal::ThisThread().current_task;
  if (task == nullptr || !internal::PortalAccess::Offers(
                             *task, internal::kRunService)) [[unlikely]] {
    internal::DieOutsideRun("CurrentTask()");
  }
  return static_cast<Task&>(*task);
}

namespace internal {

struct TaskAccess {
  static Cancellable& Cancellation(Task& task) { return task.cancellation_; }
  // OK, or kCancelled.
  static absl::Status CancellationPoint(Task& task) {
    ++task.cancellation_.cancellation_points;
    if (!task.cancellation_.is_cancelled()) [[likely]]
      return absl::OkStatus();
    return task.cancellation_.Cancelled();
  }
  static NurseryLink*& InnermostNursery(Task& task) {
    return task.innermost_nursery_;
  }
  // How many nurseries are open in the task.
  static size_t NurseryCount(const Task& task) {
    const NurseryLink* const innermost = task.innermost_nursery_;
    return innermost != nullptr ? innermost->depth + 1 : 0;
  }
  static RescheduledWait*& Rescheduled(Task& task) {
    return task.rescheduled_wait_;
  }
  static TaskOwner& Owner(Task& task) { return *task.owner_; }
  // Moves `task` to another nursery. The caller moves its scopes.
  static void MoveTo(Task& task, const TaskPlace& place) {
    task.owner_ = &place.owner;
    task.parent_ = place.nursery;
    task.outermost_scope_ = &place.scope;
  }
};

// The running task, for CancellableWait::Begin().
inline Cancellable& CurrentCancellable() {
  return TaskAccess::Cancellation(CurrentTask());
}

// Prints that scopes of `task` do not end in reverse order, and aborts.
[[noreturn]] void DieMisnested(const PortalTask& task);
// Prints that `task` ends while something waits in it, and aborts.
[[noreturn]] void DieWaitedFor(const PortalTask& task);

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_TASK_H_
