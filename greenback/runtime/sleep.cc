#include "greenback/runtime/sleep.h"

#include "greenback/runtime/task.h"

namespace greenback::internal {

void SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
  if (!Begin(CurrentCancellable(), handle)) return;
  if (deadline != absl::InfiniteFuture()) {
    Loop::Current()->Arm(*this, deadline);
  }
}

bool SleepAwaiter::Abort() {
  Loop::Current()->Disarm(*this);
  return true;
}

absl::Status SleepAwaiter::await_resume() { return result(); }

}  // namespace greenback::internal
