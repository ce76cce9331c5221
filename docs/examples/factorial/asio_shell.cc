#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/deferred.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/shell.h"
#include "greenback/asio/operation.h"
#include "greenback/asio/portal.h"
#include "greenback/await.h"
#include "greenback/task_local.h"

namespace factorial {
namespace {

double delay_of_next = 0;

// Of the running task, in seconds.
greenback::TaskLocal<double>& Delay() {
  static auto* const delay = new greenback::TaskLocal<double>(0);
  return *delay;
}

}  // namespace

void SlowDown(const std::string& who, double seconds) {
  delay_of_next = who.empty() ? 0 : seconds;
}

absl::Status RunShell(const std::string& command) {
  // The first number's task is the first that comes here.
  if (delay_of_next > 0) Delay().Set(std::exchange(delay_of_next, 0));
  std::string script = command;
  if (Delay().Get() > 0) {
    script = absl::StrCat("sleep ", Delay().Get(), "; ", command);
  }
  std::string sh = "sh", option = "-c";
  char* const arguments[] = {sh.data(), option.data(), script.data(), nullptr};
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, "sh", nullptr, nullptr, arguments, environ);
  if (error != 0) return absl::ErrnoToStatus(error, "cannot run \"sh\"");
  {
    boost::asio::posix::stream_descriptor process(
        greenback::asio::CurrentExecutor(),
        static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    greenback::Await(
        process.async_wait(process.wait_read, boost::asio::deferred));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    return absl::UnknownError(absl::StrCat("the shell failed at: ", script));
  }
  return absl::OkStatus();
}

}  // namespace factorial
