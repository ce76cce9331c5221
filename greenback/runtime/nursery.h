// Nursery: a scope in which tasks are spawned, and which waits for them.
//
//   absl::Status status = co_await greenback::OpenNursery(
//       [&](greenback::Nursery& nursery) -> greenback::Co<absl::Status> {
//         nursery.StartSoon(Serve, std::move(socket));
//         nursery.StartSoon(LogProgress);
//         co_return absl::OkStatus();
//       });
//
// OpenNursery() returns when the body and every task spawned into the nursery
// have ended: a task never outlives its nursery. When one of them fails (with a
// status that is not OK, or an exception) the others are cancelled, and the
// failure is the result of OpenNursery() once all have ended. kCancelled that
// the nursery's own cancel scope has caused is not a failure.
//
// Suspends: leaving is always a schedule point. The wait for the children is
// not cancelled itself, but cancelling the surrounding scope cancels them.
// Threads: the run's.
#ifndef GREENBACK_RUNTIME_NURSERY_H_
#define GREENBACK_RUNTIME_NURSERY_H_

#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/internal/outcome.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/exception_group.h"  // IWYU pragma: export
#include "greenback/runtime/internal/child_task.h"
#include "greenback/runtime/task.h"

namespace greenback {

template <class T = void>
class TaskStatus;

// co_await -> absl::Status: the result of `body`, or the first failure of a
// child (the texts of further ones are appended); kCancelled when the scope
// around it is cancelled. An exception propagates unchanged, several as one
// ExceptionGroup. `body` lives until the end.
template <class Body>
Co<absl::Status> OpenNursery(Body body);

class Nursery final : private internal::TaskOwner {
 public:
  // Internal: see OpenNursery().
  Nursery();
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;
  ~Nursery();

  // Spawns a task that runs `co_await fn(args...)`, after all tasks that are
  // ready now and not before the caller suspends. `fn` and `args` are moved or
  // copied into the task (std::ref for references). The new task begins inside
  // this nursery's cancel scope, without a portal, in the context
  // (task_local.h) of the caller, which may be any task of the run, or none.
  // Never suspends. The reference is valid until the task ends.
  //
  // Once the body and all children have ended the nursery is closed: spawning
  // is then an error (std::logic_error, or a message and abort). When there is
  // no memory for the task, std::bad_alloc: nothing is spawned, and `fn` and
  // `args` may have been moved from.
  template <class Fn, class... Args>
  Task& StartSoon(Fn&& fn, Args&&... args);

  // co_await -> absl::Status, or absl::StatusOr<T>: spawns a task that runs
  // `co_await fn(task_status, args...)`, and waits until it reports that it is
  // ready to serve:
  //
  //   Co<absl::Status> Serve(TaskStatus<int> task_status, Options options) {
  //     ...
  //     task_status.Started(port);       // Start() returns the port
  //     ...
  //   }
  //   ...
  //   absl::StatusOr<int> port = co_await nursery.Start<int>(Serve, options);
  //
  // Until then the task belongs to the caller: its failure is the result of
  // Start(), and cancelling the scope around Start() cancels the task, which
  // Start() waits for. From Started() on, which any task of the run may call,
  // the task is a child of this nursery. Once Start() has been cancelled,
  // Started() is too late and does nothing. FailedPrecondition if the task ends
  // without calling Started(). Always a schedule point. Keeps the nursery open;
  // in a closed nursery it is an error, as StartSoon() is.
  template <class T = void, class Fn, class... Args>
  Co<std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>>
  Start(Fn fn, Args... args);

  // The scope around the body and all children.
  CancelScope& cancel_scope() { return scope_; }

  Task& parent_task() const { return parent_; }
  // Tasks of this nursery that have not ended, in order of spawning (under
  // Start(): of Started()).
  std::vector<Task*> child_tasks() const;
  size_t child_count() const { return child_count_; }

 private:
  friend struct internal::NurseryAccess;

  // Records how the body or a child ended. A failure cancels the others.
  void Note(absl::Status status);
  void Note(std::exception_ptr error) noexcept;
  internal::TaskPlace PlaceForChild(const char* caller);
  Task& Adopt(internal::RootTask child);
  // Moves `child` here from another nursery, with `scope`, its outermost one.
  void TakeOver(Task& child, internal::CancelState& scope);
  void TaskEnded() override;
  // Closes the nursery, and schedules the parent, if the parent waits and
  // nothing is left to wait for.
  void CloseIfEmpty();
  // The result of OpenNursery(); throws if a task has thrown.
  absl::Status Result();

  Task& parent_;
  internal::NurseryLink link_;
  CancelScope scope_;
  internal::IntrusiveList<Task> children_;
  size_t child_count_ = 0;
  size_t pending_starts_ = 0;
  // Parked while the parent waits for the children.
  internal::Waiter parent_waiter_{internal::Waiter::Kind::kCoroutine};
  bool closed_ = false;
  internal::NotedExceptions errors_;
  absl::Status status_;
};

// Passed to a task that Nursery::Start() spawns. Copyable; valid until the task
// ends.
template <class T>
class TaskStatus {
 public:
  TaskStatus(internal::StartedChild& child, internal::Outcome<T>& value)
      : child_(&child), value_(&value) {}

  // The task is ready: Start() returns `value`. Call it once; a second call is
  // an error (std::logic_error, or a message and abort). Never suspends.
  void Started(T value) const {
    if (!child_->MayStart()) return;
    value_->SetValue([&]() -> T { return std::move(value); });
    child_->Started();
  }

 private:
  internal::StartedChild* child_;
  internal::Outcome<T>* value_;
};

template <>
class TaskStatus<void> {
 public:
  TaskStatus(internal::StartedChild& child, internal::Outcome<void>& value)
      : child_(&child), value_(&value) {}

  void Started() const {
    if (!child_->MayStart()) return;
    value_->SetValue();
    child_->Started();
  }

 private:
  internal::StartedChild* child_;
  internal::Outcome<void>* value_;
};

}  // namespace greenback

#include "greenback/runtime/internal/nursery_impl.h"  // IWYU pragma: export

#endif  // GREENBACK_RUNTIME_NURSERY_H_
