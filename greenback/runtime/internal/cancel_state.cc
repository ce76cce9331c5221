#include "greenback/runtime/internal/cancel_state.h"

#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "greenback/no_await_scope.h"

namespace greenback::internal {

void CancellableWait::Prepare(Cancellable& task,
                              std::coroutine_handle<> handle) {
  task_ = &task;
  waiter_.task = task.task;
  waiter_.handle = handle;
  waiter_.ParkUnshared();
  ++task.cancellation_points;
}

bool CancellableWait::Begin(Cancellable& task, std::coroutine_handle<> handle) {
  Prepare(task, handle);
  cancelled_ = task.is_cancelled();
  if (cancelled_) {
    Finish();
    return false;
  }
  task.hooks.Add(*this);
  return true;
}

void CancellableWait::BeginOrAbort(Cancellable& task,
                                   std::coroutine_handle<> handle) {
  Prepare(task, handle);
  cancelled_ = false;
  if (task.is_cancelled()) {
    OnCancel();
  } else {
    task.hooks.Add(*this);
  }
}

absl::Status CancellableWait::TakeResult() {
  waiter_.Resumed();
  if (!cancelled_) return absl::OkStatus();
  return task_->Cancelled();
}

void CancellableWait::OnCancel() {
  if (!Abort()) return;
  cancelled_ = true;
  Finish();
}

void CancellableWait::Finish() {
  CancelHooks::Remove(*this);
  waiter_.Queue();
  task_->loop->Schedule(waiter_);
}

void CancellableWait::Leave(const char* what) {
  if (Loop::Current() != task_->loop) {
    DieDestroyed(*task_->task, what, "destroy it on the run's thread");
  }
  // From here on it cannot be cancelled by a scope.
  CancelHooks::Remove(*this);
  if (!Abort() && is_waiting()) {
    DieDestroyed(*task_->task, what,
                 "that wait cannot be cancelled; let the coroutine end");
  }
}

void CancellableWait::LeaveRuntime() noexcept {
  CancelHooks::Remove(*this);
  Loop::Withdraw(waiter_);
}

void DieDestroyed(const PortalTask& task, const char* what, const char* fix) {
  std::fprintf(stderr,
               "greenback: in task \"%s\" a coroutine was destroyed while it "
               "waited in %s; %s\n",
               std::string(task.name()).c_str(), what, fix);
  std::abort();
}

void Cancellable::MoveTo(CancelState* to) {
  LeaveList();
  scope = to;
  if (to != nullptr) to->tasks_.PushFront(*this);
}

absl::Status Cancellable::Cancelled() {
  CancelState* cause = nullptr;
  for (CancelState* state = scope; state != nullptr; state = state->parent_) {
    if (state->called_) cause = state;
    if (state->shield_) break;
  }
  if (cause != nullptr) cause->caught_ = true;
  return absl::CancelledError(
      "greenback: the task's cancel scope is cancelled");
}

CancelState::CancelState(Loop& loop, CancelState* parent)
    : loop_(loop), parent_(parent) {
  if (parent == nullptr) return;
  effective_ = parent->effective_;
  parent->children_.PushFront(*this);
}

CancelState::~CancelState() {
  loop_.Disarm(*this);
  LeaveList();
}

void CancelState::MoveTo(CancelState& parent) {
  LeaveList();
  parent_ = &parent;
  parent.children_.PushFront(*this);
  Update();
}

void CancelState::Cancel() {
  if (called_) return;
  called_ = true;
  loop_.Disarm(*this);
  Update();
}

void CancelState::SetShield(bool shield) {
  if (shield_ == shield) return;
  shield_ = shield;
  Update();
}

void CancelState::SetDeadline(absl::Time deadline) {
  if (called_ || deadline == absl::InfiniteFuture()) {
    loop_.Disarm(*this);
  } else if (deadline <= loop_.clock().Now()) {
    deadline_ = deadline;
    Cancel();
  } else {
    loop_.Arm(*this, deadline);  // may throw std::bad_alloc
  }
  deadline_ = deadline;
}

void CancelState::Update() {
  // Not recursive: scopes nest as deeply as coroutines do.
  CancelState* state = this;
  while (true) {
    CancelState* next =
        state->UpdateThisOne() ? state->children_.first() : nullptr;
    while (next == nullptr) {
      if (state == this) return;
      next = state->parent_->children_.Next(*state);
      state = state->parent_;
    }
    state = next;
  }
}

bool CancelState::UpdateThisOne() {
  const bool effective =
      called_ || (parent_ != nullptr && !shield_ && parent_->effective_);
  if (effective == effective_) return false;
  effective_ = effective;
  if (effective) {
    // A hook that awaited would let tasks end, and lists change, meanwhile.
    const NoAwaitScope no_await;
    for (Cancellable* task = tasks_.first(); task != nullptr;
         task = tasks_.Next(*task)) {
      task->hooks.Cancel();
    }
  }
  return true;
}

}  // namespace greenback::internal
