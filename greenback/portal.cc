#include "greenback/portal.h"

#include "absl/strings/str_cat.h"
#include "greenback/context/exceptions.h"

namespace greenback {

using internal::PortalAccess;
using internal::ThisThread;
using Portal = PortalAccess::Portal;

bool HasPortal() noexcept {
  const PortalTask* task = ThisThread().current_task;
  return task != nullptr && PortalAccess::IsOpen(*task);
}

bool HasPortal(const PortalTask& task) noexcept {
  return PortalAccess::IsOpen(task);
}

void BestowPortal(PortalTask& task) {
  if (PortalAccess::Get(task) != Portal::kNone) return;
  if (&task == ThisThread().current_task) {
    PortalAccess::Set(task, Portal::kBestowed);
    PortalAccess::OnSelfBestowed(task);
  } else {
    PortalAccess::Set(task, Portal::kOpen);
  }
}

namespace internal {
namespace {

PortalTask& RunningTask(const char* caller) {
  PortalTask* task = ThisThread().current_task;
  if (task != nullptr) return *task;
  context::ThrowOrDie(PortalError(
      PortalError::Reason::kNoTask,
      absl::StrCat("greenback::", caller,
                   ": no task is running on this thread; co_await it in a "
                   "coroutine that greenback::Run() runs")));
}

}  // namespace

bool EnsurePortalAwaiter::await_ready() {
  PortalTask* task = ThisThread().current_task;
  node_.task =
      task ? task
           : &RunningTask(
                 absl::StrCat("EnsurePortal at ", Describe(where_)).c_str());
  PortalAccess::Set(*node_.task, Portal::kOpen);
  return false;
}

PortalForCall::PortalForCall(const char* caller)
    : task_(RunningTask(caller)), before_(PortalAccess::Get(task_)) {
  PortalAccess::Set(task_, Portal::kOpen);
}

PortalForCall::~PortalForCall() {
  PortalAccess::Set(task_, before_);
  // A checkpoint that passed meanwhile found the portal open, so the bestowed
  // one still waits for its own.
  if (before_ == Portal::kBestowed) PortalAccess::OnSelfBestowed(task_);
}

}  // namespace internal
}  // namespace greenback
