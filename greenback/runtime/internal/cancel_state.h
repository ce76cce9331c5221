// The tree of cancel scopes, and what waits below it. Internal: CancelScope is
// the public side.
//
// Each scope knows whether it is cancelled in effect (itself, or one around it
// with no shield between), so that a cancellation point is one load. Cancelling
// walks down: to the tasks in a scope, and to the scopes inside it.
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

// A wait that can be cancelled. Lives in the awaiter.
//
// The coroutine that waits may be destroyed, on the run's thread. The awaiter
// then leaves all lists that it is in: here those of the runtime, and in the
// destructor of the derived class, which calls LeaveIfWaiting(), those of
// whatever it waits for.
class CancellableWait : private CancelHook, private NeedsRun {
 protected:
  CancellableWait() = default;
  ~CancellableWait() {
    if (waiter_.is_waiting()) [[unlikely]]
      LeaveRuntime();
  }

  // For the destructor of the final class: if what is waited for may still
  // come, calls Abort(), and dies with a message about `what` when that gives
  // false.
  void LeaveIfWaiting(const char* what) {
    if (is_waiting()) [[unlikely]]
      Leave(what);
  }

  // `task`, which runs, waits from now on, until Finish(). False when it is
  // cancelled already: then it is scheduled at once, and must still suspend.
  bool Begin(Cancellable& task, std::coroutine_handle<> handle);
  // The same, but Abort() decides, also when it is cancelled already.
  void BeginOrAbort(Cancellable& task, std::coroutine_handle<> handle);
  // What was waited for has come: the task is scheduled. Must be waiting.
  void Finish();
  // For a wait whose Abort() gave false, when it ended because of that.
  void MarkCancelled() { cancelled_ = true; }
  // Whether Finish() has not been called yet.
  bool is_waiting() const { return waiter_.is_parked(); }
  // For await_resume, which calls it on every path: OK, or kCancelled and noted
  // in the scope that caused it.
  absl::Status TakeResult();

 private:
  void Leave(const char* what);
  void LeaveRuntime() noexcept;
  void Prepare(Cancellable& task, std::coroutine_handle<> handle);
  void OnCancel() final;
  // The task is cancelled. True: what was waited for will never be delivered,
  // and the task goes on at once. False: it cannot be called off, or only in
  // its own time; the wait goes on until Finish().
  virtual bool Abort() = 0;

  // Parked until Finish(), and fired until TakeResult().
  Waiter waiter_{Waiter::Kind::kCoroutine};
  Cancellable* task_ = nullptr;
  bool cancelled_ = false;
};

// A coroutine that waits in `what` is destroyed and must not be: says so, and
// aborts.
[[noreturn]] void DieDestroyed(const PortalTask& task, const char* what,
                               const char* fix);

// The part of a task that scopes see.
struct Cancellable : ListItem<Cancellable> {
  PortalTask* task = nullptr;
  Loop* loop = nullptr;
  CancelState* scope = nullptr;  // innermost
  CancelHooks hooks;
  // Passed so far, for AssertCheckpoints.
  uint64_t cancellation_points = 0;

  void MoveTo(CancelState* to);
  bool is_cancelled() const;
  // kCancelled, noted in the scope that caused it.
  absl::Status Cancelled();
};

class CancelState final : private Timer, public ListItem<CancelState> {
 public:
  // Inside `parent`; null for the outermost scope of a run.
  CancelState(Loop& loop, CancelState* parent);
  CancelState(const CancelState&) = delete;
  CancelState& operator=(const CancelState&) = delete;
  ~CancelState();

  // From now on inside `parent`.
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
  // Works out effective_ here and below, and cancels the waits of what has
  // become cancelled.
  void Update();
  // Whether there was anything to change here.
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
