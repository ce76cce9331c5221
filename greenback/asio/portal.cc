#include "greenback/asio/portal.h"

#include "absl/strings/str_cat.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/coroutine_wait.h"
#include "greenback/asio/run_executor.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::asio {

PortalTask& CurrentTask(std::source_location where) {
  if (internal::CoroutineTask* const task =
          internal::CoroutineTask::Current()) {
    return *task;
  }
  greenback::internal::ThrowOrDie(PortalError(
      PortalError::Reason::kNoTask,
      absl::StrCat("greenback::asio::CurrentTask at ",
                   greenback::internal::Describe(where),
                   ": no task of Boost.Asio's is running on this thread; call "
                   "it in a coroutine that greenback::asio::CoSpawn() has "
                   "spawned, or that has a portal")));
}

boost::asio::any_io_executor CurrentExecutor(std::source_location where) {
  if (const internal::CoroutineTask* const task =
          internal::CoroutineTask::Current()) {
    return task->executor();
  }
  if (internal::InRun()) return RunExecutor();
  greenback::internal::ThrowOrDie(PortalError(
      PortalError::Reason::kNoTask,
      absl::StrCat("greenback::asio::CurrentExecutor at ",
                   greenback::internal::Describe(where),
                   ": no task that has one is running on this thread; call it "
                   "in a coroutine that has a portal, or that greenback::Run() "
                   "runs")));
}

}  // namespace greenback::asio
