#include "greenback/internal/callback_state.h"

#include <atomic>

namespace greenback::internal {

void CallbackStateBase::Finish() {
  // A waiter that has not suspended yet may be destroyed, and this with it, as
  // soon as it finds the race completed.
  if (race_.Complete() == SuspendRace::State::kSuspended) handle_.resume();
}

void CallbackStateBase::Leave() {
  race_.Leave();
  Release();
}

void CallbackStateBase::DropCopy() {
  if (copies_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // This was the last copy: no other thread can copy or call `done` any more.
  if (!claimed_.load(std::memory_order_relaxed)) {
    dropped_ = true;
    Finish();
  }
  Release();
}

void CallbackStateBase::Release() {
  if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace greenback::internal
