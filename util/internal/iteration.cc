#include "util/internal/iteration.h"

#include <cstdio>
#include <exception>

namespace greenback::internal {

void ReportUnclosed(const char* what) {
  std::fprintf(stderr,
               "greenback::AsyncIter: closing in the destructor failed: %s "
               "(call Close() to receive the error)\n",
               what);
}

void ReportUnclosedByException() {
#if defined(__cpp_exceptions)
  try {
    throw;
  } catch (const std::exception& error) {
    ReportUnclosed(error.what());
  } catch (...) {
    ReportUnclosed("an exception that is not a std::exception");
  }
#endif
}

}  // namespace greenback::internal
