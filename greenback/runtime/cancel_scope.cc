#include "greenback/runtime/cancel_scope.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "greenback/runtime/clock.h"

namespace greenback {

CancelScope::CancelScope(absl::Time deadline)
    : task_(internal::CurrentCancellable()), state_(*task_.loop, task_.scope) {
  task_.MoveTo(&state_);
  if (deadline != absl::InfiniteFuture()) state_.SetDeadline(deadline);
}

CancelScope::~CancelScope() {
  if (task_.scope != &state_) {
    std::fprintf(
        stderr,
        "greenback: a CancelScope or Nursery of task \"%s\" ends while "
        "one inside it is open; end them in reverse order\n",
        std::string(task_.task->name()).c_str());
    std::abort();
  }
  task_.MoveTo(state_.parent());
}

CancelScope MoveOnAfter(absl::Duration timeout) {
  return CancelScope(CurrentTime() + timeout);
}

}  // namespace greenback
