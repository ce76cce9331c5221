#include "greenback/runtime/co.h"

#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::internal {

void ReportCoMovedFrom() {
  ThrowOrDie(AwaitableError(
      "greenback::Co: awaited after it was moved from; await the Co that it "
      "was moved to"));
}

void ReportCoAwaitedTwice() {
  ThrowOrDie(
      AwaitableError("greenback::Co: awaited twice; a Co runs once: call its "
                     "function again for another Co"));
}

}  // namespace greenback::internal
