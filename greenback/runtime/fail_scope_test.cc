#include "greenback/runtime/fail_scope.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::HasSubstr;

class FailScopeTest : public ::testing::Test {
 protected:
  FailScopeTest() { options_.clock = &clock_; }

  absl::Duration elapsed() { return clock_.Now() - absl::UnixEpoch(); }

  MockClock clock_;
  RunOptions options_;
};

// Takes `duration`, and then returns a text.
Co<absl::StatusOr<std::string>> TakeTime(absl::Duration duration) {
  absl::Status slept = co_await Sleep(duration);
  if (!slept.ok()) co_return slept;
  co_return "done";
}

// -------------------------------------------------------------------- in time

TEST_F(FailScopeTest, AStatusInTimePassesThrough) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    EXPECT_TRUE(scope.Check(co_await Sleep(absl::Seconds(4))).ok());
    EXPECT_FALSE(scope.cancel_called());
  });
  EXPECT_EQ(elapsed(), absl::Seconds(4));
}

TEST_F(FailScopeTest, AValueInTimePassesThrough) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    absl::StatusOr<std::string> text =
        scope.Check(co_await TakeTime(absl::Seconds(4)));
    EXPECT_EQ(text.value_or(""), "done");
  });
}

TEST_F(FailScopeTest, AMoveOnlyValuePassesThrough) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    absl::StatusOr<std::unique_ptr<int>> value = scope.Check(
        absl::StatusOr<std::unique_ptr<int>>(std::make_unique<int>(3)));
    EXPECT_TRUE(value.ok() && **value == 3);
    co_return;
  });
}

// A result is passed through, however late it is.
TEST_F(FailScopeTest, AValueAfterTheDeadlinePassesThrough) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(1));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_EQ(elapsed(), absl::Seconds(1));
    EXPECT_TRUE(scope.Check(absl::OkStatus()).ok());
    EXPECT_EQ(scope.Check(absl::StatusOr<int>(7)).value_or(0), 7);
  });
}

// ------------------------------------------------------------------- too slow

TEST_F(FailScopeTest, AnOperationThatIsCutShortIsDeadlineExceeded) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    absl::Status status = scope.Check(co_await SleepForever());
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("not done before the deadline"));
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_EQ(elapsed(), absl::Seconds(5));
  });
}

TEST_F(FailScopeTest, AStatusOrThatIsCutShortIsDeadlineExceeded) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    absl::StatusOr<std::string> text =
        scope.Check(co_await TakeTime(absl::Seconds(6)));
    EXPECT_TRUE(absl::IsDeadlineExceeded(text.status())) << text.status();
  });
}

TEST_F(FailScopeTest, FailAtTakesATime) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope scope = FailAt(absl::UnixEpoch() + absl::Seconds(7));
    EXPECT_EQ(scope.deadline(), absl::UnixEpoch() + absl::Seconds(7));
    EXPECT_TRUE(absl::IsDeadlineExceeded(scope.Check(co_await SleepForever())));
    EXPECT_EQ(elapsed(), absl::Seconds(7));
  });
}

TEST_F(FailScopeTest, ADeadlineInThePastFailsAtTheFirstCancellationPoint) {
  greenback::Run(options_, [this]() -> Co<void> {
    clock_.Jump(absl::Hours(1));
    FailScope scope = FailAt(absl::UnixEpoch() + absl::Seconds(1));
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_FALSE(scope.cancelled_caught());
    EXPECT_TRUE(absl::IsDeadlineExceeded(scope.Check(co_await Checkpoint())));
  });
}

TEST_F(FailScopeTest, CancelByHandCountsAsTheDeadline) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    scope.Cancel();
    EXPECT_TRUE(absl::IsDeadlineExceeded(scope.Check(co_await Checkpoint())));
    EXPECT_EQ(elapsed(), absl::ZeroDuration());
  });
}

TEST_F(FailScopeTest, APostponedDeadlineIsTheOneThatCounts) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(1));
    scope.set_deadline(scope.deadline() + absl::Seconds(4));
    EXPECT_TRUE(absl::IsDeadlineExceeded(scope.Check(co_await SleepForever())));
    EXPECT_EQ(elapsed(), absl::Seconds(5));
  });
}

TEST_F(FailScopeTest, ANurseryThatIsCutShortIsDeadlineExceeded) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(1));
    absl::Status status =
        scope.Check(co_await OpenNursery([](Nursery& nursery) -> Co<void> {
          nursery.StartSoon(SleepForever);
          co_return;
        }));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  });
}

// --------------------------------------------------------------- other errors

TEST_F(FailScopeTest, OtherErrorsPassThrough) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(1));
    EXPECT_EQ(scope.Check(absl::DataLossError("lost")),
              absl::DataLossError("lost"));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    // Also when the scope has caught something.
    EXPECT_EQ(scope.Check(absl::DataLossError("lost")),
              absl::DataLossError("lost"));
    EXPECT_EQ(
        scope.Check(absl::StatusOr<int>(absl::DataLossError("lost"))).status(),
        absl::DataLossError("lost"));
  });
}

TEST_F(FailScopeTest, CancelledFromOutsideStaysCancelled) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope outer = MoveOnAfter(absl::Seconds(1));
    FailScope scope = FailAfter(absl::Seconds(5));
    absl::Status status = scope.Check(co_await SleepForever());
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_TRUE(outer.cancelled_caught());
    EXPECT_EQ(elapsed(), absl::Seconds(1));
  });
}

TEST_F(FailScopeTest, CancelledOfItsOwnAccordStaysCancelled) {
  greenback::Run(options_, []() -> Co<void> {
    FailScope scope = FailAfter(absl::Seconds(5));
    EXPECT_EQ(scope.Check(absl::CancelledError("by the user")),
              absl::CancelledError("by the user"));
    co_return;
  });
}

// Both at the same time: the outer scope is the one that catches.
TEST_F(FailScopeTest, CancelledFromOutsideAndLateStaysCancelled) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    FailScope scope = FailAt(CurrentTime());
    outer.Cancel();
    EXPECT_TRUE(absl::IsCancelled(scope.Check(co_await Checkpoint())));
  });
}

// -------------------------------------------------------------------- nesting

TEST_F(FailScopeTest, TheInnerDeadlineFailsTheInnerScope) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope outer = FailAfter(absl::Seconds(5));
    {
      FailScope inner = FailAfter(absl::Seconds(1));
      EXPECT_TRUE(
          absl::IsDeadlineExceeded(inner.Check(co_await SleepForever())));
    }
    EXPECT_FALSE(outer.cancel_called());
    EXPECT_TRUE(outer.Check(co_await Sleep(absl::Seconds(1))).ok());
    EXPECT_EQ(elapsed(), absl::Seconds(2));
  });
}

TEST_F(FailScopeTest, TheOuterDeadlineFailsTheOuterScope) {
  greenback::Run(options_, [this]() -> Co<void> {
    FailScope outer = FailAfter(absl::Seconds(1));
    absl::Status inner_status;
    {
      FailScope inner = FailAfter(absl::Seconds(5));
      inner_status = inner.Check(co_await SleepForever());
    }
    EXPECT_TRUE(absl::IsCancelled(inner_status)) << inner_status;
    EXPECT_TRUE(absl::IsDeadlineExceeded(outer.Check(inner_status)));
    EXPECT_EQ(elapsed(), absl::Seconds(1));
  });
}

TEST_F(FailScopeTest, AShieldKeepsItsDeadline) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    FailScope cleanup = FailAfter(absl::Seconds(3));
    cleanup.set_shield(true);
    EXPECT_TRUE(
        absl::IsDeadlineExceeded(cleanup.Check(co_await SleepForever())));
    EXPECT_EQ(elapsed(), absl::Seconds(3));
  });
}

// ----------------------------------------------------------- synchronous code

TEST_F(FailScopeTest, WorksInAPlainFunction) {
  const auto plain_function = [](absl::Duration takes) {
    FailScope scope = FailAfter(absl::Seconds(2));
    return scope.Check(Await(TakeTime(takes)));
  };
  greenback::Run(options_, [&]() -> Co<void> {
    absl::StatusOr<std::string> quick =
        co_await WithPortalRunSync(plain_function, absl::Seconds(1));
    EXPECT_EQ(quick.value_or(""), "done");
    absl::StatusOr<std::string> slow =
        co_await WithPortalRunSync(plain_function, absl::Seconds(3));
    EXPECT_TRUE(absl::IsDeadlineExceeded(slow.status())) << slow.status();
    EXPECT_EQ(elapsed(), absl::Seconds(3));
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST_F(FailScopeTest, ScopesOfParkedTasksDoNotMix) {
  int failed = 0;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int seconds : {3, 1, 2}) {
      BestowPortal(nursery.StartSoon([&, seconds]() -> Co<void> {
        FailScope scope = FailAfter(absl::Seconds(seconds));
        absl::Status status = scope.Check(Await(SleepForever()));
        EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
        EXPECT_EQ(elapsed(), absl::Seconds(seconds));
        ++failed;
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_EQ(failed, 3);
}

}  // namespace
}  // namespace greenback
