// Clock: the time in a run, and how long to wait for a deadline.
//
// By default Run() uses a clock that starts at the wall clock's time and then
// advances with the system's monotonic clock. Set another one in
// RunOptions::clock; testing/mock_clock.h has one that jumps.
//
// Called on the run's thread only.
#ifndef GREENBACK_RUNTIME_CLOCK_H_
#define GREENBACK_RUNTIME_CLOCK_H_

#include "absl/time/time.h"

namespace greenback {

class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() = 0;

  // Called when every task waits; the earliest deadline is `deadline`
  // (InfiniteFuture: none). Returns how long the loop may block for I/O before
  // it calls this again.
  virtual absl::Duration TimeToWait(absl::Time deadline) = 0;
};

// The current time by the run's clock. In a run only.
absl::Time CurrentTime();

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CLOCK_H_
