// The same on Boost.Asio: one of its coroutines a number, on one io_context.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <exception>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/arguments.h"
#include "docs/examples/factorial/factorial.h"
#include "docs/examples/factorial/shell.h"
#include "greenback/asio/portal.h"

namespace factorial {
namespace {

boost::asio::awaitable<absl::Status> PrintInPortal(int64_t n) {
  absl::Status opened = co_await greenback::asio::EnsurePortal();
  if (!opened.ok()) co_return opened;
  co_return Explain(n, PrintFact(n));
}

absl::Status PrintAll(const Arguments& arguments) {
  boost::asio::io_context io;
  absl::Status all;
  for (int64_t n : arguments.numbers) {
    boost::asio::co_spawn(io, PrintInPortal(n),
                          [&](std::exception_ptr error, absl::Status printed) {
                            if (error) std::rethrow_exception(error);
                            if (printed.ok()) return;
                            all.Update(printed);
                            io.stop();
                          });
  }
  io.run();
  return all;
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
