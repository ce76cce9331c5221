#include "greenback/runtime/cancel_scope.h"

#include <memory>
#include <stdexcept>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

class CancelScopeTest : public ::testing::Test {
 protected:
  CancelScopeTest() { options_.clock = &clock_; }

  absl::Duration elapsed() { return clock_.Now() - absl::UnixEpoch(); }

  MockClock clock_;
  RunOptions options_;
};

// ------------------------------------------------------------------- Cancel()

TEST_F(CancelScopeTest, DoesNothingByItself) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_FALSE(scope.cancel_called());
    EXPECT_FALSE(scope.cancelled_caught());
    EXPECT_FALSE(scope.shield());
    EXPECT_EQ(scope.deadline(), absl::InfiniteFuture());
  });
}

TEST_F(CancelScopeTest, CancelIsCalledButNotCaughtWithoutACancellationPoint) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_FALSE(scope.cancelled_caught());
    co_return;
  });
}

TEST_F(CancelScopeTest, CancelWakesTheWaitingTask) {
  RunNurseryOk(options_, [](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, CancelTwiceIsCancelOnce) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST_F(CancelScopeTest, IsLevelTriggered) {
  greenback::Run(options_, []() -> Co<void> {
    Event event;
    CancelScope scope;
    scope.Cancel();
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
      EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
      EXPECT_TRUE(absl::IsCancelled(co_await event.Wait()));
      EXPECT_TRUE(absl::IsCancelled(co_await CheckpointIfCancelled()));
    }
  });
}

TEST_F(CancelScopeTest, EndsWithTheScope) {
  greenback::Run(options_, []() -> Co<void> {
    {
      CancelScope scope;
      scope.Cancel();
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
  });
}

TEST_F(CancelScopeTest, CoversTheFunctionsThatAreCalledInIt) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    const auto inner = []() -> Co<absl::Status> {
      co_return co_await Checkpoint();
    };
    EXPECT_TRUE(absl::IsCancelled(co_await inner()));
  });
}

TEST_F(CancelScopeTest, DoesNotReachOtherTasks) {
  RunNurseryOk(options_, [](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([]() -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    });
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST_F(CancelScopeTest, ReachesTheChildrenOfNurseriesInside) {
  int cancelled = 0;
  greenback::Run(options_, [&]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(1));
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          for (int i = 0; i < 3; ++i) {
            nursery.StartSoon([&]() -> Co<absl::Status> {
              absl::Status slept = co_await SleepForever();
              if (absl::IsCancelled(slept)) ++cancelled;
              co_return slept;
            });
          }
          co_return;
        });
    EXPECT_TRUE(absl::IsCancelled(status));
    EXPECT_TRUE(scope.cancelled_caught());
  });
  EXPECT_EQ(cancelled, 3);
  EXPECT_EQ(elapsed(), absl::Seconds(1));
}

// The result of a wait that has ended is not replaced.
TEST_F(CancelScopeTest, AWaitThatHasEndedIsNotCancelled) {
  RunNurseryOk(options_, [](Nursery& nursery) -> Co<void> {
    Event event;
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      event.Set();
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE((co_await event.Wait()).ok());
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

// ------------------------------------------------------------------ deadlines

TEST_F(CancelScopeTest, ADeadlineCancels) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope scope(CurrentTime() + absl::Seconds(5));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_EQ(elapsed(), absl::Seconds(5));
  });
}

TEST_F(CancelScopeTest, ADeadlineInThePastCancelsAtOnce) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope(CurrentTime());
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_TRUE(absl::IsCancelled(co_await CheckpointIfCancelled()));
  });
}

TEST_F(CancelScopeTest, ADeadlineThatIsNotReachedDoesNothing) {
  greenback::Run(options_, [this]() -> Co<void> {
    {
      CancelScope scope = MoveOnAfter(absl::Seconds(5));
      EXPECT_TRUE((co_await Sleep(absl::Seconds(4))).ok());
      EXPECT_FALSE(scope.cancel_called());
    }
    EXPECT_TRUE((co_await Sleep(absl::Seconds(4))).ok());
    EXPECT_EQ(elapsed(), absl::Seconds(8));
  });
}

TEST_F(CancelScopeTest, ADeadlineMayBePostponed) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(5));
    EXPECT_TRUE((co_await Sleep(absl::Seconds(4))).ok());
    scope.set_deadline(scope.deadline() + absl::Seconds(10));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_EQ(elapsed(), absl::Seconds(15));
  });
}

TEST_F(CancelScopeTest, ADeadlineMayBeAdvanced) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Hours(5));
    scope.set_deadline(CurrentTime() + absl::Seconds(1));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_EQ(elapsed(), absl::Seconds(1));
  });
}

TEST_F(CancelScopeTest, ADeadlineMayBeRemoved) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(1));
    scope.set_deadline(absl::InfiniteFuture());
    EXPECT_TRUE((co_await Sleep(absl::Hours(1))).ok());
    EXPECT_FALSE(scope.cancel_called());
    EXPECT_EQ(elapsed(), absl::Hours(1));
  });
}

TEST_F(CancelScopeTest, ADeadlineMovedIntoThePastCancelsAtOnce) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(1));
    scope.set_deadline(absl::InfinitePast());
    EXPECT_TRUE(scope.cancel_called());
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST_F(CancelScopeTest, ALaterDeadlineDoesNotUncancel) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    scope.set_deadline(CurrentTime() + absl::Hours(1));
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST_F(CancelScopeTest, MoveOnAtTakesATime) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope scope = MoveOnAt(absl::UnixEpoch() + absl::Seconds(7));
    EXPECT_EQ(scope.deadline(), absl::UnixEpoch() + absl::Seconds(7));
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_EQ(elapsed(), absl::Seconds(7));
  });
}

TEST_F(CancelScopeTest, TensOfThousandsOfDeadlinesAreKept) {
  constexpr int kTasks = 30'000;
  std::vector<int> log;
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTasks; ++i) {
      const int seconds = 1 + (i * 7'919) % kTasks;
      nursery.StartSoon([&log, seconds]() -> Co<void> {
        CancelScope scope = MoveOnAfter(absl::Seconds(seconds));
        EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
        log.push_back(seconds);
      });
    }
    co_return;
  });
  ASSERT_EQ(log.size(), static_cast<size_t>(kTasks));
  for (int i = 0; i < kTasks; ++i) ASSERT_EQ(log[i], i + 1);
}

// -------------------------------------------------------------------- nesting

TEST_F(CancelScopeTest, TheOuterScopeReachesThroughTheInnerOne) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    {
      CancelScope inner;
      outer.Cancel();
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
      EXPECT_FALSE(inner.cancel_called());
      EXPECT_FALSE(inner.cancelled_caught());
    }
    EXPECT_TRUE(outer.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, TheInnerScopeLeavesTheOuterOneAlone) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    {
      CancelScope inner;
      inner.Cancel();
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
      EXPECT_TRUE(inner.cancelled_caught());
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_FALSE(outer.cancel_called());
    EXPECT_FALSE(outer.cancelled_caught());
  });
}

// As in Trio: the outermost cancelled scope catches the cancellation.
TEST_F(CancelScopeTest, OfTwoCancelledScopesTheOuterOneCatches) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    {
      CancelScope inner;
      inner.Cancel();
      outer.Cancel();
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
      EXPECT_FALSE(inner.cancelled_caught());
    }
    EXPECT_TRUE(outer.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, AScopeInsideACancelledOneBeginsCancelled) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    CancelScope inner;
    EXPECT_FALSE(inner.cancel_called());
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST_F(CancelScopeTest, TheEarlierDeadlineCatches) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope outer = MoveOnAfter(absl::Seconds(2));
    {
      CancelScope inner = MoveOnAfter(absl::Seconds(1));
      EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
      EXPECT_TRUE(inner.cancelled_caught());
      EXPECT_EQ(elapsed(), absl::Seconds(1));
    }
    EXPECT_FALSE(outer.cancel_called());
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_TRUE(outer.cancelled_caught());
    EXPECT_EQ(elapsed(), absl::Seconds(2));
  });
}

TEST_F(CancelScopeTest, HundredsOfScopesNest) {
  struct Nest {
    static Co<void> Down(int depth, CancelScope& outermost) {
      CancelScope scope;
      if (depth > 0) {
        co_await Down(depth - 1, outermost);
      } else {
        outermost.Cancel();
        EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
      }
      EXPECT_FALSE(scope.cancelled_caught());
    }
  };
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outermost;
    co_await Nest::Down(500, outermost);
    EXPECT_TRUE(outermost.cancelled_caught());
  });
}

// --------------------------------------------------------------------- shield

TEST_F(CancelScopeTest, AShieldKeepsOutCancellationOfOuterScopes) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    {
      CancelScope shielded;
      shielded.set_shield(true);
      EXPECT_TRUE(shielded.shield());
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
      EXPECT_FALSE(outer.cancelled_caught());
    }
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    EXPECT_TRUE(outer.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, AShieldDoesNotKeepOutItsOwnCancellation) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    CancelScope shielded;
    shielded.set_shield(true);
    shielded.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    EXPECT_TRUE(shielded.cancelled_caught());
    EXPECT_FALSE(outer.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, AShieldHasADeadlineOfItsOwn) {
  greenback::Run(options_, [this]() -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    CancelScope cleanup = MoveOnAfter(absl::Seconds(3));
    cleanup.set_shield(true);
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_TRUE(cleanup.cancelled_caught());
    EXPECT_EQ(elapsed(), absl::Seconds(3));
  });
}

TEST_F(CancelScopeTest, LiftingAShieldWakesTheWaitingTask) {
  RunNurseryOk(options_, [](Nursery& nursery) -> Co<void> {
    CancelScope outer;
    outer.Cancel();
    CancelScope shielded;
    shielded.set_shield(true);
    nursery.StartSoon([&shielded]() -> Co<void> {
      shielded.set_shield(false);
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    EXPECT_TRUE(outer.cancelled_caught());
    EXPECT_FALSE(shielded.cancelled_caught());
  });
}

TEST_F(CancelScopeTest, AShieldCoversScopesInsideIt) {
  greenback::Run(options_, []() -> Co<void> {
    CancelScope outer;
    CancelScope shielded;
    shielded.set_shield(true);
    CancelScope inner;
    outer.Cancel();
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_FALSE(outer.cancelled_caught());
  });
}

// ----------------------------------------------------------- synchronous code

TEST_F(CancelScopeTest, CancellingWakesAnAwait) {
  RunNurseryOk(options_, [](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(Await(Sleep(absl::Hours(1)))));
    EXPECT_TRUE(scope.cancelled_caught());
  });
  EXPECT_EQ(elapsed(), absl::ZeroDuration());
}

TEST_F(CancelScopeTest, MoveOnAfterWorksInAPlainFunction) {
  const auto plain_function = [] {
    CancelScope scope = MoveOnAfter(absl::Seconds(2));
    absl::Status slept = Await(Sleep(absl::Hours(1)));
    EXPECT_TRUE(absl::IsCancelled(slept));
    EXPECT_TRUE(scope.cancelled_caught());
  };
  greenback::Run(options_, [&]() -> Co<void> {
    co_await WithPortalRunSync(plain_function);
    EXPECT_EQ(elapsed(), absl::Seconds(2));
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST_F(CancelScopeTest, ScopesOfParkedTasksDoNotMix) {
  std::vector<int> log;
  const auto plain_function = [&](int seconds) {
    CancelScope scope = MoveOnAfter(absl::Seconds(seconds));
    EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
    EXPECT_TRUE(scope.cancelled_caught());
    log.push_back(seconds);
  };
  RunNurseryOk(options_, [&](Nursery& nursery) -> Co<void> {
    for (int seconds : {3, 1, 2}) {
      BestowPortal(nursery.StartSoon([&, seconds]() -> Co<void> {
        plain_function(seconds);
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
}

TEST_F(CancelScopeTest, AnOuterNativeScopeReachesAPlainFunction) {
  greenback::Run(options_, [&]() -> Co<void> {
    CancelScope outer = MoveOnAfter(absl::Seconds(1));
    co_await WithPortalRunSync([&] {
      CancelScope inner = MoveOnAfter(absl::Seconds(2));
      EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
      EXPECT_FALSE(inner.cancelled_caught());
    });
    EXPECT_TRUE(outer.cancelled_caught());
  });
}

#if defined(__cpp_exceptions)

TEST_F(CancelScopeTest, AnExceptionLeavesTheScope) {
  greenback::Run(options_, []() -> Co<void> {
    try {
      CancelScope scope;
      scope.Cancel();
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

#endif  // defined(__cpp_exceptions)

// ----------------------------------------------------------------- misnesting

void EndInTheWrongOrder() {
  greenback::Run([]() -> Co<void> {
    auto first = std::make_unique<CancelScope>();
    auto second = std::make_unique<CancelScope>();
    first.reset();
    co_return;
  });
}

TEST(CancelScopeDeathTest, MisnestingDies) {
  EXPECT_DEATH(EndInTheWrongOrder(),
               "a CancelScope or Nursery of task \"main\" ends while one "
               "inside it is open; end them in reverse order");
}

void OutliveATask() {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    std::unique_ptr<CancelScope> scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      CurrentTask().set_name("careless");
      scope = std::make_unique<CancelScope>();
      co_return;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(CancelScopeDeathTest, OneThatOutlivesItsTaskDies) {
  EXPECT_DEATH(OutliveATask(),
               "a CancelScope or Nursery of task \"careless\" ends while one "
               "inside it is open; end them in reverse order, and before the "
               "task");
}

void OutliveMain() {
  std::unique_ptr<CancelScope> scope;
  greenback::Run([&scope]() -> Co<void> {
    scope = std::make_unique<CancelScope>();
    co_return;
  });
}

TEST(CancelScopeDeathTest, OneThatOutlivesTheMainTaskDies) {
  EXPECT_DEATH(OutliveMain(), "of task \"main\" ends while one inside it");
}

void OutliveANursery() {
  greenback::Run([]() -> Co<void> {
    std::unique_ptr<CancelScope> scope;
    (void)co_await OpenNursery([&scope](Nursery&) -> Co<void> {
      scope = std::make_unique<CancelScope>();
      co_return;
    });
  });
}

TEST(CancelScopeDeathTest, OneThatOutlivesItsNurseryDies) {
  EXPECT_DEATH(OutliveANursery(), "of task \"main\" ends while one inside it");
}

void EndInsideANursery() {
  greenback::Run([]() -> Co<void> {
    auto scope = std::make_unique<CancelScope>();
    (void)co_await OpenNursery([&scope](Nursery&) -> Co<void> {
      scope.reset();
      co_return;
    });
  });
}

TEST(CancelScopeDeathTest, OneThatEndsInsideALaterNurseryDies) {
  EXPECT_DEATH(EndInsideANursery(),
               "of task \"main\" ends while one inside it");
}

// The same in a synchronous function.
void EndInTheWrongOrderInSynchronousCode() {
  greenback::Run([]() -> Co<void> {
    co_await WithPortalRunSync([] {
      auto outer = std::make_unique<CancelScope>();
      EXPECT_TRUE(Await(Checkpoint()).ok());
      CancelScope inner;
      outer.reset();
    });
  });
}

TEST(CancelScopeDeathTest, P21_MisnestingInSynchronousCodeDies) {
  EXPECT_DEATH(EndInTheWrongOrderInSynchronousCode(),
               "of task \"main\" ends while one inside it");
}

// Any function may end a scope on the heap, as long as the order is right.
TEST_F(CancelScopeTest, OnTheHeapItLivesAsLongAsItIsNested) {
  greenback::Run(options_, []() -> Co<void> {
    auto first = std::make_unique<CancelScope>();
    auto second = std::make_unique<CancelScope>();
    first->Cancel();
    second.reset();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    first.reset();
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

}  // namespace
}  // namespace greenback
