#include "greenback/runtime/cancel_scope.h"

#include "greenback/runtime/clock.h"

namespace greenback {

CancelScope::CancelScope(absl::Time deadline)
    : task_(internal::CurrentCancellable()), state_(*task_.loop, task_.scope) {
  // Done first: if it throws, nothing refers to this scope yet.
  if (deadline != absl::InfiniteFuture()) state_.SetDeadline(deadline);
  task_.MoveTo(&state_);
}

CancelScope::~CancelScope() {
  if (task_.scope != &state_) internal::DieMisnested(*task_.task);
  task_.MoveTo(state_.parent());
}

CancelScope MoveOnAfter(absl::Duration timeout) {
  return CancelScope(CurrentTime() + timeout);
}

}  // namespace greenback
