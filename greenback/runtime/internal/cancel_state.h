// The tree of cancel scopes, and the waits that they cancel. Internal:
// CancelScope is the public side.
//
// Each scope knows whether it is effectively cancelled (it, or a scope around
// it with no shield in between), so that a cancellation point is one load.
// Cancelling a scope visits the tasks in it and the scopes inside it.
#ifndef GREENBACK_RUNTIME_INTERNAL_CANCEL_STATE_H_
#define GREENBACK_RUNTIME_INTERNAL_CANCEL_STATE_H_

#include <coroutine>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/runtime/internal/loop.h"

namespace greenback::internal {

class CancelState;
struct Cancellable;

// A wait that can be cancelled: the base class of the runtime's own awaiters.
// Everything outside of greenback/runtime/ uses WaitTaskRescheduled()
// (reschedule.h), which is built on this class. The runtime uses the class
// itself, since a task can be in several such waits at a time and no outcome is
// stored.
//
// The waiting coroutine may be destroyed, on the run's thread. The awaiter then
// removes itself from all lists: this class from the runtime's, and the derived
// class, by calling LeaveIfWaiting() in its destructor, from those of the
// object that it waits for.
class CancellableWait : private CancelHook, private NeedsRun {
 protected:
  CancellableWait() = default;
  ~CancellableWait() {
    if (waiter_.is_waiting()) [[unlikely]]
      LeaveRuntime();
  }

  // For the destructor of the final class: if Finish() may still be called,
  // calls Abort(), and if that returns false, aborts with a message about
  // `what`.
  void LeaveIfWaiting(const char* what) {
    if (is_waiting()) [[unlikely]]
      Leave(what);
  }

  // `task`, which is running, waits from now on, until Finish(). Returns false
  // if it is already cancelled: then it is scheduled at once, and must still
  // suspend.
  bool Begin(Cancellable& task, std::coroutine_handle<> handle);
  // The same, but if the task is already cancelled, Abort() decides whether the
  // wait ends.
  void BeginOrAbort(Cancellable& task, std::coroutine_handle<> handle);
  // The wait is over: schedules the task, which must be waiting.
  void Finish();
  // For a wait whose Abort() returned false, if it ended because of that call.
  void MarkCancelled() { cancelled_ = true; }
  // Whether it has begun, and Finish() has not been called yet.
  bool is_waiting() const { return waiter_.is_parked(); }
  // To be called on every path of await_resume: OK, or kCancelled, which is
  // noted in the scope that caused it.
  absl::Status TakeResult();

 private:
  void Leave(const char* what);
  void LeaveRuntime() noexcept;
  void Prepare(Cancellable& task, std::coroutine_handle<> handle);
  void OnCancel() final;
  // The task is cancelled. True: the operation will not complete any more, and
  // the task resumes at once. False: the operation cannot be cancelled, or ends
  // later because of this call; the wait continues until Finish().
  virtual bool Abort() = 0;

  // Parked until Finish(), and fired until TakeResult().
  Waiter waiter_{Waiter::Kind::kCoroutine};
  Cancellable* task_ = nullptr;
  bool cancelled_ = false;
};

// Prints that a coroutine was destroyed while it waited in `what`, which is an
// error, and aborts.
[[noreturn]] void DieDestroyed(const PortalTask& task, const char* what,
                               const char* fix);

// The part of a task that is known to scopes.
struct Cancellable : ListItem<Cancellable> {
  PortalTask* task = nullptr;
  Loop* loop = nullptr;
  CancelState* scope = nullptr;  // innermost
  CancelHooks hooks;
  // The number passed so far, for AssertCheckpoints.
  uint64_t cancellation_points = 0;

  void MoveTo(CancelState* to);
  bool is_cancelled() const;
  // Returns kCancelled, and notes that in the scope that caused it.
  absl::Status Cancelled();
};

class CancelState final : private Timer, public ListItem<CancelState> {
 public:
  // The scope is inside `parent`, which is null for a run's outermost scope.
  CancelState(Loop& loop, CancelState* parent);
  CancelState(const CancelState&) = delete;
  CancelState& operator=(const CancelState&) = delete;
  ~CancelState();

  // Moves the scope into `parent`.
  void MoveTo(CancelState& parent);

  void Cancel();
  void SetShield(bool shield);
  void SetDeadline(absl::Time deadline);

  bool cancel_called() const { return called_; }
  bool cancelled_caught() const { return caught_; }
  bool is_cancelled() const { return effective_; }
  bool shield() const { return shield_; }
  absl::Time deadline() const { return deadline_; }
  CancelState* parent() const { return parent_; }

 private:
  friend struct Cancellable;

  void Fire() override { Cancel(); }
  // Computes effective_ of this scope and those inside it, and cancels the
  // waits in scopes that have become cancelled.
  void Update();
  // Returns whether effective_ of this scope has changed.
  bool UpdateThisOne();

  Loop& loop_;
  CancelState* parent_;
  IntrusiveList<CancelState> children_;
  IntrusiveList<Cancellable> tasks_;
  absl::Time deadline_ = absl::InfiniteFuture();
  bool called_ = false;
  bool shield_ = false;
  bool effective_ = false;
  bool caught_ = false;
};

inline bool Cancellable::is_cancelled() const { return scope->is_cancelled(); }

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_CANCEL_STATE_H_
