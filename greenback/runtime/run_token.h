// RunToken: calls a function on the thread of a run, from any thread.
//
//   greenback::RunToken token = greenback::CurrentRunToken();   // in the run
//   ...
//   absl::Status posted = token.RunSoon([&] { done.Set(); });   // anywhere
//
// The way into a run for threads that are not its own, for callbacks of other
// libraries, and for other runs. Wakes the loop if it waits. A token may be
// copied, and outlive its run.
#ifndef GREENBACK_RUNTIME_RUN_TOKEN_H_
#define GREENBACK_RUNTIME_RUN_TOKEN_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"

namespace greenback {

namespace internal {
struct RunLink;
}

class RunToken {
 public:
  // The run's thread calls `fn`, once, between two steps, where no task runs:
  // it may set events, spawn and cancel, and must not Await(). Functions are
  // called in the order in which they were posted. If `fn` throws, the run is
  // cancelled, and the exception comes out of Run().
  //
  // FailedPrecondition when the run has ended: then `fn` will not be called.
  // After OK it will be, before Run() returns. Never blocks for long, and never
  // suspends. From any thread; not from a signal handler.
  absl::Status RunSoon(std::function<void()> fn) const;

 private:
  friend RunToken CurrentRunToken();
  explicit RunToken(std::shared_ptr<internal::RunLink> link)
      : link_(std::move(link)) {}

  std::shared_ptr<internal::RunLink> link_;
};

// Of the run on this thread. Outside a run: std::logic_error, or a message and
// abort.
RunToken CurrentRunToken();

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_TOKEN_H_
