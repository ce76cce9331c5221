#include "util/internal/run_with_context.h"

#include "absl/strings/str_cat.h"
#include "util/internal/report_lost_failure.h"

namespace greenback::internal {
namespace {

// Whether `exception` is `wanted` or has it nested.
bool Carries(const std::exception_ptr& exception,
             const std::exception_ptr& wanted) {
#if defined(__cpp_exceptions)
  if (exception == wanted) return true;
  if (!exception) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const std::nested_exception& nesting) {
    return nesting.nested_ptr() && Carries(nesting.nested_ptr(), wanted);
  } catch (...) {
    return false;
  }
#else
  return exception == wanted;
#endif
}

}  // namespace

void ReportReplaced(const ExitReason& reason,
                    const std::exception_ptr& replacement,
                    const std::source_location& where) {
  if (reason.ok()) return;
  if (reason.exception() && Carries(replacement, reason.exception())) return;
  ReportLostFailure({"WithAsyncContext", where,
                     "a failure of the body was replaced by one of Exit()",
                     reason.exception(), reason.status()});
}

absl::Status Replace(const ExitReason& reason,
                     const absl::Status& replacement) {
  if (reason.ok()) return replacement;
  absl::Status both(
      replacement.code(),
      absl::StrCat(replacement.message(), " (instead of: ",
                   FailureText(reason.exception(), reason.status()), ")"));
  replacement.ForEachPayload(
      [&both](absl::string_view url, const absl::Cord& payload) {
        both.SetPayload(url, payload);
      });
  return both;
}

}  // namespace greenback::internal
