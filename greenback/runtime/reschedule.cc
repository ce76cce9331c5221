#include "greenback/runtime/reschedule.h"

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"
#include "greenback/no_await_scope.h"

namespace greenback {
namespace internal {

void RescheduledWait::await_suspend(std::coroutine_handle<> handle) {
  task_ = &CurrentTask();
  RescheduledWait*& waiting = TaskAccess::Rescheduled(*task_);
  if (waiting != nullptr) {
    ThrowOrDie(std::logic_error(absl::StrCat(
        "greenback::WaitTaskRescheduled(): task \"", task_->name(),
        "\" is in such a wait already; Reschedule() could not tell the two "
        "apart")));
  }
  waiting = this;
  BeginOrAbort(CurrentCancellable(), handle);
}

bool RescheduledWait::Abort() {
  const greenback::Abort answer = [this] {
    const NoAwaitScope no_await(where_);
    return CallAbortFn();
  }();
  RescheduledWait*& waiting = TaskAccess::Rescheduled(*task_);
  // If abort_fn has called Reschedule() itself, its result does not count.
  if (answer == greenback::Abort::kFailed || waiting != this) {
    abort_failed_ = true;
    return false;
  }
  waiting = nullptr;
  return true;
}

RescheduledWait& RescheduledWait::End(Task& task, const void* type) {
  RescheduledWait*& waiting = TaskAccess::Rescheduled(task);
  if (waiting == nullptr || (type != nullptr && type != waiting->type_)) {
    ThrowOrDie(std::logic_error(absl::StrCat(
        "greenback::Reschedule(): task \"", task.name(),
        waiting == nullptr
            ? "\" does not wait in WaitTaskRescheduled(); wake a task once for "
              "each wait"
            : "\" waits in WaitTaskRescheduled<T>() for another type of "
              "outcome")));
  }
  return *std::exchange(waiting, nullptr);
}

void RescheduledWait::Fail(absl::Status status) {
  status_ = std::move(status);
  Finish();
}

void RescheduledWait::Fail(std::exception_ptr error) {
  error_ = std::move(error);
  Finish();
}

absl::Status RescheduledWait::Outcome() {
  if (abort_failed_ && absl::IsCancelled(status_)) MarkCancelled();
  absl::Status status = TakeResult();  // noted in the scope
  if (error_) std::rethrow_exception(std::move(error_));
  return status_.ok() ? status : std::move(status_);
}

}  // namespace internal

void Reschedule(Task& task, absl::Status status) {
  using internal::RescheduledWait;
  if (!status.ok()) {
    return RescheduledWait::End(task, nullptr).Fail(std::move(status));
  }
  RescheduledWait::End(task, &internal::kTypeTag<void>).Finish();
}

void Reschedule(Task& task, std::exception_ptr error) {
  if (error == nullptr) {
    internal::ThrowOrDie(std::logic_error(absl::StrCat(
        "greenback::Reschedule(): task \"", task.name(),
        "\" is woken with an exception_ptr that is null; pass an outcome")));
  }
  internal::RescheduledWait::End(task, nullptr).Fail(std::move(error));
}

}  // namespace greenback
