// ExitReason: what Exit() of an asynchronous context manager (async_context.h)
// gets to know: how the work between Enter() and Exit() has ended.
//
//   greenback::Co<void> Transaction::Exit(greenback::ExitReason reason) {
//     if (reason.ok()) {
//       co_await Commit();
//     } else {
//       co_await RollBack();
//     }
//   }
//
// A failure is one of three: an exception that can be seen, exception(); an
// exception that is in flight, unwinding(), and cannot be seen, since it
// reaches a destructor, which C++ gives no access to what it runs because of;
// or a status, status(). A value: may be copied and kept. Nothing here
// suspends.
#ifndef GREENBACK_UTIL_EXIT_REASON_H_
#define GREENBACK_UTIL_EXIT_REASON_H_

#include <exception>
#include <utility>

#include "absl/status/status.h"

namespace greenback {

class ExitReason {
 public:
  // Success.
  ExitReason() = default;
  // Success if `exception` is null or `status` is OK.
  explicit ExitReason(std::exception_ptr exception)
      : exception_(std::move(exception)) {}
  explicit ExitReason(absl::Status status) : status_(std::move(status)) {}
  // An exception that is in flight.
  static ExitReason Unwinding() {
    ExitReason reason;
    reason.unwinding_ = true;
    return reason;
  }

  // False: it has failed, in one of the ways below.
  bool ok() const { return !unwinding_ && !exception_ && status_.ok(); }

  // The exception. Null when it cannot be seen, too.
  const std::exception_ptr& exception() const { return exception_; }
  // Whether an exception is in flight that cannot be seen.
  bool unwinding() const { return unwinding_; }
  // The status that came out. OK when it is not by a status that it has failed.
  const absl::Status& status() const { return status_; }

 private:
  std::exception_ptr exception_;
  absl::Status status_;
  bool unwinding_ = false;
};

#if defined(__cpp_exceptions)
// Stands for a failure of which there is no exception, for an Exit() that takes
// a std::exception_ptr: an exception in flight that cannot be seen, or a
// status.
class FailureInFlight : public std::exception {
 public:
  explicit FailureInFlight(ExitReason reason) : reason_(std::move(reason)) {}
  const ExitReason& reason() const { return reason_; }
  const char* what() const noexcept override {
    return reason_.unwinding()
               ? "an exception is in flight that a destructor cannot see"
               : "the work has failed with a status";
  }

 private:
  ExitReason reason_;
};
#endif

}  // namespace greenback

#endif  // GREENBACK_UTIL_EXIT_REASON_H_
