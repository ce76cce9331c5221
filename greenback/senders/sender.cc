#include "greenback/senders/sender.h"

#include "absl/status/status.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

const char* SenderStopped::what() const noexcept {
  return "greenback: an awaited sender has completed with set_stopped(); catch "
         "greenback::SenderStopped where its result is not needed, or let the "
         "only value of the sender be an absl::Status or absl::StatusOr, for "
         "which the result is kCancelled";
}

namespace internal {

absl::Status SenderStoppedStatus(PortalTask* cancelled) {
  if (cancelled != nullptr) {
    absl::Status status = PortalAccess::FinishCheckpoint(*cancelled);
    if (!status.ok()) return status;
  }
  return absl::CancelledError(
      "greenback: an awaited sender has completed with set_stopped()");
}

void ThrowSenderStopped() { ThrowOrDie(SenderStopped()); }

}  // namespace internal
}  // namespace greenback
