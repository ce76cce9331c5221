#include "greenback/runtime/sleep.h"

#include "greenback/runtime/task.h"

namespace greenback::internal {

void SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
  if (!Begin(CurrentCancellable(), handle)) return;
  if (deadline == absl::InfiniteFuture()) return;
  Loop& loop = *Loop::Current();
  if (deadline <= loop.clock().Now()) {
    Finish();  // a checkpoint, and no wait for the next look at the timers
  } else {
    loop.Arm(*this, deadline);
  }
}

bool SleepAwaiter::Abort() {
  Loop::Current()->Disarm(*this);
  return true;
}

absl::Status SleepAwaiter::await_resume() { return TakeResult(); }

}  // namespace greenback::internal
