#include "greenback/host/portal_task.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "greenback/context/stack_overflow.h"

namespace greenback {

void PortalTask::Withdraw(internal::Waiter&) noexcept {
  std::fprintf(stderr,
               "greenback: a coroutine of task \"%s\" is destroyed while it is "
               "about to be resumed, and %s cannot remove it from its queue; "
               "let it end\n",
               std::string(name()).c_str(), host());
  std::abort();
}

void PortalTask::RemoveCancelHook(internal::CancelHook& hook) noexcept {
  internal::CancelHooks::Remove(hook);
}

const char* PortalTask::OverflowAdvice() const noexcept {
  return "call what recurses in greenback::RunOnFiber()";
}

void internal::ReportStackOverflows() noexcept {
  context::ReportStackOverflows();
  context::SetDescribeRunningTask([]() -> context::RunningTask {
    const PortalTask* const task = ThisThread().current_task;
    if (task == nullptr) return {};
    return {task->name().data(), task->OverflowAdvice()};
  });
}

}  // namespace greenback
