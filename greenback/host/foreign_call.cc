#include "greenback/host/foreign_call.h"

#include <atomic>

#include "greenback/host/portal_task.h"

namespace greenback::internal {

ForeignTask::ForeignTask() : StepTask("a coroutine of another library") {
  PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
  set_has_parked(&has_parked_);
}

void ForeignTask::End() {
  if (!has_parked_) {
    // Nobody else knows of it: Suspend() comes after this, on this thread.
    race_.CompleteInline();
    return;
  }
  if (!race_.CompleteIfFirst()) ResumeAfterStep(coroutine_);
}

void ForeignTask::ScheduleCheckpoint(Waiter& waiter) {
  ContinueAfterStep(waiter);
}

}  // namespace greenback::internal
