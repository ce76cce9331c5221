#include "greenback/asio/run_executor.h"

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "greenback/host/host_io.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/thread_state.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::asio {
namespace {

using greenback::internal::HostIo;
using greenback::internal::ThrowOrDie;

[[noreturn]] void ReportNoRun() {
  const PortalTask* const task = greenback::internal::ThisThread().current_task;
  if (task != nullptr) {
    ThrowOrDie(PortalError(
        PortalError::Reason::kWrongHost,
        absl::StrCat(
            "greenback::asio::RunExecutor(): task \"", task->name(),
            "\" is run by ", task->host(),
            ", and this is for tasks that are run by "
            "greenback::Run(); use greenback::asio::CurrentExecutor(), "
            "which works in both")));
  }
  ThrowOrDie(std::logic_error(
      "greenback::asio::RunExecutor(): no task of a run is running on this "
      "thread; call it in code that greenback::Run() runs"));
}

}  // namespace

boost::asio::io_context::executor_type RunExecutor() {
  HostIo* const io = HostIo::Current();
  if (io == nullptr) ReportNoRun();
  io->KeepPolling();
  return io->context().get_executor();
}

}  // namespace greenback::asio
