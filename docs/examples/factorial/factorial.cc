#include "docs/examples/factorial/factorial.h"

#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/shell.h"

namespace factorial {

absl::Status PrintFact(int64_t n, int64_t mult) {
  if (n < 0) return absl::InvalidArgumentError("n! needs an n of 0 or more");
  if (n <= 1) return PrintValue(mult);
  if (__builtin_mul_overflow(mult, n, &mult)) {
    return absl::OutOfRangeError("the result does not fit into 64 bits");
  }
  return PrintFact(n - 1, mult);
}

absl::Status PrintValue(int64_t n) {
  return RunShell(absl::StrCat("echo ", n));
}

}  // namespace factorial
