// ExceptionGroup: thrown by a nursery in which an exception was thrown and
// there was another failure as well.
//
//   try {
//     co_await greenback::OpenNursery(ServeAll);
//   } catch (const greenback::ExceptionGroup& group) {
//     for (const std::exception_ptr& each : group.exceptions()) Report(each);
//   }
//
// With exceptions only. When there is no memory to keep one of them, a
// std::bad_alloc in the group takes the place of those that were lost; when
// there is none for the group, a std::bad_alloc is thrown in its place.
#ifndef GREENBACK_RUNTIME_EXCEPTION_GROUP_H_
#define GREENBACK_RUNTIME_EXCEPTION_GROUP_H_

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"

namespace greenback {

#if defined(__cpp_exceptions)
// All of the exceptions, in the order in which they were thrown. They are
// followed by a StatusError with all failures that were statuses, if there were
// any. Run() puts the main task's exception first.
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

// A status, as an exception.
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

namespace internal {

// Collects the exceptions for an ExceptionGroup. Adding one never fails, since
// that happens where a task ends.
class NotedExceptions {
 public:
  bool empty() const { return errors_.empty(); }
  // When there is no memory for it, std::bad_alloc takes the place of the last
  // one.
  void Add(std::exception_ptr error) noexcept;
  void Add(const NotedExceptions& others) noexcept;
#if defined(__cpp_exceptions)
  // Adds a StatusError.
  void Add(const absl::Status& status) noexcept;
  // Throws a single exception unchanged, several as a group; returns if there
  // are none.
  void ThrowIfAny();
#endif

 private:
  // Inlined, so that there is always room for one and its replacement.
  absl::InlinedVector<std::exception_ptr, 2> errors_;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_EXCEPTION_GROUP_H_
