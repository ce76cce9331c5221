// How the utilities hand over a LostFailure. Internal to util/.
#ifndef GREENBACK_UTIL_INTERNAL_REPORT_LOST_FAILURE_H_
#define GREENBACK_UTIL_INTERNAL_REPORT_LOST_FAILURE_H_

#include <exception>
#include <string>

#include "absl/status/status.h"
#include "util/lost_failure.h"

namespace greenback::internal {

// Calls the handler.
void ReportLostFailure(const LostFailure& lost) noexcept;

// The text of `exception`, or of `status` if that is null.
std::string FailureText(const std::exception_ptr& exception,
                        const absl::Status& status);

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_REPORT_LOST_FAILURE_H_
