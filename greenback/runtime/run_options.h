// RunOptions: the limits, the clock and the instruments of a run; the first
// argument of Run().
#ifndef GREENBACK_RUNTIME_RUN_OPTIONS_H_
#define GREENBACK_RUNTIME_RUN_OPTIONS_H_

#include <cstddef>
#include <limits>
#include <vector>

#include "greenback/runtime/clock.h"

namespace greenback {

class Instrument;

struct RunOptions {
  // Usable bytes of a fiber's stack, at least. Outside of 16 KiB to 1 TiB the
  // run fails with StackExhausted. This is address space, committed as it is
  // used. Each task that is parked in Await() has a stack, and so has the loop.
  size_t stack_size = size_t{1} << 20;

  // Fibers that may exist at the same time; an Await() that would need one more
  // fails with ResourceExhausted.
  size_t max_fibers = std::numeric_limits<size_t>::max();

  // Threads that RunInThread() uses at the same time; further calls queue.
  size_t max_threads = 40;

  // Not owned. Null means the system's monotonic clock.
  Clock* clock = nullptr;

  // Not owned. Each observes the whole run, system tasks included.
  std::vector<Instrument*> instruments = {};
};

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_OPTIONS_H_
