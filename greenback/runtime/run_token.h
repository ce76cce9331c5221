// RunToken: calls a function on the thread of a run, from any thread.
//
//   greenback::RunToken token = greenback::CurrentRunToken();   // in the run
//   ...
//   absl::Status posted = token.RunSoon([&] { done.Set(); });   // anywhere
//
// Use it to reach a run from other threads, from callbacks of other libraries,
// and from other runs. It wakes the loop if the loop is waiting. A token may be
// copied, and may outlive its run.
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
  // The run's thread calls `fn` once, between two steps, where no task runs: it
  // may set events, spawn and cancel, and must not Await(). Functions are
  // called in the order in which they were posted. If `fn` throws, the run is
  // cancelled, and the exception propagates from Run().
  //
  // FailedPrecondition when the run has ended; then `fn` will not be called.
  // After OK it will be called, before Run() returns. Never blocks for long,
  // and never suspends. Call it from any thread, but not in a signal handler.
  absl::Status RunSoon(std::function<void()> fn) const;

 private:
  friend RunToken CurrentRunToken();
  explicit RunToken(std::shared_ptr<internal::RunLink> link)
      : link_(std::move(link)) {}

  std::shared_ptr<internal::RunLink> link_;
};

// The token of the run on this thread. Outside a run: std::logic_error, or a
// message and abort.
RunToken CurrentRunToken();

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_TOKEN_H_
