#include "greenback/internal/portal_awaiters.h"

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::internal {

void EnsurePortalAwaiter::Open() {
  PortalTask* const task = ThisThread().current_task;
  if (task == nullptr) {
    ThrowOrDie(PortalError(
        PortalError::Reason::kNoTask,
        absl::StrCat("greenback::EnsurePortal at ", Describe(where_),
                     ": no task is running on this thread; co_await it in a "
                     "coroutine that runs as a task, or, in a coroutine of "
                     "another library, co_await greenback::WithPortalRunSync() "
                     "for each call instead")));
  }
  if (waiter_.is_waiting()) {
    ThrowOrDie(AwaitableError(
        absl::StrCat("greenback::EnsurePortal at ", Describe(where_),
                     ": awaited while another co_await waits for it; call "
                     "EnsurePortal() for each co_await")));
  }
  PortalAccess::Set(*task, PortalAccess::Portal::kOpen);
  waiter_.task = task;
}

void ReportAwaitedTwice(const char* what) {
  ThrowOrDie(AwaitableError(absl::StrCat(
      "greenback::", what,
      ": awaited twice, or after it was moved from; its function and arguments "
      "are used up: call ",
      what, "() again for another call")));
}

}  // namespace greenback::internal
