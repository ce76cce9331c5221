#include "greenback/runtime/run.h"

#include <stdexcept>
#include <string>

namespace greenback::internal {

void ReportSystemTaskFailure(const absl::Status& status) {
#if defined(__cpp_exceptions)
  throw StatusError(status);
#else
  ThrowOrDie(std::runtime_error("greenback::Run(): a system task has failed: " +
                                status.ToString()));
#endif
}

}  // namespace greenback::internal
