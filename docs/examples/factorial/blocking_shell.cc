#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/shell.h"

namespace factorial {
namespace {

double delay_of_next = 0;

}  // namespace

void SlowDown(const std::string& who, double seconds) {
  delay_of_next = who.empty() ? 0 : seconds;
}

absl::Status RunShell(const std::string& command) {
  std::string script = command;
  if (const double delay = std::exchange(delay_of_next, 0); delay > 0) {
    script = absl::StrCat("sleep ", delay, "; ", command);
  }
  std::string sh = "sh", option = "-c";
  char* const arguments[] = {sh.data(), option.data(), script.data(), nullptr};
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, "sh", nullptr, nullptr, arguments, environ);
  if (error != 0) return absl::ErrnoToStatus(error, "cannot run \"sh\"");
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    return absl::UnknownError(absl::StrCat("the shell failed at: ", script));
  }
  return absl::OkStatus();
}

}  // namespace factorial
