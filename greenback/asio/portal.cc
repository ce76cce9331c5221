#include "greenback/asio/portal.h"

#include "absl/strings/str_cat.h"
#include "greenback/asio/run_executor.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback {
namespace internal {

AsioTaskEnd::~AsioTaskEnd() {
  PortalAccess::Set(task_, PortalAccess::Portal::kNone);
  task_.set_coroutine({});
  // Else the coroutine is destroyed while it does not run.
  PortalTask*& running = ThisThread().current_task;
  if (running == &task_) running = nullptr;
}

}  // namespace internal

namespace asio {

PortalTask& CurrentTask(std::source_location where) {
  if (internal::AsioTask* const task = internal::AsioTask::Current()) {
    return *task;
  }
  context::ThrowOrDie(PortalError(
      PortalError::Reason::kNoTask,
      absl::StrCat("greenback::asio::CurrentTask at ",
                   internal::Describe(where),
                   ": no task of Boost.Asio's is running on this thread; call "
                   "it below a coroutine that greenback::asio::CoSpawn() has "
                   "spawned, or that has a portal")));
}

boost::asio::any_io_executor CurrentExecutor(std::source_location where) {
  if (const internal::AsioTask* const task = internal::AsioTask::Current()) {
    return task->executor();
  }
  if (internal::InRun()) return RunExecutor();
  context::ThrowOrDie(PortalError(
      PortalError::Reason::kNoTask,
      absl::StrCat("greenback::asio::CurrentExecutor at ",
                   internal::Describe(where),
                   ": no task that has one is running on this thread; call it "
                   "below a coroutine with a portal, or that greenback::Run() "
                   "runs")));
}

}  // namespace asio
}  // namespace greenback
