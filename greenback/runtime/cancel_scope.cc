#include "greenback/runtime/cancel_scope.h"

#include "greenback/runtime/clock.h"

namespace greenback {

CancelScope::CancelScope(absl::Time deadline)
    : task_(internal::CurrentCancellable()), state_(*task_.loop, task_.scope) {
  task_.MoveTo(&state_);
  if (deadline != absl::InfiniteFuture()) state_.SetDeadline(deadline);
}

CancelScope::~CancelScope() {
  if (task_.scope != &state_) internal::DieMisnested(*task_.task);
  task_.MoveTo(state_.parent());
}

CancelScope MoveOnAfter(absl::Duration timeout) {
  return CancelScope(CurrentTime() + timeout);
}

}  // namespace greenback
