#include "greenback/runtime/nursery.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

Nursery::Nursery()
    : parent_(CurrentTask()),
      link_{this, internal::TaskAccess::InnermostNursery(parent_)} {
  internal::TaskAccess::InnermostNursery(parent_) = &link_;
}

Nursery::~Nursery() {
  // True only if the coroutine that opened the nursery is destroyed.
  if (child_count_ != 0 || pending_starts_ != 0) [[unlikely]] {
    internal::DieDestroyed(parent_,
                           "OpenNursery() for tasks that have not ended",
                           "cancel the nursery's scope, and let it end");
  }
  if (parent_waiter_.is_waiting()) [[unlikely]]
    internal::Loop::Withdraw(parent_waiter_);
  internal::NurseryLink*& innermost =
      internal::TaskAccess::InnermostNursery(parent_);
  if (innermost != &link_) internal::DieMisnested(parent_);
  innermost = link_.outer;
}

std::vector<Task*> Nursery::child_tasks() const {
  std::vector<Task*> tasks;
  tasks.reserve(child_count_);
  for (Task* task = children_.first(); task != nullptr;
       task = children_.Next(*task)) {
    tasks.push_back(task);
  }
  std::reverse(tasks.begin(), tasks.end());
  return tasks;
}

internal::TaskPlace Nursery::PlaceForChild(const char* caller) {
  if (closed_) {
    internal::ThrowOrDie(std::logic_error(absl::StrCat(
        "greenback::Nursery::", caller,
        ": the nursery is closed, since its body and all children have ended; "
        "spawn before that, or into a nursery that is open")));
  }
  return {*internal::TaskAccess::Cancellation(parent_).loop, *this, this,
          scope_.state_};
}

Task& Nursery::Adopt(internal::RootTask child) {
  children_.PushFront(child.task());
  ++child_count_;
  return child.Start(*internal::TaskAccess::Cancellation(parent_).loop);
}

void Nursery::Note(absl::Status status) {
  if (status.ok()) return;
  // kCancelled that this nursery's scope has caused is not a failure.
  if (absl::IsCancelled(status) && scope_.cancel_called()) return;
  if (status_.ok() || absl::IsCancelled(status_)) {
    status_ = std::move(status);
  } else if (!absl::IsCancelled(status)) {
    // Keeps the first failure's payloads, and the texts of all.
    absl::Status joined(status_.code(), absl::StrCat(status_.message(), "; ",
                                                     status.ToString()));
    status_.ForEachPayload(
        [&](absl::string_view url, const absl::Cord& payload) {
          joined.SetPayload(url, payload);
        });
    status_ = std::move(joined);
  }
  scope_.Cancel();
}

void Nursery::Note(std::exception_ptr error) noexcept {
  errors_.Add(std::move(error));
  scope_.Cancel();
}

void Nursery::TakeOver(Task& child, internal::CancelState& scope) {
  Nursery& from = *child.parent_nursery();
  child.LeaveList();
  children_.PushFront(child);
  ++child_count_;
  internal::TaskAccess::MoveTo(child, PlaceForChild("Start"));
  scope.MoveTo(scope_.state_);
  from.TaskEnded();
}

void Nursery::TaskEnded() {
  --child_count_;
  CloseIfEmpty();
}

void Nursery::CloseIfEmpty() {
  if (!parent_waiter_.is_parked() || child_count_ != 0 ||
      pending_starts_ != 0) {
    return;
  }
  closed_ = true;
  parent_waiter_.Queue();
  internal::Loop::Current()->Schedule(parent_waiter_);
}

absl::Status Nursery::Result() {
#if defined(__cpp_exceptions)
  if (!errors_.empty()) {
    if (!status_.ok() && !absl::IsCancelled(status_)) errors_.Add(status_);
    errors_.ThrowIfAny();
  }
#endif
  return std::move(status_);
}

namespace internal {

void AllChildrenAwaiter::await_suspend(std::coroutine_handle<> handle) {
  NurseryAccess::WhenEmpty(nursery_, handle);
}

void AllChildrenAwaiter::await_resume() const noexcept {
  NurseryAccess::ParentResumed(nursery_);
}

void NurseryAccess::Note(Nursery& nursery, absl::Status status) {
  nursery.Note(std::move(status));
}

void NurseryAccess::Note(Nursery& nursery, std::exception_ptr error) noexcept {
  nursery.Note(std::move(error));
}

absl::Status NurseryAccess::Result(Nursery& nursery) {
  return nursery.Result();
}

size_t NurseryAccess::Depth(const Nursery& nursery) {
  return nursery.link_.depth;
}

void NurseryAccess::ParentResumed(Nursery& nursery) noexcept {
  nursery.parent_waiter_.Resumed();
}

void NurseryAccess::TakeOver(Nursery& nursery, Task& child,
                             CancelState& scope) {
  nursery.TakeOver(child, scope);
}

void NurseryAccess::WhenEmpty(Nursery& nursery,
                              std::coroutine_handle<> handle) {
  nursery.parent_waiter_.task = &nursery.parent_;
  nursery.parent_waiter_.handle = handle;
  nursery.parent_waiter_.ParkUnshared();
  nursery.CloseIfEmpty();
}

void NurseryAccess::BeginStart(Nursery& nursery) {
  (void)nursery.PlaceForChild("Start");  // an error if it is closed
  ++nursery.pending_starts_;
}

void NurseryAccess::EndStart(Nursery& nursery) {
  --nursery.pending_starts_;
  nursery.CloseIfEmpty();
}

StartedChild::StartedChild(Nursery& target)
    : task_(CurrentTask()),
      target_(target),
      scope_(*TaskAccess::Cancellation(task_).loop,
             TaskAccess::Cancellation(task_).scope) {
  TaskAccess::Cancellation(task_).MoveTo(&scope_);
}

StartedChild::~StartedChild() {
  Cancellable& cancellation = TaskAccess::Cancellation(task_);
  if (cancellation.scope != &scope_) DieMisnested(task_);
  cancellation.MoveTo(scope_.parent());
}

bool StartedChild::MayStart() {
  if (started_) {
    ThrowOrDie(std::logic_error(
        absl::StrCat("greenback::TaskStatus::Started(): called again in task "
                     "\"",
                     task_.name(), "\"; call it once")));
  }
  // A cancelled task stays where it is, and ends there.
  started_ = scope_.is_cancelled();
  return !started_;
}

void StartedChild::Started() {
  started_ = true;
  NurseryAccess::TakeOver(target_, task_, scope_);
}

absl::Status ExplainNotStarted(absl::Status status) {
  if (!status.ok()) return status;
  status = TaskAccess::CancellationPoint(CurrentTask());
  if (!status.ok()) return status;
  return absl::FailedPreconditionError(
      "greenback::Nursery::Start(): the task has ended without calling "
      "TaskStatus::Started(); call it when the task is ready, or use "
      "StartSoon()");
}

}  // namespace internal
}  // namespace greenback
