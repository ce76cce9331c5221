#include "greenback/senders/internal/sender_state.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "greenback/no_await_scope.h"

namespace greenback::internal {

void SenderStateBase::RequestStop() noexcept {
  owners_.fetch_add(1, std::memory_order_relaxed);
  {
    // The callbacks are other code's, and other frames of this task may be in
    // the middle of a cancellation.
    const NoAwaitScope no_await;
    stop_source_.request_stop();
  }
  Release();
}

void SenderStateBase::Leave() noexcept {
  if (is_completed()) [[likely]] {
    Release();
    return;
  }
  // From Leave() on, the completion may release this at any time.
  owners_.fetch_add(1, std::memory_order_relaxed);
  if (race_.Leave()) {
    RequestStop();
  } else {
    Release();
  }
  Release();
}

void SenderStateBase::Complete() noexcept {
  switch (race_.Complete()) {
    case SuspendRace::State::kSuspended:
      handle_.resume();
      break;
    case SuspendRace::State::kLeft:
      Release();
      break;
    default:
      break;  // the awaiter continues, and may have destroyed this already
  }
}

void SenderStateBase::Release() noexcept {
  if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void DieOfSenderError() {
  std::fputs(
      "greenback: an awaited sender has completed with set_error(), which is "
      "thrown, and this program is built without exceptions; let the sender "
      "complete with a value that can be an error\n",
      stderr);
  std::abort();
}

}  // namespace greenback::internal
