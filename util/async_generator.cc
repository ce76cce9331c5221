#include "util/async_generator.h"

#include <cstdio>
#include <cstdlib>

namespace greenback::internal {

void DieInStep(const char* what) {
  std::fprintf(stderr,
               "greenback::AsyncGenerator: %s while a step is under way, which "
               "nothing would end; let the step end, or cancel it, first\n",
               what);
  std::abort();
}

}  // namespace greenback::internal
