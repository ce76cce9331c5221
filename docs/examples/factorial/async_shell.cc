#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/shell.h"
#include "greenback/await.h"
#include "greenback/runtime/process.h"
#include "greenback/runtime/task.h"

namespace factorial {
namespace {

struct Slow {
  std::string who;
  double seconds = 0;
};

Slow& SlowTask() {
  static auto* const slow = new Slow;
  return *slow;
}

}  // namespace

void SlowDown(const std::string& who, double seconds) {
  SlowTask() = {who, seconds};
}

absl::Status RunShell(const std::string& command) {
  std::string script = command;
  if (greenback::CurrentTask().name() == SlowTask().who) {
    script = absl::StrCat("sleep ", SlowTask().seconds, "; ", command);
  }
  absl::StatusOr<greenback::ProcessResult> ran =
      greenback::Await(greenback::RunProcess({"sh", "-c", script}));
  if (!ran.ok()) return ran.status();
  if (!ran->ok()) {
    return absl::UnknownError(absl::StrCat("the shell failed at: ", script));
  }
  return absl::OkStatus();
}

}  // namespace factorial
