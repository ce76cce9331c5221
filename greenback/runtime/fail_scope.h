// FailAfter() and FailAt(): a part of a task that must end in time.
//
//   greenback::FailScope scope = greenback::FailAfter(absl::Seconds(5));
//   co_return scope.Check(co_await Ask(server));   // kDeadlineExceeded if late
//
// Use these when exceeding the time is a failure: the result says so. Use
// MoveOnAfter() (cancel_scope.h) when it is not. Nothing here suspends.
#ifndef GREENBACK_RUNTIME_FAIL_SCOPE_H_
#define GREENBACK_RUNTIME_FAIL_SCOPE_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/clock.h"

namespace greenback {

class [[nodiscard]] FailScope : public CancelScope {
 public:
  using CancelScope::CancelScope;

  // Returns the result of the scope unchanged, but kDeadlineExceeded in place
  // of kCancelled if this scope has caused it, by its deadline or by Cancel().
  absl::Status Check(absl::Status result) const {
    return TooSlow(result) ? absl::DeadlineExceededError(
                                 "greenback: not done before the deadline")
                           : std::move(result);
  }
  template <class T>
  absl::StatusOr<T> Check(absl::StatusOr<T> result) const {
    if (TooSlow(result.status())) return Check(result.status());
    return result;
  }

 private:
  bool TooSlow(const absl::Status& result) const {
    return absl::IsCancelled(result) && cancelled_caught();
  }
};

inline FailScope FailAt(absl::Time deadline) { return FailScope(deadline); }
// The same, `timeout` from now.
inline FailScope FailAfter(absl::Duration timeout) {
  return FailScope(CurrentTime() + timeout);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_FAIL_SCOPE_H_
