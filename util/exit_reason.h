// ExitReason: tells Exit() of an asynchronous context manager
// (context_manager.h) how the work between Enter() and Exit() has ended.
//
//   greenback::Co<void> Transaction::Exit(greenback::ExitReason reason) {
//     if (reason.ok()) {
//       co_await Commit();
//     } else {
//       co_await RollBack();
//     }
//   }
//
// A failure is one of three: an exception that can be seen, exception(); a
// status, status(); or an exception in flight that cannot be seen, unwinding().
// The last is what a destructor reports, since C++ gives a destructor no access
// to the exception that is unwinding it. An ExitReason is a value: it may be
// copied and kept. Nothing here suspends.
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
  // A failure, or success if `exception` is null or `status` is OK.
  explicit ExitReason(std::exception_ptr exception)
      : exception_(std::move(exception)) {}
  explicit ExitReason(absl::Status status) : status_(std::move(status)) {}
  // An exception in flight that cannot be seen.
  static ExitReason Unwinding() {
    ExitReason reason;
    reason.unwinding_ = true;
    return reason;
  }

  // Whether the work has succeeded. If not, it has failed in one of these ways:
  bool ok() const { return !unwinding_ && !exception_ && status_.ok(); }

  // The exception. Null if there is none or it cannot be seen.
  const std::exception_ptr& exception() const { return exception_; }
  // Whether an exception is in flight that cannot be seen.
  bool unwinding() const { return unwinding_; }
  // The status. OK if the work has not failed with one.
  const absl::Status& status() const { return status_; }

 private:
  std::exception_ptr exception_;
  absl::Status status_;
  bool unwinding_ = false;
};

#if defined(__cpp_exceptions)
// What an Exit() that takes a std::exception_ptr receives for a failure without
// an exception that it could see: an exception in flight, or a status.
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
