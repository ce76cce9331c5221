// LostFailure: a failure that could not be given to anybody, and what is done
// about it.
//
// A destructor that runs because of an exception cannot throw another one, and
// no destructor can return a status. What fails there is handed to a handler
// for the whole process, instead of being dropped. By default that prints a
// line:
//
//   greenback::AsyncContext at import.cc:31 (Import): Exit() failed while an
//   exception was in flight: disk full
//
// To send it to a log instead:
//
//   greenback::SetLostFailureHandler([](const greenback::LostFailure& lost) {
//     LOG(ERROR) << lost.ToString();
//   });
//
// The handler is called on the thread and in the task where the failure came
// up, also from destructors while an exception is in flight: it must not throw
// (that ends the program), and better not Await(). It may end the program.
// Threads: set it on any thread, best before there are others.
#ifndef GREENBACK_UTIL_LOST_FAILURE_H_
#define GREENBACK_UTIL_LOST_FAILURE_H_

#include <exception>
#include <source_location>
#include <string>

#include "absl/status/status.h"

namespace greenback {

struct LostFailure {
  const char* from;            // "AsyncContext", "WithAsyncContext"
  std::source_location where;  // where that was called
  const char* how;             // a phrase: how it came to be lost
  // The failure is one of the two.
  std::exception_ptr exception;
  absl::Status status;

  std::string ToString() const;
};

using LostFailureHandler = void (*)(const LostFailure& lost);

// Gives the former handler. Null: the default.
LostFailureHandler SetLostFailureHandler(LostFailureHandler handler) noexcept;

namespace internal {

// The text of an exception, or of a status if there is none.
std::string FailureText(const std::exception_ptr& exception,
                        const absl::Status& status);

void ReportLostFailure(const LostFailure& lost) noexcept;

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_LOST_FAILURE_H_
