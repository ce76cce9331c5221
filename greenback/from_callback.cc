#include "greenback/from_callback.h"

#include <source_location>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::internal {
namespace {

std::string ExplainDrop(const std::source_location& where) {
  return absl::StrCat("greenback::FromCallback at ", Describe(where),
                      ": all copies of the callback were destroyed and none "
                      "was called, so that the operation will never complete");
}

}  // namespace

absl::Status CallbackDroppedStatus(PortalTask* cancelled,
                                   const std::source_location& where) {
  if (cancelled != nullptr) {
    absl::Status status = PortalAccess::FinishCheckpoint(*cancelled);
    if (!status.ok()) return status;
  }
  return absl::AbortedError(ExplainDrop(where));
}

void ThrowCallbackDropped(const std::source_location& where) {
  ThrowOrDie(CallbackDropped(ExplainDrop(where)));
}

void ReportCallbackAwaitedTwice(const std::source_location& where) {
  ThrowOrDie(AwaitableError(
      absl::StrCat("greenback::FromCallback at ", Describe(where),
                   ": awaited twice; call FromCallback() again for another "
                   "operation")));
}

}  // namespace greenback::internal
