// The asynchronous program: one task a number, all of them on one thread.
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/arguments.h"
#include "docs/examples/factorial/factorial.h"
#include "docs/examples/factorial/shell.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"

namespace factorial {
namespace {

greenback::Co<absl::Status> PrintInPortal(int64_t n) {
  absl::Status opened = co_await greenback::EnsurePortal();
  if (!opened.ok()) co_return opened;
  co_return Explain(n, PrintFact(n));
}

greenback::Co<absl::Status> PrintAll(const Arguments& arguments) {
  co_return co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> greenback::Co<absl::Status> {
        for (int64_t n : arguments.numbers) {
          nursery.StartSoon(PrintInPortal, n).set_name(absl::StrCat(n, "!"));
        }
        co_return absl::OkStatus();
      });
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
  return factorial::ExitCode(
      greenback::Run(factorial::PrintAll, std::cref(*arguments)));
}
