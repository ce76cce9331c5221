#include "greenback/runtime/sleep.h"

#include "greenback/runtime/task.h"

namespace greenback::internal {

void SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
  Cancellable& waiter = CurrentCancellable();
  const bool ends = deadline != absl::InfiniteFuture();
  const bool has_ended = ends && deadline <= waiter.loop->clock().Now();
  // Before anything refers to this wait: there may be no memory for a timer.
  if (ends && !has_ended && !waiter.is_cancelled()) {
    waiter.loop->Arm(*this, deadline);
  }
  if (!Begin(waiter, handle)) return;
  // A checkpoint, and no wait for the next look at the timers.
  if (has_ended) Finish();
}

bool SleepAwaiter::Abort() {
  Loop::Current()->Disarm(*this);
  return true;
}

absl::Status SleepAwaiter::await_resume() { return TakeResult(); }

}  // namespace greenback::internal
