// The blocking program: one number after the other.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/arguments.h"
#include "docs/examples/factorial/factorial.h"
#include "docs/examples/factorial/shell.h"

namespace factorial {
namespace {

absl::Status PrintAll(const Arguments& arguments) {
  for (int64_t n : arguments.numbers) {
    absl::Status printed = Explain(n, PrintFact(n));
    if (!printed.ok()) return printed;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace factorial

int main(int argc, char** argv) {
  absl::StatusOr<factorial::Arguments> arguments =
      factorial::ParseArguments(argc, argv);
  if (!arguments.ok()) return factorial::ExitCode(arguments.status());
  if (arguments->delay > 0) {
    factorial::SlowDown(absl::StrCat(arguments->numbers[0], "!"),
                        arguments->delay);
  }
  return factorial::ExitCode(factorial::PrintAll(*arguments));
}
