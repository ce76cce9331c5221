// Sleep(), SleepUntil() and SleepForever(): sleep by the run's clock.
//
//   absl::Status slept = co_await greenback::Sleep(absl::Milliseconds(50));
//
// co_await -> absl::Status: OK, or kCancelled if the task's cancel scope is
// cancelled first. Always a schedule point and a cancellation point, also for a
// time in the past. Resumed by the run's loop, on its thread.
#ifndef GREENBACK_RUNTIME_SLEEP_H_
#define GREENBACK_RUNTIME_SLEEP_H_

#include <coroutine>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/loop.h"

namespace greenback {

namespace internal {

class SleepAwaiter final : private CancellableWait, private Timer {
 public:
  explicit SleepAwaiter(absl::Time end) { deadline = end; }
  ~SleepAwaiter() { LeaveIfWaiting("Sleep()"); }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  absl::Status await_resume();

 private:
  void Fire() override { Finish(); }
  bool Abort() override;
};

}  // namespace internal

// Sleeps until `deadline`; InfiniteFuture means until the task is cancelled.
inline auto SleepUntil(absl::Time deadline) {
  return internal::SleepAwaiter(deadline);
}
inline auto SleepForever() { return SleepUntil(absl::InfiniteFuture()); }
// The duration begins with this call, not with the co_await.
inline auto Sleep(absl::Duration duration) {
  return SleepUntil(CurrentTime() + duration);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_SLEEP_H_
