#include "greenback/senders/internal/sender_task.h"

#include <atomic>
#include <cassert>
#include <mutex>

#include "absl/status/status.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/waiter.h"

namespace greenback::internal {

SenderTask::SenderTask() : StepTask("greenback::AsSender()") {
  PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
}

SenderTask::~SenderTask() {
  assert(!is_parked() &&
         "the operation of an AsSender() is destroyed before "
         "it has completed");
}

void SenderTask::Cancel() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_cancelled_.store(true, std::memory_order_relaxed);
    if (has_owner_) return;
    has_owner_ = true;
  }
  Serve();
}

void SenderTask::ScheduleContinue(Waiter& waiter) noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    fired_.Push(waiter);
    if (has_owner_) return;
    has_owner_ = true;
  }
  Serve();
}

void SenderTask::Serve() noexcept {
  while (!has_ended_) {
    Waiter* fired = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (has_called_hooks_ || !is_cancelled_.load(std::memory_order_relaxed)) {
        if (fired_.empty()) {
          has_owner_ = false;
          return;
        }
        fired = &static_cast<Waiter&>(fired_.Pop());
      }
    }
    if (fired != nullptr) {
      Continue(*fired);
    } else {
      has_called_hooks_ = true;
      // What they complete is queued: this thread owns the task.
      hooks_.Cancel();
    }
  }
  Complete();
}

absl::Status SenderTask::FinishCheckpoint() {
  if (!is_cancelled_.load(std::memory_order_relaxed)) return absl::OkStatus();
  return absl::CancelledError(
      "greenback: the receiver of this sender has requested a stop");
}

bool SenderTask::AddCancelHook(CancelHook& hook) {
  // If it is cancelled after this, the owner calls the hook when the step has
  // parked.
  if (is_cancelled_.load(std::memory_order_relaxed)) return false;
  hooks_.Add(hook);
  return true;
}

}  // namespace greenback::internal
