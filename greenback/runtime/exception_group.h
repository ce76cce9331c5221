// ExceptionGroup: what comes out of a nursery in which an exception was thrown
// and something else failed, too.
//
//   try {
//     co_await greenback::OpenNursery(ServeAll);
//   } catch (const greenback::ExceptionGroup& group) {
//     for (const std::exception_ptr& each : group.exceptions()) Report(each);
//   }
//
// With exceptions only.
#ifndef GREENBACK_RUNTIME_EXCEPTION_GROUP_H_
#define GREENBACK_RUNTIME_EXCEPTION_GROUP_H_

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace greenback {

#if defined(__cpp_exceptions)
// All of the exceptions, in the order in which they were thrown. Then, if there
// were failures that were statuses, a StatusError with all of those. Run() puts
// the main task's exception first.
class ExceptionGroup : public std::exception {
 public:
  explicit ExceptionGroup(std::vector<std::exception_ptr> exceptions);

  const std::vector<std::exception_ptr>& exceptions() const {
    return exceptions_;
  }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::vector<std::exception_ptr> exceptions_;
  std::string what_;
};

// A status where only an exception will do.
class StatusError : public std::exception {
 public:
  explicit StatusError(absl::Status status)
      : status_(std::move(status)), what_(status_.ToString()) {}
  const absl::Status& status() const { return status_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  absl::Status status_;
  std::string what_;
};
#endif

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_EXCEPTION_GROUP_H_
