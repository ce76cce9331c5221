// The same code with and without exceptions. Internal.
#ifndef GREENBACK_INTERNAL_EXCEPTIONS_H_
#define GREENBACK_INTERNAL_EXCEPTIONS_H_

#include <cstdio>
#include <cstdlib>

// GREENBACK_TRY { ... } GREENBACK_CATCH_ALL { ... }: without exceptions, the
// second block is compiled and never runs.
#if defined(__cpp_exceptions)
#define GREENBACK_TRY try
#define GREENBACK_CATCH_ALL catch (...)
#else
#define GREENBACK_TRY if (true)
#define GREENBACK_CATCH_ALL else
#endif

namespace greenback::internal {

// Throws `error`; without exceptions, prints its text and aborts.
template <class Error>
[[noreturn]] void ThrowOrDie(Error error) {
#if defined(__cpp_exceptions)
  throw error;
#else
  std::fprintf(stderr, "%s\n", error.what());
  std::abort();
#endif
}

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_EXCEPTIONS_H_
