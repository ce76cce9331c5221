// CancelScope: a part of a task that can be cancelled.
//
//   greenback::CancelScope scope = greenback::MoveOnAfter(absl::Seconds(5));
//   absl::StatusOr<Reply> reply = co_await Ask(server);
//   if (scope.cancelled_caught()) ...                     // took too long
//
// From Cancel() on, or when the deadline has passed, every cancellation point
// in the scope returns kCancelled, again and again (level-triggered), until the
// scope ends. The same holds in every scope inside it that is not shielded, and
// in every child of a nursery inside it.
//
// RAII, in coroutines and in synchronous code: the scope covers what its task
// does from construction to destruction. Scopes of a task must end in reverse
// order, and before the task ends; otherwise the program aborts with a message.
// Cancel() and the setters may be called by any task of the run, on its thread.
// Never suspends.
#ifndef GREENBACK_RUNTIME_CANCEL_SCOPE_H_
#define GREENBACK_RUNTIME_CANCEL_SCOPE_H_

#include "absl/time/time.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/task.h"

namespace greenback {

class [[nodiscard]] CancelScope {
 public:
  // Begins a scope in the running task.
  explicit CancelScope(absl::Time deadline = absl::InfiniteFuture());
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  ~CancelScope();

  void Cancel() { state_.Cancel(); }

  // The run's clock cancels the scope at this time; at once if that has passed.
  void set_deadline(absl::Time deadline) { state_.SetDeadline(deadline); }
  absl::Time deadline() const { return state_.deadline(); }

  // Whether cancellation of the enclosing scopes stops here.
  void set_shield(bool shield) { state_.SetShield(shield); }
  bool shield() const { return state_.shield(); }

  // Whether Cancel() was called or the deadline has passed.
  bool cancel_called() const { return state_.cancel_called(); }
  // Whether a cancellation point returned kCancelled because of this scope.
  bool cancelled_caught() const { return state_.cancelled_caught(); }

 private:
  friend class Nursery;
  internal::Cancellable& task_;
  internal::CancelState state_;
};

// A scope that is cancelled at `deadline`. Operations that it cuts short return
// kCancelled.
inline CancelScope MoveOnAt(absl::Time deadline) {
  return CancelScope(deadline);
}
// The same, `timeout` from now.
CancelScope MoveOnAfter(absl::Duration timeout);

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CANCEL_SCOPE_H_
