// MockClock: a clock for tests, which stands still until it is told to jump.
//
//   greenback::MockClock clock;                   // autojump
//   greenback::RunOptions options;
//   options.clock = &clock;
//   greenback::Run(options, []() -> greenback::Co<void> {
//     greenback::CancelScope scope(greenback::CurrentTime() + absl::Hours(1));
//     absl::Status slept = co_await greenback::SleepForever();
//     EXPECT_TRUE(absl::IsCancelled(slept));      // at once, an "hour" later
//   });
//
// Use it for everything that has to do with time: timeouts, retries, periodic
// work. Such a test takes no time, and gives the same each time. Do not use it
// to test against a server or a process that has its own idea of time.
//
// Autojump (on unless Options says otherwise): as soon as every task waits, the
// time jumps to the earliest deadline of the run. What counts as waiting is
// known of tasks alone: the time also jumps over I/O that is under way, a child
// process that runs, and work on another thread, without waiting for them (what
// is ready already is taken first). A test that needs both switches it off and
// calls Jump(). When no task waits for a time, nothing jumps: the run blocks
// until something else wakes it.
//
// Without autojump only Jump() moves the time: a run in which every task waits
// for a later time waits for good.
//
// Lifetime: must outlive the runs that use it; the time goes on from one run to
// the next. Threads: used on the run's thread; between runs, on any one thread.
// Nothing here suspends.
#ifndef GREENBACK_RUNTIME_TESTING_MOCK_CLOCK_H_
#define GREENBACK_RUNTIME_TESTING_MOCK_CLOCK_H_

#include "absl/time/time.h"
#include "greenback/runtime/clock.h"

namespace greenback {

class MockClock final : public Clock {
 public:
  struct Options {
    bool autojump = true;
    // What time it is before the first jump.
    absl::Time start = absl::UnixEpoch();
  };

  MockClock() : MockClock(Options()) {}
  explicit MockClock(const Options& options)
      : autojump_(options.autojump), now_(options.start) {}
  MockClock(const MockClock&) = delete;
  MockClock& operator=(const MockClock&) = delete;

  // Moves the time forward. In a run it wakes nobody by itself: the loop looks
  // at the time when nothing is ready any more, and now and then before that.
  // A negative `duration` is an error (std::invalid_argument, or a message and
  // abort).
  void Jump(absl::Duration duration);

  bool autojump() const { return autojump_; }
  void set_autojump(bool autojump) { autojump_ = autojump; }

  absl::Time Now() override { return now_; }
  absl::Duration TimeToWait(absl::Time deadline) override;

 private:
  bool autojump_;
  absl::Time now_;
};

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_TESTING_MOCK_CLOCK_H_
