// CancelScope: a stretch of a task that can be called off.
//
//   greenback::CancelScope scope = greenback::MoveOnAfter(absl::Seconds(5));
//   absl::StatusOr<Reply> reply = co_await Ask(server);
//   if (scope.cancelled_caught()) ...                     // took too long
//
// From Cancel() on, or when the deadline has passed, every cancellation point
// in the scope gives kCancelled, again and again (level-triggered), until the
// scope is left; so does every scope inside it that is not shielded, and every
// child of a nursery inside it.
//
// RAII, in coroutines and in synchronous code alike: the scope covers what its
// task does from construction to destruction. Scopes of a task are left in
// reverse order, and before it ends; otherwise the program aborts with a
// message.
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
  // Around what the running task does next.
  explicit CancelScope(absl::Time deadline = absl::InfiniteFuture());
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  ~CancelScope();

  void Cancel() { state_.Cancel(); }

  // The run's clock cancels the scope at this time; at once when it has passed.
  void set_deadline(absl::Time deadline) { state_.SetDeadline(deadline); }
  absl::Time deadline() const { return state_.deadline(); }

  // Whether cancellation from around the scope stops at it.
  void set_shield(bool shield) { state_.SetShield(shield); }
  bool shield() const { return state_.shield(); }

  // Whether Cancel() was called or the deadline has passed.
  bool cancel_called() const { return state_.cancel_called(); }
  // Whether a cancellation point gave kCancelled because of this scope.
  bool cancelled_caught() const { return state_.cancelled_caught(); }

 private:
  friend class Nursery;
  internal::Cancellable& task_;
  internal::CancelState state_;
};

// A scope that is cancelled at a time. What was cut short shows as kCancelled.
inline CancelScope MoveOnAt(absl::Time deadline) {
  return CancelScope(deadline);
}
// After a time from now.
CancelScope MoveOnAfter(absl::Duration timeout);

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CANCEL_SCOPE_H_
