#include "util/internal/generator_frame.h"

#include <cstdio>
#include <cstdlib>

namespace greenback::internal {

void DieInStep(const char* what) {
  std::fprintf(stderr,
               "greenback::AsyncGenerator: %s while a step is under way, which "
               "could then never end; let the step end, or cancel it, first\n",
               what);
  std::abort();
}

}  // namespace greenback::internal
