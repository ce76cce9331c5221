#include "greenback/runtime/sleep.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

class SleepTest : public ::testing::Test {
 protected:
  SleepTest() { options_.clock = &clock_; }

  // The time since the beginning.
  absl::Duration elapsed() { return clock_.Now() - absl::UnixEpoch(); }

  MockClock clock_;
  RunOptions options_;
};

TEST_F(SleepTest, SleepsForADuration) {
  EXPECT_TRUE(greenback::Run(options_, Sleep, absl::Minutes(3)).ok());
  EXPECT_EQ(elapsed(), absl::Minutes(3));
}

TEST_F(SleepTest, SleepsUntilATime) {
  EXPECT_TRUE(greenback::Run(options_, SleepUntil,
                             absl::UnixEpoch() + absl::Seconds(90))
                  .ok());
  EXPECT_EQ(elapsed(), absl::Seconds(90));
}

TEST_F(SleepTest, TheDurationBeginsWithTheCall) {
  greenback::Run(options_, [this]() -> Co<void> {
    auto sleep = Sleep(absl::Seconds(10));
    clock_.Jump(absl::Seconds(4));
    EXPECT_TRUE((co_await sleep).ok());
    EXPECT_EQ(elapsed(), absl::Seconds(10));
  });
}

TEST_F(SleepTest, WakesInOrderOfTheDeadlines) {
  std::vector<int> log;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int seconds : {5, 1, 4, 2, 3}) {
      nursery.StartSoon([&log, seconds]() -> Co<void> {
        EXPECT_TRUE((co_await Sleep(absl::Seconds(seconds))).ok());
        log.push_back(seconds);
      });
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(elapsed(), absl::Seconds(5));
}

TEST_F(SleepTest, EqualDeadlinesWakeInOrderOfSleeping) {
  std::vector<int> log;
  std::vector<int> expected;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 20; ++i) {
      expected.push_back(i);
      nursery.StartSoon([&log, i]() -> Co<void> {
        EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
        log.push_back(i);
      });
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAreArray(expected));
}

TEST_F(SleepTest, ATimeInThePastIsASchedulePoint) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), -absl::Seconds(5), -absl::InfiniteDuration()}) {
    std::vector<int> log;
    RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        log.push_back(1);
        co_return;
      });
      EXPECT_TRUE((co_await Sleep(duration)).ok());
      log.push_back(2);
    });
    EXPECT_THAT(log, ElementsAre(1, 2));
    EXPECT_EQ(elapsed(), absl::ZeroDuration());
  }
}

TEST_F(SleepTest, ATimeInThePastIsACancellationPoint) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::ZeroDuration())));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_F(SleepTest, ATimeInThePastEndsTheSleepAlthoughOthersNeverWait) {
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      while ((co_await Checkpoint()).ok()) {
      }
    });
    EXPECT_TRUE((co_await Sleep(absl::ZeroDuration())).ok());
    nursery.cancel_scope().Cancel();
  });
}

TEST_F(SleepTest, ACancelledSleepEndsAtOnce) {
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::Hours(1))));
    EXPECT_TRUE(scope.cancelled_caught());
  });
  EXPECT_EQ(elapsed(), absl::ZeroDuration());
}

// The deadline of a cancelled sleep does not stop the clock.
TEST_F(SleepTest, ACancelledSleepLeavesNoDeadline) {
  greenback::Run(options_, [this]() -> Co<void> {
    {
      CancelScope scope = MoveOnAfter(absl::Seconds(1));
      EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::Seconds(2))));
    }
    EXPECT_TRUE((co_await Sleep(absl::Hours(1))).ok());
    EXPECT_EQ(elapsed(), absl::Hours(1) + absl::Seconds(1));
  });
}

TEST_F(SleepTest, ForeverEndsWhenCancelled) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Hours(1'000));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
  });
  EXPECT_EQ(elapsed(), absl::Hours(1'000));
}

TEST_F(SleepTest, ForeverIsNotBoundedByTheClock) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Hours(1));
    EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::InfiniteDuration())));
  });
  EXPECT_EQ(elapsed(), absl::Hours(1));
}

TEST_F(SleepTest, SleepsInSynchronousCode) {
  std::vector<int> log;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int seconds : {3, 1, 2}) {
      BestowPortal(nursery.StartSoon([&log, seconds]() -> Co<void> {
        EXPECT_TRUE(Await(Sleep(absl::Seconds(seconds))).ok());
        log.push_back(seconds);
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
  EXPECT_EQ(elapsed(), absl::Seconds(3));
}

TEST_F(SleepTest, TensOfThousandsSleepAtOnce) {
  constexpr int kSleepers = 50'000;
  std::vector<int> log;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kSleepers; ++i) {
      // Each duration once, in no order.
      const int seconds = (i * 7'919) % kSleepers;
      nursery.StartSoon([&log, seconds]() -> Co<void> {
        EXPECT_TRUE((co_await Sleep(absl::Seconds(seconds))).ok());
        log.push_back(seconds);
      });
    }
    co_return;
  });
  ASSERT_EQ(log.size(), static_cast<size_t>(kSleepers));
  for (int i = 0; i < kSleepers; ++i) ASSERT_EQ(log[i], i);
}

// With the real clock; only the minimum of the time is asserted.
TEST(RealSleepTest, TakesAtLeastItsTime) {
  greenback::Run([]() -> Co<void> {
    const absl::Time start = CurrentTime();
    EXPECT_TRUE((co_await Sleep(absl::Milliseconds(2))).ok());
    EXPECT_GE(CurrentTime() - start, absl::Milliseconds(2));
  });
}

TEST(RealSleepTest, FarDeadlinesDoNotOverflow) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(SleepUntil, absl::FromUnixSeconds(1) +
                                      absl::Hours(24 * 365 * 100'000LL));
    EXPECT_TRUE((co_await Sleep(absl::Milliseconds(1))).ok());
    nursery.cancel_scope().Cancel();
  });
}

}  // namespace
}  // namespace greenback
