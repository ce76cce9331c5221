#include "greenback/runtime/testing/mock_clock.h"

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

constexpr MockClock::Options kNoAutojump = {.autojump = false};

RunOptions With(MockClock& clock) {
  RunOptions options;
  options.clock = &clock;
  return options;
}

TEST(MockClockTest, BeginsAtTheGivenTime) {
  EXPECT_EQ(MockClock().Now(), absl::UnixEpoch());
  const absl::Time start = absl::FromUnixSeconds(1'000'000);
  EXPECT_EQ(MockClock({.start = start}).Now(), start);
}

TEST(MockClockTest, StandsStill) {
  MockClock clock;
  const absl::Time before = clock.Now();
  greenback::Run(With(clock), [&]() -> Co<void> {
    for (int i = 0; i < 1'000; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
  });
  EXPECT_EQ(clock.Now(), before);
}

TEST(MockClockTest, IsTheRunsTime) {
  MockClock clock;
  clock.Jump(absl::Hours(5));
  greenback::Run(With(clock), [&]() -> Co<void> {
    EXPECT_EQ(CurrentTime(), clock.Now());
    clock.Jump(absl::Hours(1));
    EXPECT_EQ(CurrentTime(), clock.Now());
    co_return;
  });
}

TEST(MockClockTest, JumpAddsUp) {
  MockClock clock;
  clock.Jump(absl::Seconds(2));
  clock.Jump(absl::ZeroDuration());
  clock.Jump(absl::Nanoseconds(3));
  EXPECT_EQ(clock.Now() - absl::UnixEpoch(),
            absl::Seconds(2) + absl::Nanoseconds(3));
}

TEST(MockClockTest, RefusesToJumpBackwards) {
  MockClock clock;
#if defined(__cpp_exceptions)
  EXPECT_THROW(clock.Jump(-absl::Seconds(1)), std::invalid_argument);
  EXPECT_EQ(clock.Now(), absl::UnixEpoch());
#else
  EXPECT_DEATH(clock.Jump(-absl::Seconds(1)), "time does not run backwards");
#endif
}

TEST(MockClockTest, AutojumpJumpsExactlyToTheDeadline) {
  MockClock clock;
  greenback::Run(With(clock), [&]() -> Co<void> {
    EXPECT_TRUE((co_await Sleep(absl::Hours(24 * 365))).ok());
  });
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Hours(24 * 365));
}

TEST(MockClockTest, AutojumpJumpsToOneDeadlineAfterTheOther) {
  MockClock clock;
  std::vector<absl::Duration> seen;
  RunNurseryOk(With(clock), [&](Nursery& nursery) -> Co<void> {
    for (int seconds : {30, 10, 20}) {
      nursery.StartSoon([&seen, seconds]() -> Co<absl::Status> {
        absl::Status slept = co_await Sleep(absl::Seconds(seconds));
        seen.push_back(CurrentTime() - absl::UnixEpoch());
        co_return slept;
      });
    }
    co_return;
  });
  EXPECT_THAT(seen, ElementsAre(absl::Seconds(10), absl::Seconds(20),
                                absl::Seconds(30)));
}

TEST(MockClockTest, DoesNotJumpWhileATaskIsReady) {
  MockClock clock;
  bool slept = false;
  RunNurseryOk(With(clock), [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<absl::Status> {
      absl::Status status = co_await Sleep(absl::Nanoseconds(1));
      slept = true;
      co_return status;
    });
    for (int i = 0; i < 1'000; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_FALSE(slept);
    }
  });
  EXPECT_TRUE(slept);
}

TEST(MockClockTest, JumpsWhileWorkIsInProgressElsewhere) {
  MockClock clock;
  Signal signal;
  std::thread other;
  RunNurseryOk(With(clock), [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> { co_await signal; });
    // The time passes although the other task waits; only then may another
    // thread complete its operation.
    EXPECT_TRUE((co_await Sleep(absl::Hours(1))).ok());
    EXPECT_TRUE(signal.awaited());
    other = std::thread([&] { signal.Fire(); });
  });
  other.join();
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Hours(1));
}

TEST(MockClockTest, BlocksWhenThereIsNoDeadline) {
  MockClock clock;
  Signal signal;
  std::thread other;
  greenback::Run(With(clock), [&]() -> Co<void> {
    other = std::thread([&] { signal.Fire(); });
    co_await signal;
  });
  other.join();
  EXPECT_EQ(clock.Now(), absl::UnixEpoch());
  EXPECT_EQ(clock.TimeToWait(absl::InfiniteFuture()), absl::InfiniteDuration());
}

TEST(MockClockTest, WithoutAutojumpOnlyJumpWakes) {
  MockClock clock(kNoAutojump);
  Signal signal;
  std::thread other;
  std::vector<std::string> log;
  RunNurseryOk(With(clock), [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<absl::Status> {
      absl::Status slept = co_await Sleep(absl::Seconds(5));
      log.push_back("slept");
      co_return slept;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());  // the child sleeps now
    // The loop goes to sleep here, with a deadline that it must
    // ignore.
    other = std::thread([&] { signal.Fire(); });
    co_await signal;
    log.push_back("not yet");
    clock.Jump(absl::Seconds(5));
  });
  other.join();
  EXPECT_THAT(log, ElementsAre("not yet", "slept"));
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Seconds(5));
}

TEST(MockClockTest, WithoutAutojumpWhatIsPastNeedsNoWaiting) {
  MockClock clock(kNoAutojump);
  EXPECT_EQ(clock.TimeToWait(clock.Now()), absl::ZeroDuration());
  EXPECT_EQ(clock.TimeToWait(clock.Now() + absl::Seconds(1)),
            absl::InfiniteDuration());
}

TEST(MockClockTest, AutojumpCanBeSwitchedOn) {
  MockClock clock(kNoAutojump);
  EXPECT_FALSE(clock.autojump());
  greenback::Run(With(clock), [&]() -> Co<void> {
    clock.set_autojump(true);
    EXPECT_TRUE((co_await Sleep(absl::Seconds(5))).ok());
  });
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Seconds(5));
}

TEST(MockClockTest, ContinuesFromRunToRun) {
  MockClock clock;
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(greenback::Run(With(clock), Sleep, absl::Minutes(1)).ok());
    EXPECT_EQ(clock.Now(), absl::UnixEpoch() + i * absl::Minutes(1));
  }
}

// The header's example.
TEST(MockClockTest, ReachesDeadlinesOfScopes) {
  MockClock clock;
  greenback::Run(With(clock), [&]() -> Co<void> {
    CancelScope scope(CurrentTime() + absl::Hours(1));
    absl::Status slept = co_await SleepForever();
    EXPECT_TRUE(absl::IsCancelled(slept));
  });
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Hours(1));
}

}  // namespace
}  // namespace greenback
