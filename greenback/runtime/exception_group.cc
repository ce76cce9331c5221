#include "greenback/runtime/exception_group.h"

#include "absl/strings/str_cat.h"

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
      absl::StrAppend(&what_, " [of a type that is no std::exception]");
    }
  }
}
#endif

}  // namespace greenback
