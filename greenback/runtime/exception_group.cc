#include "greenback/runtime/exception_group.h"

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

#if defined(__cpp_exceptions)
ExceptionGroup::ExceptionGroup(std::vector<std::exception_ptr> exceptions)
    : exceptions_(std::move(exceptions)) {
  what_ = absl::StrCat(exceptions_.size(), " exceptions in a nursery:");
  for (const std::exception_ptr& exception : exceptions_) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      absl::StrAppend(&what_, " [", error.what(), "]");
    } catch (...) {
      absl::StrAppend(&what_, " [of a type that is not a std::exception]");
    }
  }
}
#endif

namespace internal {

void NotedExceptions::Add(std::exception_ptr error) noexcept {
  GREENBACK_TRY { errors_.push_back(std::move(error)); }
  GREENBACK_CATCH_ALL { errors_.back() = std::current_exception(); }
}

void NotedExceptions::Add(const NotedExceptions& others) noexcept {
  for (const std::exception_ptr& error : others.errors_) Add(error);
}

#if defined(__cpp_exceptions)
void NotedExceptions::Add(const absl::Status& status) noexcept {
  try {
    Add(std::make_exception_ptr(StatusError(status)));
  } catch (...) {
    Add(std::current_exception());
  }
}

void NotedExceptions::ThrowIfAny() {
  if (errors_.empty()) return;
  if (errors_.size() == 1) std::rethrow_exception(std::move(errors_.front()));
  throw ExceptionGroup({errors_.begin(), errors_.end()});
}
#endif

}  // namespace internal
}  // namespace greenback
