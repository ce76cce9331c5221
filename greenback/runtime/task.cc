#include "greenback/runtime/task.h"

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "greenback/context/exceptions.h"

namespace greenback {

Task::Task(internal::Loop& loop, Nursery* parent, internal::CancelState& scope)
    : parent_(parent) {
  name_ =
      parent != nullptr ? absl::StrCat("task ", loop.NextTaskNumber()) : "main";
  cancellation_.task = this;
  cancellation_.loop = &loop;
  cancellation_.MoveTo(&scope);
}

Task::~Task() {
  cancellation_.loop->ForgetPromotions(*this);
  cancellation_.MoveTo(nullptr);
}

absl::Status Task::ReserveFiber() { return cancellation_.loop->ReserveFiber(); }

void Task::Park(internal::ParkPoint& point) { cancellation_.loop->Park(point); }

void Task::Wake(internal::ParkPoint& point) noexcept {
  cancellation_.loop->Wake(point);
}

void Task::ScheduleCheckpoint(internal::ReadyNode& node) {
  cancellation_.loop->Schedule(node);
}

absl::Status Task::FinishCheckpoint() {
  return internal::TaskAccess::CancellationPoint(*this);
}

bool Task::AddCancelHook(internal::CancelHook& hook) {
  if (cancellation_.is_cancelled()) return false;
  cancellation_.hooks.Add(hook);
  return true;
}

void Task::OnSelfBestowed() {
  cancellation_.loop->PromoteAfterStep(*this, [](PortalTask& task) {
    static_cast<Task&>(task).PromoteBestowed();
  });
}

namespace internal {

void DieOutsideRun(const char* what) {
  context::ThrowOrDie(std::logic_error(absl::StrCat(
      "greenback::", what,
      ": no task of a run is running on this thread; call it below a coroutine "
      "that greenback::Run() runs")));
}

}  // namespace internal

}  // namespace greenback
