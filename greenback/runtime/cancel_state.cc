#include "greenback/runtime/cancel_state.h"

#include <coroutine>

#include "absl/status/status.h"

namespace greenback::internal {
namespace {

// Intrusive lists, linked by a `next` and by the address of what points here.
template <class T>
void Link(T*& head, T& item, T* T::*next, T** T::*link) {
  item.*next = head;
  if (head != nullptr) head->*link = &(item.*next);
  head = &item;
  item.*link = &head;
}

template <class T>
void Unlink(T& item, T* T::*next, T** T::*link) {
  if (item.*link == nullptr) return;
  *(item.*link) = item.*next;
  if (item.*next != nullptr) item.*next->*link = item.*link;
  item.*link = nullptr;
}

}  // namespace

bool CancellableWait::Begin(Cancellable& waiter,
                            std::coroutine_handle<> handle) {
  waiter_ = &waiter;
  node_.task = waiter.task;
  node_.handle = handle;
  cancelled_ = waiter.is_cancelled();
  if (cancelled_) {
    waiter.loop->Schedule(node_);
    return false;
  }
  waiter.hooks.Add(*this);
  return true;
}

absl::Status CancellableWait::result() const {
  if (!cancelled_) return absl::OkStatus();
  return waiter_->Cancelled();
}

void CancellableWait::OnCancel() {
  if (!Abort()) return;
  cancelled_ = true;
  Finish();
}

void CancellableWait::Finish() {
  CancelHooks::Remove(*this);
  waiter_->loop->Schedule(node_);
}

void Cancellable::MoveTo(CancelState* to) {
  Unlink(*this, &Cancellable::next, &Cancellable::link);
  scope = to;
  if (to != nullptr) {
    Link(to->tasks_, *this, &Cancellable::next, &Cancellable::link);
  }
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
  Link(parent->children_, *this, &CancelState::next_, &CancelState::link_);
}

CancelState::~CancelState() {
  loop_.Disarm(*this);
  Unlink(*this, &CancelState::next_, &CancelState::link_);
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
  deadline_ = deadline;
  if (called_ || deadline == absl::InfiniteFuture()) {
    loop_.Disarm(*this);
  } else if (deadline <= loop_.clock().Now()) {
    Cancel();
  } else {
    loop_.Arm(*this, deadline);
  }
}

void CancelState::Update() {
  const bool effective =
      called_ || (parent_ != nullptr && !shield_ && parent_->effective_);
  if (effective == effective_) return;
  effective_ = effective;
  if (effective) {
    for (Cancellable* task = tasks_; task != nullptr; task = task->next) {
      task->hooks.Cancel();
    }
  }
  for (CancelState* child = children_; child != nullptr; child = child->next_) {
    child->Update();
  }
}

}  // namespace greenback::internal
