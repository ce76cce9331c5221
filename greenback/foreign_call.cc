#include "greenback/foreign_call.h"

#include <atomic>

#include "greenback/portal_task.h"

namespace greenback::internal {

ForeignTask::ForeignTask() : StepTask("a coroutine of another library") {
  PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
}

void ForeignTask::End() {
  if (phase_.exchange(Phase::kEnded, std::memory_order_acq_rel) ==
      Phase::kSuspended) {
    ResumeAfterStep(coroutine_);
  }
}

void ForeignTask::ScheduleCheckpoint(ReadyNode& node) {
  checkpoint_.node.handle = node.handle;
  checkpoint_.node.point = nullptr;  // resumed as a coroutine, waker or not
  checkpoint_.state.store(ParkPoint::kParked, std::memory_order_relaxed);
  PortalAccess::Wake(checkpoint_);
}

}  // namespace greenback::internal
