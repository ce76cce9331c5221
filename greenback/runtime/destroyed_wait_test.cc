// A coroutine is destroyed by its owner while it waits: the wait removes itself
// from every list. That does not happen to a Co that is awaited in a task, but
// it may happen to coroutines of other libraries, and to a Co that they await.
#include <functional>
#include <latch>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/process.h"
#include "greenback/runtime/reschedule.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_in_thread.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/process_resources.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

// Awaits the result of `make()`, and logs `name` afterwards.
template <class Make>
OwnedCoroutine WaitIn(Make make, std::vector<std::string>& log,
                      std::string name) {
  Counted counted;
  static_cast<void>(co_await make());
  log.push_back(std::move(name));
}

// The same, through a Co.
template <class Make>
OwnedCoroutine WaitInACoIn(Make make, std::vector<std::string>& log,
                           std::string name) {
  const auto wait = [&make]() -> Co<void> {
    Counted counted;
    static_cast<void>(co_await make());
  };
  co_await wait();
  log.push_back(std::move(name));
}

// Enough steps for the loop to check its timers.
Co<void> SomeSteps() {
  for (int i = 0; i < 100; ++i) (void)co_await Checkpoint();
}

// Has coroutines await the result of `make()`, destroys the first, the last and
// one in between, and calls `provoke()`. The others resume, in order.
template <class Make, class Provoke>
Co<void> CheckForgets(Make make, Provoke provoke) {
  std::vector<std::string> log;
  {
    CancelScope scope;
    std::optional<OwnedCoroutine> first(WaitIn(make, log, "first"));
    OwnedCoroutine second = WaitIn(make, log, "second");
    std::optional<OwnedCoroutine> third(WaitInACoIn(make, log, "third"));
    OwnedCoroutine fourth = WaitInACoIn(make, log, "fourth");
    std::optional<OwnedCoroutine> fifth(WaitIn(make, log, "fifth"));
    first.reset();
    third.reset();
    fifth.reset();
    OwnedCoroutine sixth = WaitIn(make, log, "sixth");
    provoke();
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("second", "fourth", "sixth"));
    // No coroutine is left, so wake-ups and cancellation have no effect.
    log.clear();
    {
      OwnedCoroutine seventh = WaitIn(make, log, "seventh");
    }
    provoke();
    scope.Cancel();
    co_await SomeSteps();
  }
  EXPECT_THAT(log, ElementsAre());
  EXPECT_EQ(Counted::live(), 0);
}

TEST(DestroyedWaitTest, R36_CheckpointsForgetIt) {
  greenback::Run([]() -> Co<void> {
    co_await CheckForgets([] { return Checkpoint(); }, [] {});
    co_await CheckForgets([] { return CancelShieldedCheckpoint(); }, [] {});
  });
}

TEST(DestroyedWaitTest, R36_EnsurePortalForgetsIt) {
  greenback::Run([]() -> Co<void> {
    co_await CheckForgets([] { return EnsurePortal(); }, [] {});
  });
}

TEST(DestroyedWaitTest, R36_SleepForgetsIt) {
  MockClock clock;
  greenback::Run(RunOptions{.clock = &clock}, [&]() -> Co<void> {
    co_await CheckForgets([] { return Sleep(absl::Seconds(1)); },
                          [&] { clock.Jump(absl::Seconds(2)); });
    // The waiter is in the ready queue at once.
    co_await CheckForgets([] { return Sleep(absl::ZeroDuration()); }, [] {});
  });
}

TEST(DestroyedWaitTest, R36_EventsForgetIt) {
  greenback::Run([]() -> Co<void> {
    Event event;
    co_await CheckForgets([&] { return event.Wait(); }, [&] { event.Set(); });
    EXPECT_EQ(event.waiters(), 0u);
    // The waiter is in the ready queue at once.
    co_await CheckForgets([&] { return event.Wait(); }, [] {});
  });
}

TEST(DestroyedWaitTest, R36_AWaitThatIsOverIsForgotten) {
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    Event event;
    const auto wait = [&] { return event.Wait(); };
    std::optional<OwnedCoroutine> first(WaitIn(wait, log, "first"));
    OwnedCoroutine second = WaitIn(wait, log, "second");
    event.Set();
    first.reset();  // it is in the ready queue by now
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("second"));
  });
}

TEST(DestroyedWaitTest, R36_ACancelledWaitIsForgotten) {
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    CancelScope scope;
    std::optional<OwnedCoroutine> first(
        WaitIn([] { return SleepForever(); }, log, "first"));
    OwnedCoroutine second =
        WaitIn([] { return SleepForever(); }, log, "second");
    scope.Cancel();
    first.reset();  // it is in the ready queue by now
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("second"));
  });
}

// An awaitable of another library, whose coroutine is in the ready queue.
TEST(DestroyedWaitTest, R36_AWaitForSomethingElseIsForgotten) {
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    Signal signal, other;
    std::optional<OwnedCoroutine> first(
        WaitInACoIn([&]() -> Signal& { return signal; }, log, "first"));
    OwnedCoroutine second =
        WaitInACoIn([&]() -> Signal& { return other; }, log, "second");
    signal.Fire();
    other.Fire();
    first.reset();
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("second"));
  });
}

TEST(DestroyedWaitTest, R36_WaitTaskRescheduledIsCancelled) {
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    const auto wait = [&log] {
      return WaitTaskRescheduled([&log] {
        log.push_back("aborted");
        return Abort::kSucceeded;
      });
    };
    {
      OwnedCoroutine waits = WaitIn(wait, log, "over");
    }
    EXPECT_THAT(log, ElementsAre("aborted"));
    // The task can wait again, and be woken.
    OwnedCoroutine waits = WaitIn(wait, log, "over");
    Reschedule(CurrentTask());
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("aborted", "over"));
    {
      // Here abort_fn wakes the task.
      OwnedCoroutine again = WaitIn(
          [] {
            return WaitTaskRescheduled([] {
              Reschedule(CurrentTask());
              return Abort::kFailed;
            });
          },
          log, "again");
    }
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre("aborted", "over"));
  });
}

TEST(DestroyedWaitTest, R36_AFunctionThatHasNotBegunIsNeverCalled) {
  greenback::Run(RunOptions{.max_threads = 1}, []() -> Co<void> {
    std::vector<std::string> log;
    std::latch may_end(1);
    bool called = false;
    OwnedCoroutine first = WaitIn(
        [&] { return RunInThread([&] { may_end.wait(); }); }, log, "first");
    {
      OwnedCoroutine second = WaitIn(
          [&] { return RunInThread([&] { called = true; }); }, log, "second");
    }
    may_end.count_down();
    while (log.empty()) (void)co_await Checkpoint();
    EXPECT_THAT(log, ElementsAre("first"));
    EXPECT_TRUE((co_await RunInThread([] {})).ok());
    EXPECT_FALSE(called);
  });
}

TEST(DestroyedWaitTest, R36_AProcessIsKilledAndReaped) {
  const int descriptors = CountDescriptors();
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    {
      OwnedCoroutine waits =
          WaitIn([] { return RunProcess({"sleep", "1000"}); }, log, "over");
      while (!HasChildProcess()) (void)co_await Checkpoint();
    }
    EXPECT_FALSE(HasChildProcess());
    // Asio calls the handler now.
    co_await SomeSteps();
    absl::StatusOr<ProcessResult> ran = co_await RunProcess({"true"});
    EXPECT_TRUE(ran.ok());
    EXPECT_THAT(log, ElementsAre());
  });
  EXPECT_EQ(CountDescriptors(), descriptors);
}

TEST(DestroyedWaitTest, R36_ANurseryWithoutTasksMayBeDestroyed) {
  greenback::Run([]() -> Co<void> {
    std::vector<std::string> log;
    const auto open = [] {
      return OpenNursery(
          [](Nursery&) -> Co<void> { (void)co_await SleepForever(); });
    };
    {
      OwnedCoroutine waits = WaitIn(open, log, "over");
    }
    const auto open_and_leave = [] {
      return OpenNursery([](Nursery&) -> Co<void> { co_return; });
    };
    {
      OwnedCoroutine ready = WaitIn(open_and_leave, log, "over");
    }
    co_await SomeSteps();
    EXPECT_THAT(log, ElementsAre());
  });
}

// ------------------------------------------------------ waits that cannot end

TEST(DestroyedWaitDeathTest, R36_AFunctionThatHasBegunIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      greenback::Run([]() -> Co<void> {
        std::vector<std::string> log;
        std::latch begun(1), may_end(1);
        {
          OwnedCoroutine waits = WaitIn(
              [&] {
                return RunInThread([&] {
                  begun.count_down();
                  may_end.wait();
                });
              },
              log, "over");
          begun.wait();
        }
        co_return;
      }),
      "in task \"main\" a coroutine was destroyed while it waited in "
      "RunInThread\\(\\), whose function has begun; that wait cannot be "
      "cancelled; let the coroutine end");
}

TEST(DestroyedWaitDeathTest, R36_AWaitThatCannotBeCancelledIsAnError) {
  EXPECT_DEATH(
      greenback::Run([]() -> Co<void> {
        std::vector<std::string> log;
        {
          OwnedCoroutine waits = WaitIn(
              [] { return WaitTaskRescheduled([] { return Abort::kFailed; }); },
              log, "over");
        }
        co_return;
      }),
      "was destroyed while it waited in WaitTaskRescheduled\\(\\); that wait "
      "cannot be cancelled");
}

TEST(DestroyedWaitDeathTest, R36_ANurseryWithTasksIsAnError) {
  EXPECT_DEATH(
      greenback::Run([]() -> Co<void> {
        std::vector<std::string> log;
        {
          OwnedCoroutine waits = WaitIn(
              [] {
                return OpenNursery([](Nursery& nursery) -> Co<void> {
                  nursery.StartSoon(SomeSteps);
                  co_return;
                });
              },
              log, "over");
        }
        co_return;
      }),
      "waited in OpenNursery\\(\\) for tasks that have not ended; cancel");
}

// The reverse: the task ends before the wait.
TEST(DestroyedWaitDeathTest,
     R36_ATaskThatEndsWhileACoroutineWaitsInItIsAnError) {
  EXPECT_DEATH(
      RunNurseryOk([](Nursery& nursery) -> Co<void> {
        static std::vector<std::string> log;
        static std::optional<OwnedCoroutine> waits;
        nursery
            .StartSoon([]() -> Co<void> {
              waits.emplace(WaitIn([] { return SleepForever(); }, log, "over"));
              co_return;
            })
            .set_name("short");
        co_return;
      }),
      "task \"short\" ends while a coroutine of another library, "
      "which it has run, waits in it");
}

}  // namespace
}  // namespace greenback
