#include "greenback/runtime/task.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"
#include "greenback/task_local.h"

namespace greenback {

Task::Task(const internal::TaskPlace& place)
    : PortalTask("greenback::Run()",
                 internal::kRunService.bit | internal::kIoService.bit),
      number_(place.nursery != nullptr ? place.loop.NextTaskNumber() : 0),
      owner_(&place.owner),
      parent_(place.nursery),
      outermost_scope_(&place.scope) {
  internal::PortalAccess::Locals(*this) = internal::CurrentLocals();
  cancellation_.task = this;
  cancellation_.loop = &place.loop;
  cancellation_.MoveTo(&place.scope);
  promotion_.task = this;
  promotion_.promote = [](PortalTask& task) {
    static_cast<Task&>(task).PromoteBestowed();
  };
}

Task::~Task() {
  if (cancellation_.scope != outermost_scope_) internal::DieMisnested(*this);
  if (!cancellation_.hooks.empty()) [[unlikely]]
    internal::DieWaitedFor(*this);
  promotion_.LeaveList();
  cancellation_.MoveTo(nullptr);
  LeaveList();
}

absl::string_view Task::name() const {
  if (name_.empty()) {
    name_ = parent_ == nullptr ? "init"
            : number_ == 0     ? "main"
                               : absl::StrCat("task ", number_);
  }
  return name_;
}

std::vector<Nursery*> Task::child_nurseries() const {
  std::vector<Nursery*> nurseries;
  for (const internal::NurseryLink* link = innermost_nursery_; link != nullptr;
       link = link->outer) {
    nurseries.push_back(link->nursery);
  }
  std::reverse(nurseries.begin(), nurseries.end());
  return nurseries;
}

absl::Status Task::ReserveFiber(internal::FiberWaiter*) {
  return cancellation_.loop->ReserveFiber();
}

context::SavedContext* Task::Park(internal::FiberWaiter& waiter) {
  return cancellation_.loop->Park(waiter);
}

void Task::Wake(internal::Waiter& waiter) noexcept {
  cancellation_.loop->Wake(waiter);
}

void Task::ScheduleCheckpoint(internal::Waiter& waiter) {
  cancellation_.loop->Schedule(waiter);
}

absl::Status Task::FinishCheckpoint() {
  return internal::TaskAccess::CancellationPoint(*this);
}

bool Task::AddCancelHook(internal::CancelHook& hook) {
  ++cancellation_.cancellation_points;
  if (cancellation_.is_cancelled()) return false;
  cancellation_.hooks.Add(hook);
  return true;
}

void Task::OnSelfBestowed() {
  cancellation_.loop->PromoteAfterStep(promotion_);
}

namespace internal {

void DieMisnested(const PortalTask& task) {
  std::fprintf(stderr,
               "greenback: a CancelScope or Nursery of task \"%s\" ends while "
               "one inside it is open; end them in reverse order, and before "
               "the task\n",
               std::string(task.name()).c_str());
  std::abort();
}

void DieWaitedFor(const PortalTask& task) {
  std::fprintf(stderr,
               "greenback: task \"%s\" ends while a coroutine of another "
               "library, which it has run, waits in it; let the task await the "
               "coroutine, or destroy the coroutine first\n",
               std::string(task.name()).c_str());
  std::abort();
}

}  // namespace internal
}  // namespace greenback
