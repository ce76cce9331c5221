#include "docs/examples/factorial/arguments.h"

#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace factorial {
namespace {

constexpr char kAllowed[] = "give whole numbers from 0 to 20";
constexpr double kLongestDelay = 3600;

}  // namespace

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    absl::string_view value = argument;
    int64_t number = 0;
    if (absl::ConsumePrefix(&value, "--delay=")) {
      // Written so that "nan" is refused too.
      if (!absl::SimpleAtod(value, &arguments.delay) ||
          !(arguments.delay >= 0 && arguments.delay <= kLongestDelay)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "\"", argument, "\": give seconds from 0 to ", kLongestDelay));
      }
    } else if (absl::SimpleAtoi(argument, &number)) {
      arguments.numbers.push_back(number);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", argument, "\" is no whole number; ", kAllowed));
    }
  }
  if (arguments.numbers.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no number; ", kAllowed,
                     ", and --delay=SECONDS to slow down the first"));
  }
  return arguments;
}

absl::Status Explain(int64_t n, const absl::Status& status) {
  if (status.ok()) return status;
  absl::string_view advice;
  if (absl::IsInvalidArgument(status) || absl::IsOutOfRange(status)) {
    advice = kAllowed;
  } else if (absl::IsNotFound(status)) {
    advice = "a shell of this name must be in PATH";
  }
  return absl::Status(status.code(),
                      absl::StrCat(n, "!: ", status.message(),
                                   advice.empty() ? "" : "; ", advice));
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "factorial: %s\n",
               std::string(status.message()).c_str());
  return 1;
}

}  // namespace factorial
