#include "util/lost_failure.h"

#include <atomic>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "greenback/host/portal_access.h"
#include "greenback/internal/exceptions.h"
#include "util/internal/report_lost_failure.h"

namespace greenback {
namespace {

void Print(const LostFailure& lost) {
  GREENBACK_TRY { std::fprintf(stderr, "%s\n", lost.ToString().c_str()); }
  GREENBACK_CATCH_ALL {
    // There was no memory for the text.
    std::fprintf(stderr, "greenback::%s at %s:%u: %s\n", lost.from,
                 lost.where.file_name(),
                 static_cast<unsigned>(lost.where.line()), lost.how);
  }
}

std::atomic<LostFailureHandler> lost_failure_handler{&Print};

}  // namespace

std::string LostFailure::ToString() const {
  return absl::StrCat("greenback::", from, " at ", internal::Describe(where),
                      ": ", how, ": ",
                      internal::FailureText(exception, status));
}

LostFailureHandler SetLostFailureHandler(LostFailureHandler handler) noexcept {
  const LostFailureHandler former = lost_failure_handler.exchange(
      handler != nullptr ? handler : &Print, std::memory_order_acq_rel);
  return former == &Print ? nullptr : former;
}

namespace internal {

std::string FailureText(const std::exception_ptr& exception,
                        const absl::Status& status) {
#if defined(__cpp_exceptions)
  if (exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      return error.what();
    } catch (...) {
      return "an exception that is not a std::exception";
    }
  }
#else
  static_cast<void>(exception);
#endif
  return status.ToString();
}

void ReportLostFailure(const LostFailure& lost) noexcept {
  lost_failure_handler.load(std::memory_order_acquire)(lost);
}

}  // namespace internal
}  // namespace greenback
