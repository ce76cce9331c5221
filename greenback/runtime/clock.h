// Clock: what time it is in a run, and how long to wait for a deadline.
//
// Run() uses a clock of its own, which starts at the wall clock's time and then
// only goes forward, at the pace of the system's monotonic clock. Give another
// one with RunOptions::clock; testing/mock_clock.h has one that jumps.
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

  // Every task waits, the earliest deadline is `deadline` (InfiniteFuture:
  // none). How long the loop may block for I/O before it asks again.
  virtual absl::Duration TimeToWait(absl::Time deadline) = 0;
};

// The run's present time, by its clock. In a run only.
absl::Time CurrentTime();

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CLOCK_H_
