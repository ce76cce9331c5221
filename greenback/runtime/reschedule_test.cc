#include "greenback/runtime/reschedule.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Abort AbortSucceeds() { return Abort::kSucceeded; }
Abort AbortFails() { return Abort::kFailed; }

// A way to wait: `co_await` in a coroutine, or Await() in synchronous code.
enum class How { kNative, kAwait };

template <class T>
Co<absl::StatusOr<T>> WaitFor(How how) {
  if (how == How::kNative) {
    co_return co_await WaitTaskRescheduled<T>(AbortSucceeds);
  }
  co_return co_await WithPortalRunSync(
      [] { return Await(WaitTaskRescheduled<T>(AbortSucceeds)); });
}

// g++ 12 does not compile EXPECT_TRUE(co_await ...) in a template.
Co<void> LetOthersRun() { EXPECT_TRUE((co_await Checkpoint()).ok()); }

// Runs a task that waits, in each way, and wakes it by `wake`. Returns the
// outcomes of the waits.
template <class T, class Wake>
std::vector<absl::StatusOr<T>> Outcomes(Wake wake) {
  std::vector<absl::StatusOr<T>> outcomes;
  for (const How how : {How::kNative, How::kAwait}) {
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      Task& waiter = nursery.StartSoon([&outcomes, how]() -> Co<void> {
        outcomes.push_back(co_await WaitFor<T>(how));
      });
      co_await LetOthersRun();
      wake(waiter);
    });
  }
  return outcomes;
}

// ------------------------------------------------------------------- outcomes

TEST(RescheduleTest, AValueIsReturned) {
  const auto outcomes =
      Outcomes<int>([](Task& waiter) { Reschedule(waiter, 7); });
  ASSERT_EQ(outcomes.size(), 2u);
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.value_or(0), 7);
}

TEST(RescheduleTest, AMoveOnlyValueIsReturned) {
  using Pointer = std::unique_ptr<int>;
  auto outcomes = Outcomes<Pointer>(
      [](Task& waiter) { Reschedule(waiter, std::make_unique<int>(7)); });
  ASSERT_EQ(outcomes.size(), 2u);
  for (auto& outcome : outcomes) EXPECT_EQ(**outcome, 7);
}

TEST(RescheduleTest, AStatusOrIsReturned) {
  const auto outcomes = Outcomes<std::string>([](Task& waiter) {
    Reschedule(waiter, absl::StatusOr<std::string>("text"));
  });
  ASSERT_EQ(outcomes.size(), 2u);
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.value_or(""), "text");
}

TEST(RescheduleTest, OkWakesAWaitForNothing) {
  for (const bool synchronous : {false, true}) {
    absl::Status outcome = absl::UnknownError("not set");
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      Task& waiter = nursery.StartSoon([&]() -> Co<void> {
        if (synchronous) {
          co_await WithPortalRunSync(
              [&] { outcome = Await(WaitTaskRescheduled(AbortSucceeds)); });
        } else {
          outcome = co_await WaitTaskRescheduled(AbortSucceeds);
        }
      });
      EXPECT_TRUE((co_await Checkpoint()).ok());
      Reschedule(waiter);
    });
    EXPECT_TRUE(outcome.ok()) << outcome;
  }
}

TEST(RescheduleTest, P16_NativeAwaitAndAwaitReturnTheSameStatus) {
  const auto outcomes = Outcomes<int>([](Task& waiter) {
    Reschedule(waiter, absl::DataLossError("woken with this"));
  });
  ASSERT_EQ(outcomes.size(), 2u);
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome.status(), absl::DataLossError("woken with this"));
  }
}

TEST(RescheduleTest, P16_NativeAwaitAndAwaitReturnTheSameErrorOfAStatusOr) {
  const auto outcomes = Outcomes<int>([](Task& waiter) {
    Reschedule(waiter,
               absl::StatusOr<int>(absl::DataLossError("woken with this")));
  });
  ASSERT_EQ(outcomes.size(), 2u);
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome.status(), absl::DataLossError("woken with this"));
  }
}

#if defined(__cpp_exceptions)

TEST(RescheduleTest, P16_NativeAwaitAndAwaitThrowTheSameException) {
  std::vector<std::string> log;
  for (const How how : {How::kNative, How::kAwait}) {
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      Task& waiter = nursery.StartSoon([&log, how]() -> Co<void> {
        try {
          (void)co_await WaitFor<int>(how);
        } catch (const std::runtime_error& error) {
          log.push_back(error.what());
        }
      });
      EXPECT_TRUE((co_await Checkpoint()).ok());
      Reschedule(waiter, std::make_exception_ptr(std::runtime_error("thrown")));
    });
  }
  EXPECT_THAT(log, ElementsAre("thrown", "thrown"));
}

// Caught where it is thrown, in the synchronous frame.
TEST(RescheduleTest, P16_ASynchronousFrameCatchesTheException) {
  bool caught = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([&]() -> Co<void> {
      co_await WithPortalRunSync([&] {
        try {
          (void)Await(WaitTaskRescheduled(AbortSucceeds));
        } catch (int value) {
          caught = value == 3;
        }
        EXPECT_TRUE(Await(Checkpoint()).ok());
      });
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    Reschedule(waiter, std::make_exception_ptr(3));
  });
  EXPECT_TRUE(caught);
}

#endif  // defined(__cpp_exceptions)

// ---------------------------------------------------------------------- order

TEST(RescheduleTest, WokenTasksResumeInOrderOfWaking) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    std::vector<Task*> waiters;
    for (int i = 0; i < 4; ++i) {
      waiters.push_back(&nursery.StartSoon([&log, i]() -> Co<void> {
        EXPECT_TRUE((co_await WaitTaskRescheduled(AbortSucceeds)).ok());
        log.push_back(i);
      }));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    for (const int i : {2, 0, 3, 1}) Reschedule(*waiters[i]);
    EXPECT_THAT(log, ElementsAre());
  });
  EXPECT_THAT(log, ElementsAre(2, 0, 3, 1));
}

TEST(RescheduleTest, AWokenTaskResumesAfterThoseThatAreReady) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await WaitTaskRescheduled(AbortSucceeds)).ok());
      log.push_back("woken");
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("ready before");
      co_return;
    });
    Reschedule(waiter);
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("ready after");
      co_return;
    });
  });
  EXPECT_THAT(log, ElementsAre("ready before", "woken", "ready after"));
}

TEST(RescheduleTest, TheWaitIsACheckpoint) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&nursery]() -> Co<void> {
      Reschedule(nursery.parent_task());
      co_return;
    });
    const AssertCheckpoints yes;
    EXPECT_TRUE((co_await WaitTaskRescheduled(AbortSucceeds)).ok());
  });
}

TEST(RescheduleTest, RescheduleIsNoCheckpoint) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task& waiter =
        nursery.StartSoon([] { return WaitTaskRescheduled(AbortSucceeds); });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    const AssertNoCheckpoints no;
    Reschedule(waiter);
  });
}

TEST(RescheduleTest, ATaskWaitsAgainAndAgain) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        log.push_back(
            (co_await WaitTaskRescheduled<int>(AbortSucceeds)).value_or(-1));
      }
    });
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      Reschedule(waiter, i);
    }
  });
  EXPECT_THAT(log, ElementsAre(0, 1, 2));
}

// --------------------------------------------------------------- cancellation

TEST(RescheduleTest, AWaitThatAbortsIsCancelled) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      scope.Cancel();
      EXPECT_EQ(asked, 1);  // at once
      scope.Cancel();
      co_return;
    });
    absl::StatusOr<int> outcome = co_await WaitTaskRescheduled<int>([&] {
      ++asked;
      return Abort::kSucceeded;
    });
    EXPECT_TRUE(absl::IsCancelled(outcome.status())) << outcome.status();
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_EQ(asked, 1);
  });
}

TEST(RescheduleTest, P16_ACancelledWaitInSynchronousCodeReturns) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(Await(WaitTaskRescheduled(AbortSucceeds))));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(RescheduleTest, ADeadlineCancelsAWait) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  greenback::Run(options, [&]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(3));
    EXPECT_TRUE(absl::IsCancelled(co_await WaitTaskRescheduled(AbortSucceeds)));
    EXPECT_EQ(clock.Now() - absl::UnixEpoch(), absl::Seconds(3));
  });
}

TEST(RescheduleTest, CancelledBeforeItWaitsItCallsAbortFnToo) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("others");
      co_return;
    });
    CancelScope scope;
    scope.Cancel();
    absl::Status outcome = co_await WaitTaskRescheduled([&] {
      log.push_back("asked");
      return Abort::kSucceeded;
    });
    EXPECT_TRUE(absl::IsCancelled(outcome)) << outcome;
    EXPECT_TRUE(scope.cancelled_caught());
    log.push_back("cancelled");
  });
  // A schedule point all the same.
  EXPECT_THAT(log, ElementsAre("asked", "others", "cancelled"));
}

TEST(RescheduleTest, AWaitThatCannotAbortContinues) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      scope.Cancel();
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      Reschedule(nursery.parent_task(), 5);
    });
    absl::StatusOr<int> outcome = co_await WaitTaskRescheduled<int>([&] {
      ++asked;
      return Abort::kFailed;
    });
    EXPECT_EQ(outcome.value_or(0), 5);
    EXPECT_EQ(asked, 1);
    // The cancellation is still there to be noticed.
    EXPECT_FALSE(scope.cancelled_caught());
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST(RescheduleTest, CancelledBeforeItWaitsItMayBeUnableToAbort) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope scope;
    scope.Cancel();
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(asked, 1);
      Reschedule(nursery.parent_task(), 5);
      co_return;
    });
    absl::StatusOr<int> outcome = co_await WaitTaskRescheduled<int>([&] {
      ++asked;
      return Abort::kFailed;
    });
    EXPECT_EQ(outcome.value_or(0), 5);
    EXPECT_EQ(asked, 1);
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(RescheduleTest, CancelledAfterAbortFnHasFailedCountsAsCaught) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      scope.Cancel();
      EXPECT_TRUE((co_await Checkpoint()).ok());
      Reschedule(nursery.parent_task(), absl::CancelledError("in its time"));
    });
    absl::Status outcome = co_await WaitTaskRescheduled(AbortFails);
    EXPECT_EQ(outcome, absl::CancelledError("in its time"));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

// If abort_fn wakes the task itself, what it returns does not matter.
TEST(RescheduleTest, AbortFnMayRescheduleTheTaskItself) {
  for (const int how : {0, 1, 2, 3}) {
    const bool before = how % 2 == 1;
    const Abort answer = how < 2 ? Abort::kFailed : Abort::kSucceeded;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      CancelScope scope;
      if (before) {
        scope.Cancel();
      } else {
        nursery.StartSoon([&]() -> Co<void> {
          scope.Cancel();
          co_return;
        });
      }
      absl::Status outcome = co_await WaitTaskRescheduled([&] {
        Reschedule(nursery.parent_task(), absl::CancelledError("by itself"));
        return answer;
      });
      EXPECT_EQ(outcome, absl::CancelledError("by itself"));
      EXPECT_TRUE(scope.cancelled_caught());
    });
  }
}

TEST(RescheduleTest, CancelledWithoutACancelledScopeIsNotCaught) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      Reschedule(nursery.parent_task(), absl::CancelledError("of another"));
      // Too late to be the cause.
      scope.Cancel();
      co_return;
    });
    absl::Status outcome = co_await WaitTaskRescheduled(AbortFails);
    EXPECT_EQ(outcome, absl::CancelledError("of another"));
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(RescheduleTest, AbortFnIsCalledOnce) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope outer;
    CancelScope inner;
    nursery.StartSoon([&]() -> Co<void> {
      outer.Cancel();
      inner.Cancel();
      // Out of the scope's reach, and back in it.
      inner.set_shield(true);
      inner.set_shield(false);
      EXPECT_TRUE((co_await Checkpoint()).ok());
      Reschedule(nursery.parent_task());
    });
    absl::Status outcome = co_await WaitTaskRescheduled([&] {
      ++asked;
      return Abort::kFailed;
    });
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(asked, 1);
  });
}

// abort_fn is called in the middle of a cancellation, which notifies others,
// too.
TEST(RescheduleTest, R38_AwaitIsRefusedInAbortFn) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    (void)co_await EnsurePortal();
    CancelScope* scope = nullptr;
    outer.StartSoon([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        scope = &nursery.cancel_scope();
        for (const std::string name : {"first", "second", "third"}) {
          nursery.StartSoon([&log, name]() -> Co<void> {
            const auto abort = [&log, name] {
              log.push_back(name);
              const absl::Status awaited = TryAwait(Checkpoint());
              EXPECT_THAT(
                  awaited.ToString(),
                  AllOf(HasSubstr("is inside the NoAwaitScope of"),
                        HasSubstr("greenback/runtime/reschedule_test.cc:")));
              return Abort::kSucceeded;
            };
            EXPECT_TRUE(absl::IsCancelled(co_await WaitTaskRescheduled(abort)));
            log.push_back(name + " ends");
          });
        }
        co_return;
      });
    });
    while (scope == nullptr) (void)co_await Checkpoint();
    (void)co_await Checkpoint();
    (void)co_await Checkpoint();
    scope->Cancel();
    // None of them has run meanwhile.
    EXPECT_EQ(log.size(), 3u);
    // Here it is allowed.
    EXPECT_TRUE(TryAwait(Checkpoint()).ok());
  });
  EXPECT_EQ(log.size(), 6u);
}

// A delivered value is not replaced by a cancellation.
TEST(RescheduleTest, RescheduledBeforeCancelWins) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope scope;
    nursery.StartSoon([&]() -> Co<void> {
      Reschedule(nursery.parent_task(), 4);
      scope.Cancel();
      co_return;
    });
    absl::StatusOr<int> outcome = co_await WaitTaskRescheduled<int>([&] {
      ++asked;
      return Abort::kSucceeded;
    });
    EXPECT_EQ(outcome.value_or(0), 4);
    EXPECT_EQ(asked, 0);
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(RescheduleTest, AShieldedWaitDoesNotCallAbortFn) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int asked = 0;
    CancelScope scope;
    CancelScope shielded;
    shielded.set_shield(true);
    nursery.StartSoon([&]() -> Co<void> {
      scope.Cancel();
      Reschedule(nursery.parent_task());
      co_return;
    });
    absl::Status outcome = co_await WaitTaskRescheduled([&] {
      ++asked;
      return Abort::kSucceeded;
    });
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(asked, 0);
  });
}

TEST(RescheduleTest, DestroysTheValue) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([]() -> Co<void> {
      auto abort = [owned = Counted()] { return Abort::kSucceeded; };
      absl::StatusOr<Counted> outcome =
          co_await WaitTaskRescheduled<Counted>(std::move(abort));
      EXPECT_TRUE(outcome.ok() && outcome->value == 3);
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    Reschedule(waiter, Counted(3));
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(Counted::live(), 0);
  });
}

// --------------------------------------------------------------------- misuse

// The text of the error that `misuse(waiter)` throws, where `waiter` waits for
// an int. The waiter is woken afterwards, to show that it still waits.
std::string ErrorOf(void (*misuse)(Task& waiter)) {
  std::string what;
  absl::StatusOr<int> outcome;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([&]() -> Co<void> {
      outcome = co_await WaitTaskRescheduled<int>(AbortSucceeds);
    });
    waiter.set_name("waiter");
    EXPECT_TRUE((co_await Checkpoint()).ok());
    GREENBACK_TRY { misuse(waiter); }
    GREENBACK_CATCH_ALL {
#if defined(__cpp_exceptions)
      try {
        throw;
      } catch (const std::logic_error& error) {
        what = error.what();
      }
#endif
    }
    Reschedule(waiter, 1);
  });
  EXPECT_EQ(outcome.value_or(0), 1);
  return what;
}

void WakeForAnotherType(Task& waiter) { Reschedule(waiter, std::string("1")); }
void WakeForNothing(Task& waiter) { Reschedule(waiter); }
void WakeWithNoException(Task& waiter) {
  Reschedule(waiter, std::exception_ptr());
}
void WakeOneThatDoesNotWait(Task&) { Reschedule(CurrentTask()); }

#if defined(__cpp_exceptions)

TEST(RescheduleTest, AnotherTypeIsAnError) {
  for (const auto& misuse : {WakeForAnotherType, WakeForNothing}) {
    EXPECT_THAT(ErrorOf(misuse),
                HasSubstr("greenback::Reschedule(): task \"waiter\" waits in "
                          "WaitTaskRescheduled<T>() for another type of "
                          "outcome"));
  }
}

TEST(RescheduleTest, ANullExceptionIsAnError) {
  EXPECT_THAT(
      ErrorOf(WakeWithNoException),
      HasSubstr("greenback::Reschedule(): task \"waiter\" is woken with "
                "an exception_ptr that is null"));
}

TEST(RescheduleTest, ATaskThatDoesNotWaitIsAnError) {
  EXPECT_THAT(ErrorOf(WakeOneThatDoesNotWait),
              HasSubstr("greenback::Reschedule(): task \"main\" does not wait "
                        "in WaitTaskRescheduled(); wake a task once"));
}

TEST(RescheduleTest, WakingTwiceIsAnError) {
  absl::StatusOr<int> outcome;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([&]() -> Co<void> {
      outcome = co_await WaitTaskRescheduled<int>(AbortSucceeds);
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    Reschedule(waiter, 1);
    EXPECT_THROW(Reschedule(waiter, 2), std::logic_error);
    EXPECT_THROW(Reschedule(waiter, absl::UnknownError("")), std::logic_error);
  });
  EXPECT_EQ(outcome.value_or(0), 1);
}

TEST(RescheduleTest, WakingATaskWhoseWaitHasAbortedIsAnError) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task& waiter = nursery.StartSoon([]() -> Co<void> {
      CancelScope scope;
      scope.Cancel();
      EXPECT_TRUE(
          absl::IsCancelled(co_await WaitTaskRescheduled(AbortSucceeds)));
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_THROW(Reschedule(waiter), std::logic_error);
  });
}

// A coroutine of another library, in the same task.
Detached WaitBeside(absl::StatusOr<int>& outcome) {
  outcome = co_await WaitTaskRescheduled<int>(AbortSucceeds);
}

TEST(RescheduleTest, TwoWaitsInOneTaskAreAnError) {
  absl::StatusOr<int> outcome;
  RunNurseryOk([&](Nursery&) -> Co<void> {
    WaitBeside(outcome);
    std::string what;
    try {
      (void)co_await WaitTaskRescheduled(AbortSucceeds);
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_THAT(what, HasSubstr("greenback::WaitTaskRescheduled(): task "
                                "\"main\" is in such a wait already"));
    // The first one still waits.
    Reschedule(CurrentTask(), 1);
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_EQ(outcome.value_or(0), 1);
}

TEST(RescheduleTest, OutsideARunIsAnError) {
  bool refused = false;
  const auto wait = [&]() -> Detached {
    try {
      (void)co_await WaitTaskRescheduled(AbortSucceeds);
    } catch (const std::logic_error&) {
      refused = true;
    }
  };
  wait();
  EXPECT_TRUE(refused);
}

#else

TEST(RescheduleDeathTest, AnotherTypeDies) {
  EXPECT_DEATH(ErrorOf(WakeForAnotherType), "another type of outcome");
  EXPECT_DEATH(ErrorOf(WakeForNothing), "another type of outcome");
}

TEST(RescheduleDeathTest, ANullExceptionDies) {
  EXPECT_DEATH(ErrorOf(WakeWithNoException), "exception_ptr that is null");
}

TEST(RescheduleDeathTest, ATaskThatDoesNotWaitDies) {
  EXPECT_DEATH(ErrorOf(WakeOneThatDoesNotWait),
               "task \"main\" does not wait in WaitTaskRescheduled");
}

#endif  // defined(__cpp_exceptions)

// -------------------------------------------- what can be built from the pair

// A lock that tasks receive in the order of their requests.
class Lock {
 public:
  Co<absl::Status> Acquire() {
    if (!held_) {
      held_ = true;
      co_return absl::OkStatus();
    }
    const auto place = waiters_.insert(waiters_.end(), &CurrentTask());
    co_return co_await WaitTaskRescheduled([this, place] {
      waiters_.erase(place);
      return Abort::kSucceeded;
    });
  }
  void Release() {
    if (waiters_.empty()) {
      held_ = false;
    } else {
      Task& next = *waiters_.front();
      waiters_.pop_front();
      Reschedule(next);
    }
  }
  bool held() const { return held_; }
  size_t waiters() const { return waiters_.size(); }

 private:
  bool held_ = false;
  std::list<Task*> waiters_;
};

// Tasks take a lock, and some of them are cancelled while they wait.
TEST(RescheduleTest, ALockWorksUnderRandomCancellation) {
  constexpr int kTasks = 50;
  constexpr int kRounds = 40;
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Lock lock;
  std::vector<CancelScope*> waiting(kTasks, nullptr);
  std::vector<int> asked;    // the waiting tasks, in order: the model
  std::vector<int> granted;  // the tasks that have received the lock
  std::vector<int> expected;
  int inside = 0;
  int cancelled = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTasks; ++i) {
      Task& task = nursery.StartSoon([&, i]() -> Co<void> {
        for (int round = 0; round < kRounds; ++round) {
          CancelScope scope;
          const bool will_wait = lock.held();
          if (will_wait) asked.push_back(i);
          waiting[i] = &scope;
          absl::Status acquired;
          if (i % 2 == 0) {
            acquired = co_await lock.Acquire();
          } else {
            acquired = Await(lock.Acquire());
          }
          waiting[i] = nullptr;
          if (!acquired.ok()) {
            EXPECT_TRUE(scope.cancelled_caught());
            ++cancelled;
            continue;
          }
          if (!will_wait) expected.push_back(i);
          granted.push_back(i);
          EXPECT_EQ(++inside, 1);
          for (uint32_t steps = random() % 3; steps > 0; --steps) {
            co_await CancelShieldedCheckpoint();
          }
          // A waiting task is cancelled now and then.
          if (random() % 2 == 0) {
            const int victim = static_cast<int>(random() % kTasks);
            const auto found = std::find(asked.begin(), asked.end(), victim);
            if (found != asked.end()) {
              asked.erase(found);
              waiting[victim]->Cancel();
            }
          }
          EXPECT_EQ(lock.waiters(), asked.size());
          EXPECT_EQ(--inside, 0);
          if (!asked.empty()) {
            expected.push_back(asked.front());
            asked.erase(asked.begin());
          }
          lock.Release();
          co_await CancelShieldedCheckpoint();
        }
      });
      BestowPortal(task);
    }
    co_return;
  });
  EXPECT_FALSE(lock.held());
  EXPECT_EQ(granted, expected);
  EXPECT_EQ(granted.size() + cancelled, size_t{kTasks} * kRounds);
  EXPECT_GT(cancelled, 0);
}

// A queue whose consumers wait for its producers.
class Queue {
 public:
  Co<absl::StatusOr<int>> Take() {
    if (!values_.empty()) {
      const int value = values_.front();
      values_.pop_front();
      co_return value;
    }
    const auto place = takers_.insert(takers_.end(), &CurrentTask());
    co_return co_await WaitTaskRescheduled<int>([this, place] {
      takers_.erase(place);
      return Abort::kSucceeded;
    });
  }
  void Put(int value) {
    if (takers_.empty()) {
      values_.push_back(value);
    } else {
      Task& taker = *takers_.front();
      takers_.pop_front();
      Reschedule(taker, value);
    }
  }

 private:
  std::deque<int> values_;
  std::list<Task*> takers_;
};

// Each value is taken once, whichever tasks are cancelled meanwhile.
TEST(RescheduleTest, AQueueUnderRandomCancellationLosesNothing) {
  constexpr int kValues = 2'000;
  constexpr int kTakers = 20;
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Queue queue;
  std::vector<int> taken;
  int cancelled = 0;
  std::vector<CancelScope*> scopes(kTakers, nullptr);
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTakers; ++i) {
      nursery.StartSoon([&, i]() -> Co<void> {
        while (taken.size() < kValues) {
          CancelScope scope;
          scopes[i] = &scope;
          absl::StatusOr<int> value = co_await queue.Take();
          scopes[i] = nullptr;
          if (value.ok()) {
            taken.push_back(*value);
          } else {
            ++cancelled;
          }
          co_await CancelShieldedCheckpoint();
        }
        // The others need not wait for more.
        for (CancelScope* const scope : scopes) {
          if (scope != nullptr) scope->Cancel();
        }
      });
    }
    for (int value = 0; value < kValues; ++value) {
      queue.Put(value);
      if (random() % 2 == 0) {
        CancelScope* const victim = scopes[random() % kTakers];
        if (victim != nullptr) victim->Cancel();
      }
      if (random() % 4 == 0) co_await CancelShieldedCheckpoint();
    }
  });
  ASSERT_EQ(taken.size(), size_t{kValues});
  std::sort(taken.begin(), taken.end());
  for (int i = 0; i < kValues; ++i) EXPECT_EQ(taken[i], i);
  EXPECT_GT(cancelled, 0);
}

}  // namespace
}  // namespace greenback
