#include "greenback/runtime/sleep.h"

#include "greenback/runtime/task.h"

namespace greenback::internal {

void SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
  Cancellable& waiter = CurrentCancellable();
  const bool ends = deadline != absl::InfiniteFuture();
  const bool has_ended = ends && deadline <= waiter.loop->clock().Now();
  // Done before anything refers to this wait: there may be no memory for a
  // timer.
  if (ends && !has_ended && !waiter.is_cancelled()) {
    waiter.loop->Arm(*this, deadline);
  }
  if (!Begin(waiter, handle)) return;
  // Makes a checkpoint, without waiting until the loop next checks its timers.
  if (has_ended) Finish();
}

bool SleepAwaiter::Abort() {
  Loop::Current()->Disarm(*this);
  return true;
}

absl::Status SleepAwaiter::await_resume() { return TakeResult(); }

}  // namespace greenback::internal
