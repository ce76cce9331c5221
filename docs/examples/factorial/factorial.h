// The example's subject: plain, recursive, synchronous functions that know
// neither tasks nor fibers. The blocking program and the asynchronous one link
// the same object file.
#ifndef GREENBACK_DOCS_EXAMPLES_FACTORIAL_FACTORIAL_H_
#define GREENBACK_DOCS_EXAMPLES_FACTORIAL_FACTORIAL_H_

#include <cstdint>

#include "absl/status/status.h"

namespace factorial {

// Prints n! times `mult`. OutOfRange when the product does not fit into 64
// bits, InvalidArgument when `n` is negative; nothing is printed then.
absl::Status PrintFact(int64_t n, int64_t mult = 1);

// Prints `n` by way of a shell.
absl::Status PrintValue(int64_t n);

}  // namespace factorial

#endif  // GREENBACK_DOCS_EXAMPLES_FACTORIAL_FACTORIAL_H_
