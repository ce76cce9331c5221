// The command line, and the error line, that both programs have.
#ifndef GREENBACK_DOCS_EXAMPLES_FACTORIAL_ARGUMENTS_H_
#define GREENBACK_DOCS_EXAMPLES_FACTORIAL_ARGUMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace factorial {

struct Arguments {
  std::vector<int64_t> numbers;  // not empty
  double delay = 0;              // seconds
};

// InvalidArgument that says which argument is wrong and what is allowed.
absl::StatusOr<Arguments> ParseArguments(int argc, char** argv);

// `status`, and when it is an error: that it is about n!, and what to do.
absl::Status Explain(int64_t n, const absl::Status& status);

// The exit code; an error is printed as one line.
int ExitCode(const absl::Status& status);

}  // namespace factorial

#endif  // GREENBACK_DOCS_EXAMPLES_FACTORIAL_ARGUMENTS_H_
