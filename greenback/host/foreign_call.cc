#include "greenback/host/foreign_call.h"

#include "greenback/host/portal_task.h"

namespace greenback::internal {

ForeignTask::ForeignTask() : StepTask("a coroutine of another library") {
  PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
  set_has_parked(&has_parked_);
}

void ForeignTask::End() {
  if (!has_parked_) {
    // No other thread has access: Suspend() follows, on this thread.
    race_.CompleteInline();
    return;
  }
  if (!race_.CompleteIfFirst()) ResumeAfterStep(coroutine_);
}

}  // namespace greenback::internal
