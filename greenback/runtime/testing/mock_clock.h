// MockClock: a clock for tests, which is stopped until it jumps.
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
// Use it for everything that depends on time: timeouts, retries, periodic work.
// Such a test takes no time, and its result is the same each time. Do not use
// it in a test with a server or a process that has its own idea of time.
//
// Autojump (on unless Options says otherwise): as soon as every task waits, the
// time jumps to the earliest deadline of the run. Only tasks count: the time
// also jumps while I/O is in progress, a child process runs, or another thread
// works, and does not wait for them (whatever is ready already is handled
// first). A test that needs both switches autojump off and calls Jump(). While
// no task waits for a time, there is no jump: the run blocks until something
// else wakes it.
//
// Without autojump, only Jump() moves the time: a run in which every task waits
// for a later time never ends.
//
// Lifetime: must outlive the runs that use it. A run begins at the time at
// which the last one ended. Threads: used on the run's thread; between runs, on
// any one thread. Nothing here suspends.
#ifndef GREENBACK_RUNTIME_TESTING_MOCK_CLOCK_H_
#define GREENBACK_RUNTIME_TESTING_MOCK_CLOCK_H_

#include "absl/time/time.h"
#include "greenback/runtime/clock.h"

namespace greenback {

class MockClock final : public Clock {
 public:
  struct Options {
    bool autojump = true;
    // The time before the first jump.
    absl::Time start = absl::UnixEpoch();
  };

  MockClock() : MockClock(Options()) {}
  explicit MockClock(const Options& options)
      : autojump_(options.autojump), now_(options.start) {}
  MockClock(const MockClock&) = delete;
  MockClock& operator=(const MockClock&) = delete;

  // Moves the time forward. It does not wake the loop, which checks the time
  // when no task is ready any more, and now and then before that. A negative
  // `duration` is an error (std::invalid_argument, or a message and abort).
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
