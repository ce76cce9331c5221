// LostFailure: a failure that cannot be returned or thrown to any caller, and
// what is done about it.
//
// A destructor that runs while an exception unwinds cannot throw another one,
// and no destructor can return a status. A failure in one is passed to a
// handler for the whole process, instead of being dropped. The default handler
// prints a line:
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
// The handler is called on the thread and in the task where the failure
// occurred, also from destructors while an exception is in flight. It must not
// throw (that ends the program), and should not Await(). It may end the
// program. Threads: set it on any thread, best before there are others.
#ifndef GREENBACK_UTIL_LOST_FAILURE_H_
#define GREENBACK_UTIL_LOST_FAILURE_H_

#include <exception>
#include <source_location>
#include <string>

#include "absl/status/status.h"

namespace greenback {

struct LostFailure {
  const char* from;            // "AsyncContext" or "WithAsyncContext"
  std::source_location where;  // where that was called
  const char* how;             // a phrase: why nothing could carry the failure
  // One of these two is the failure.
  std::exception_ptr exception;
  absl::Status status;

  std::string ToString() const;
};

using LostFailureHandler = void (*)(const LostFailure& lost);

// Returns the previous handler. Null stands for the default one.
LostFailureHandler SetLostFailureHandler(LostFailureHandler handler) noexcept;

}  // namespace greenback

#endif  // GREENBACK_UTIL_LOST_FAILURE_H_
