// FailAfter() and FailAt(): a stretch of a task that must end in time.
//
//   greenback::FailScope scope = greenback::FailAfter(absl::Seconds(5));
//   co_return scope.Check(co_await Ask(server));   // kDeadlineExceeded if late
//
// As MoveOnAfter() (cancel_scope.h), which is for when it is no failure that
// the time was up: this one says so in the result. Nothing here suspends.
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

  // What came out of the scope as it is, but kDeadlineExceeded in place of
  // kCancelled once this scope has caused one, by its deadline or by Cancel().
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
// After a time from now.
inline FailScope FailAfter(absl::Duration timeout) {
  return FailScope(CurrentTime() + timeout);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_FAIL_SCOPE_H_
