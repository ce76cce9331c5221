// Nursery::Start() and TaskStatus; see nursery_test.cc for the rest.

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Is ready at once, and ends.
Co<void> JustStart(TaskStatus<> ready) {
  ready.Started();
  co_return;
}

// Is ready after a checkpoint, with `value`, and then waits to be cancelled.
template <class T>
Co<absl::Status> Serve(TaskStatus<T> ready, T value) {
  absl::Status passed = co_await Checkpoint();
  if (!passed.ok()) co_return passed;
  ready.Started(std::move(value));
  co_return co_await SleepForever();
}

// Never becomes ready: sets an event and waits.
Co<absl::Status> NeverReady(TaskStatus<>, Event& waits) {
  waits.Set();
  co_return co_await SleepForever();
}

// Cancels `scope` once `event` has been set.
Co<void> CancelAfter(Event& event, CancelScope& scope) {
  EXPECT_TRUE((co_await event.Wait()).ok());
  scope.Cancel();
}

// -------------------------------------------------------------------- results

TEST(NurseryStartTest, ReturnsWhenTheTaskIsReady) {
  std::vector<std::string> log;
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          log.push_back("begins");
          for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE((co_await Checkpoint()).ok());
          }
          ready.Started();
          log.push_back("is ready");
          EXPECT_TRUE((co_await stop.Wait()).ok());
          log.push_back("ends");
        });
    EXPECT_TRUE(started.ok()) << started;
    log.push_back("started");
    stop.Set();
  });
  EXPECT_THAT(log, ElementsAre("begins", "is ready", "started", "ends"));
}

TEST(NurseryStartTest, ReturnsAStatusOrTheValue) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    using Nothing = decltype(nursery.Start(JustStart));
    static_assert(std::is_same_v<Nothing, Co<absl::Status>>);
    using Text =
        decltype(nursery.Start<std::string>(Serve<std::string>, "text"));
    static_assert(std::is_same_v<Text, Co<absl::StatusOr<std::string>>>);

    absl::StatusOr<int> number = co_await nursery.Start<int>(Serve<int>, 80);
    EXPECT_EQ(number.value_or(0), 80);
    absl::StatusOr<std::string> text =
        co_await nursery.Start<std::string>(Serve<std::string>, "text");
    EXPECT_EQ(text.value_or(""), "text");
    nursery.cancel_scope().Cancel();
  });
}

TEST(NurseryStartTest, ReturnsAMoveOnlyValue) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    using Pointer = std::unique_ptr<int>;
    absl::StatusOr<Pointer> value = co_await nursery.Start<Pointer>(
        Serve<Pointer>, std::make_unique<int>(7));
    EXPECT_TRUE(value.ok() && **value == 7);
    nursery.cancel_scope().Cancel();
  });
}

TEST(NurseryStartTest, DestroysTheValueOnce) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    {
      absl::StatusOr<Counted> value = co_await nursery.Start<Counted>(
          [](TaskStatus<Counted> ready) -> Co<void> {
            ready.Started(Counted(5));
            co_return;
          });
      EXPECT_TRUE(value.ok() && value->value == 5);
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(NurseryStartTest, PassesOnFunctionAndArguments) {
  struct Server {
    Co<void> Run(TaskStatus<int> ready, int by) {
      ready.Started(count += by);
      co_return;
    }
    int count = 1;
  };
  Server server;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    std::string changed;
    // Not made inside the co_await: g++ 12 destroys the captures twice.
    auto child = [captured = std::make_unique<int>(1)](
                     TaskStatus<int> ready, std::unique_ptr<int> moved,
                     std::string& referred) -> Co<void> {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      referred = "changed";
      ready.Started(*captured + *moved);
    };
    absl::StatusOr<int> sum = co_await nursery.Start<int>(
        std::move(child), std::make_unique<int>(2), std::ref(changed));
    EXPECT_EQ(sum.value_or(0), 3);
    EXPECT_EQ(changed, "changed");
    sum =
        co_await nursery.Start<int>(std::bind_front(&Server::Run, &server), 5);
    EXPECT_EQ(sum.value_or(0), 6);
  });
}

TEST(NurseryStartTest, IsASchedulePointWhenTheTaskIsReadyAtOnce) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      co_return;
    });
    EXPECT_TRUE((co_await nursery.Start(JustStart)).ok());
    log.push_back(2);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(NurseryStartTest, StartedIsNoCheckpoint) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([](TaskStatus<> ready) -> Co<void> {
          const AssertNoCheckpoints none;
          ready.Started();
          co_return;
        });
    EXPECT_TRUE(started.ok()) << started;
  });
}

TEST(NurseryStartTest, DoesNothingBeforeItIsAwaited) {
  bool ran = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    {
      Co<absl::Status> starting = nursery.Start(
          [&](TaskStatus<> ready, Counted) -> Co<void> {
            ran = true;
            ready.Started();
            co_return;
          },
          Counted());
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(nursery.child_count(), 0u);
    }
    EXPECT_EQ(Counted::live(), 0);
  });
  EXPECT_FALSE(ran);
}

// ---------------------------------------------------------- place in the tree

TEST(NurseryStartTest, TheTaskMovesToTheNurseryWhenItIsReady) {
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task* child = nullptr;
    Nursery* before = nullptr;
    std::vector<Nursery*> open_while_starting;
    Task& caller = CurrentTask();
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          child = &CurrentTask();
          before = child->parent_nursery();
          open_while_starting = caller.child_nurseries();
          EXPECT_NE(before, &nursery);
          EXPECT_EQ(&before->parent_task(), &caller);
          EXPECT_THAT(before->child_tasks(), ElementsAre(child));
          EXPECT_EQ(nursery.child_count(), 0u);

          ready.Started();
          EXPECT_EQ(child->parent_nursery(), &nursery);
          EXPECT_THAT(nursery.child_tasks(), ElementsAre(child));
          EXPECT_THAT(before->child_tasks(), IsEmpty());
          EXPECT_EQ(before->child_count(), 0u);
          EXPECT_TRUE((co_await stop.Wait()).ok());
          EXPECT_EQ(CurrentTask().parent_nursery(), &nursery);
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_THAT(open_while_starting, ElementsAre(&nursery, before));
    EXPECT_THAT(caller.child_nurseries(), ElementsAre(&nursery));
    EXPECT_EQ(nursery.child_count(), 1u);
    stop.Set();
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(nursery.child_count(), 0u);
    EXPECT_THAT(nursery.child_tasks(), IsEmpty());
  });
}

TEST(NurseryStartTest, TheTaskJoinsOthersAtTheEnd) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task* const first = &nursery.StartSoon(SleepForever);
    Task* second = nullptr;
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          second = &CurrentTask();
          ready.Started();
          co_return co_await SleepForever();
        });
    EXPECT_TRUE(started.ok()) << started;
    Task* const third = &nursery.StartSoon(SleepForever);
    EXPECT_THAT(nursery.child_tasks(), ElementsAre(first, second, third));
    nursery.cancel_scope().Cancel();
  });
}

TEST(NurseryStartTest, TheTaskKeepsItsNameAndItsPortal) {
  Event stop;
  bool ended = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          EXPECT_FALSE(HasPortal());
          CurrentTask().set_name("server");
          EXPECT_TRUE((co_await EnsurePortal()).ok());
          ready.Started();
          EXPECT_TRUE(HasPortal());
          EXPECT_TRUE(Await(stop.Wait()).ok());
          EXPECT_EQ(CurrentTask().name(), "server");
          ended = true;
        });
    EXPECT_TRUE(started.ok()) << started;
    stop.Set();
  });
  EXPECT_TRUE(ended);
}

TEST(NurseryStartTest, TheTaskBeginsInTheContextOfTheCaller) {
  TaskLocal<std::string> variable("default");
  Event go;
  std::string seen;
  RunNurseryOk([&](Nursery& outer) -> Co<absl::Status> {
    variable.Set("of the nursery's parent");
    co_return co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      outer.StartSoon([&]() -> Co<void> {
        variable.Set("of the caller");
        absl::Status started =
            co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
              ready.Started();
              seen = variable.Get();
              go.Set();
              co_return;
            });
        EXPECT_TRUE(started.ok()) << started;
      });
      EXPECT_TRUE((co_await go.Wait()).ok());
    });
  });
  EXPECT_EQ(seen, "of the caller");
}

// ---------------------------------------------------- failures before Started

TEST(NurseryStartTest, AFailureBeforeStartedIsTheResultOfStart) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    absl::StatusOr<int> started = co_await nursery.Start<int>(
        [](TaskStatus<int>, Counted) -> Co<absl::Status> {
          EXPECT_TRUE((co_await Checkpoint()).ok());
          co_return absl::UnavailableError("port in use");
        },
        Counted());
    EXPECT_EQ(started.status(), absl::UnavailableError("port in use"));
    EXPECT_EQ(Counted::live(), 0);
    // The nursery does not know of the failure.
    EXPECT_EQ(nursery.child_count(), 0u);
    EXPECT_FALSE(nursery.cancel_scope().cancel_called());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await nursery.Start(JustStart)).ok());
  });
}

TEST(NurseryStartTest, EndingWithoutStartedIsAFailedPrecondition) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    absl::Status gives_nothing =
        co_await nursery.Start([](TaskStatus<>) -> Co<void> { co_return; });
    EXPECT_TRUE(absl::IsFailedPrecondition(gives_nothing)) << gives_nothing;
    EXPECT_THAT(std::string(gives_nothing.message()),
                HasSubstr("Nursery::Start(): the task has ended without "
                          "calling TaskStatus::Started()"));
    absl::StatusOr<int> gives_ok =
        co_await nursery.Start<int>([](TaskStatus<int>) -> Co<absl::Status> {
          co_return absl::OkStatus();
        });
    EXPECT_TRUE(absl::IsFailedPrecondition(gives_ok.status()));
  });
}

TEST(NurseryStartTest, CancelledOfItsOwnAccordIsTheResultOfStart) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([](TaskStatus<>) -> Co<absl::Status> {
          co_return absl::CancelledError("by the user");
        });
    EXPECT_EQ(started, absl::CancelledError("by the user"));
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

#if defined(__cpp_exceptions)

TEST(NurseryStartTest, AnExceptionBeforeStartedPropagatesOutOfStart) {
  int caught = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    try {
      (void)co_await nursery.Start(
          [](TaskStatus<>, Counted) -> Co<void> {
            EXPECT_TRUE((co_await Checkpoint()).ok());
            throw 3;
          },
          Counted());
    } catch (int value) {
      caught = value;
    }
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_FALSE(nursery.cancel_scope().cancel_called());
    EXPECT_TRUE((co_await nursery.Start(JustStart)).ok());
  });
  EXPECT_EQ(caught, 3);
}

TEST(NurseryStartTest, AnExceptionOfTheFunctionItselfPropagatesOutOfStart) {
  int caught = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    try {
      (void)co_await nursery.Start(
          [](TaskStatus<>, Counted) -> Co<void> { throw 4; }, Counted());
    } catch (int value) {
      caught = value;
    }
    EXPECT_EQ(Counted::live(), 0);
  });
  EXPECT_EQ(caught, 4);
}

// The task is not ready then, and still the caller's.
TEST(NurseryStartTest, R33_AnExceptionOfTheValuesMovePropagatesOutOfStart) {
  struct ThrowsWhenMoved {
    ThrowsWhenMoved() = default;
    // NOLINTNEXTLINE(performance-noexcept-move-constructor): it throws.
    ThrowsWhenMoved(ThrowsWhenMoved&&) { throw 5; }
  };
  int caught = 0;
  try {
    (void)RunNursery([&](Nursery& nursery) -> Co<void> {
      try {
        (void)co_await nursery.Start<ThrowsWhenMoved>(
            [](TaskStatus<ThrowsWhenMoved> ready) -> Co<void> {
              ready.Started(ThrowsWhenMoved());
              co_return;
            });
      } catch (int value) {
        caught = value;
      }
      EXPECT_EQ(nursery.child_count(), 0u);
    });
  } catch (...) {
    ADD_FAILURE() << "it came out of the nursery";
  }
  EXPECT_EQ(caught, 5);
}

#endif  // defined(__cpp_exceptions)

// ----------------------------------------------------- failures after Started

TEST(NurseryStartTest, AFailureAfterStartedIsTheResultOfTheNursery) {
  Event go;
  absl::Status started = absl::UnknownError("not set");
  absl::Status slept;
  const absl::Status status = RunNursery([&](Nursery& nursery) -> Co<void> {
    started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          ready.Started();
          EXPECT_TRUE((co_await go.Wait()).ok());
          co_return absl::DataLossError("later");
        });
    go.Set();
    slept = co_await SleepForever();
  });
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_TRUE(absl::IsCancelled(slept));
  EXPECT_EQ(status, absl::DataLossError("later"));
}

// The task has left Start()'s nursery, although Start() has not resumed yet.
TEST(NurseryStartTest, AFailureInTheSameStepAsStartedIsTheResultOfTheNursery) {
  absl::Status started = absl::UnknownError("not set");
  const absl::Status status = RunNursery([&](Nursery& nursery) -> Co<void> {
    started =
        co_await nursery.Start([](TaskStatus<> ready) -> Co<absl::Status> {
          ready.Started();
          co_return absl::DataLossError("at once");
        });
  });
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_EQ(status, absl::DataLossError("at once"));
}

#if defined(__cpp_exceptions)

TEST(NurseryStartTest, AnExceptionAfterStartedPropagatesOutOfTheNursery) {
  absl::Status started = absl::UnknownError("not set");
  EXPECT_THROW(RunNursery([&](Nursery& nursery) -> Co<void> {
                 started = co_await nursery.Start(
                     [](TaskStatus<> ready, Counted) -> Co<void> {
                       ready.Started();
                       throw 6;
                       co_return;
                     },
                     Counted());
               }).IgnoreError(),
               int);
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_EQ(Counted::live(), 0);
}

#endif  // defined(__cpp_exceptions)

// --------------------------------------------- cancellation of what surrounds

TEST(NurseryStartTest, CancelledBeforeStartedTheTaskIsCancelledAndWaitedFor) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Event waits;
    bool cleaned_up = false;
    CancelScope scope;
    nursery.StartSoon(CancelAfter, std::ref(waits), std::ref(scope));
    absl::Status started = co_await nursery.Start(
        [&](TaskStatus<>, Counted) -> Co<absl::Status> {
          waits.Set();
          absl::Status slept = co_await SleepForever();
          EXPECT_TRUE(absl::IsCancelled(slept));
          co_await CancelShieldedCheckpoint();
          co_await CancelShieldedCheckpoint();
          cleaned_up = true;
          co_return slept;
        },
        Counted());
    EXPECT_TRUE(absl::IsCancelled(started)) << started;
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_TRUE(cleaned_up);
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_FALSE(nursery.cancel_scope().cancel_called());
  });
}

TEST(NurseryStartTest, ADeadlineAroundItCancelsTheTask) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    Event waits;
    CancelScope scope = MoveOnAfter(absl::Seconds(5));
    absl::Status started = co_await nursery.Start(NeverReady, std::ref(waits));
    EXPECT_TRUE(absl::IsCancelled(started)) << started;
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_EQ(clock.Now() - absl::UnixEpoch(), absl::Seconds(5));
  });
}

// The task still gets its first step.
TEST(NurseryStartTest, CancelledAlreadyTheTaskRunsToACancellationPoint) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    bool began = false;
    CancelScope scope;
    scope.Cancel();
    absl::Status started = co_await nursery.Start(
        [&](TaskStatus<>, Counted) -> Co<absl::Status> {
          began = true;
          co_return co_await Checkpoint();
        },
        Counted());
    EXPECT_TRUE(absl::IsCancelled(started)) << started;
    EXPECT_TRUE(began);
    EXPECT_EQ(Counted::live(), 0);
  });
}

// Too late: the task stays where it is cancelled, and ends there.
TEST(NurseryStartTest, StartedAfterStartIsCancelledChangesNothing) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Event waits;
    bool ended = false;
    CancelScope scope;
    nursery.StartSoon(CancelAfter, std::ref(waits), std::ref(scope));
    absl::StatusOr<Counted> started = co_await nursery.Start<Counted>(
        [&](TaskStatus<Counted> ready) -> Co<void> {
          Nursery* const before = CurrentTask().parent_nursery();
          waits.Set();
          EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
          ready.Started(Counted());
          EXPECT_EQ(CurrentTask().parent_nursery(), before);
          EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
          ended = true;
        });
    EXPECT_TRUE(ended);
    EXPECT_TRUE(absl::IsCancelled(started.status())) << started.status();
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(NurseryStartTest, AFailureOutweighsTheCancellationOfStart) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    absl::Status started =
        co_await nursery.Start([](TaskStatus<> ready) -> Co<absl::Status> {
          EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
          ready.Started();
          co_return absl::DataLossError("while it was cancelled");
        });
    EXPECT_EQ(started, absl::DataLossError("while it was cancelled"));
  });
}

// A delivered value is not replaced by a cancellation.
TEST(NurseryStartTest, CancelledAfterStartedItReturnsTheValue) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    absl::StatusOr<int> started =
        co_await nursery.Start<int>([&](TaskStatus<int> ready) -> Co<void> {
          ready.Started(8);
          scope.Cancel();
          // And the caller's scope no longer reaches the task.
          EXPECT_TRUE((co_await Checkpoint()).ok());
        });
    EXPECT_EQ(started.value_or(0), 8);
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(NurseryStartTest, TheCallersScopeDoesNotReachAStartedTask) {
  Event stop;
  bool ended = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    {
      CancelScope scope;
      absl::Status started =
          co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
            ready.Started();
            EXPECT_TRUE((co_await stop.Wait()).ok());
            ended = true;
          });
      EXPECT_TRUE(started.ok()) << started;
      scope.Cancel();
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    }
    stop.Set();
  });
  EXPECT_TRUE(ended);
}

// ------------------------------------------------ cancellation of the nursery

TEST(NurseryStartTest, CancellingTheNurseryReachesTheTaskOnceItIsReady) {
  absl::Status before = absl::UnknownError("not set");
  absl::Status after;
  absl::Status started = absl::UnknownError("not set");
  // The caller is not in the nursery.
  RunNurseryOk([&](Nursery& outer) -> Co<absl::Status> {
    co_return co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      outer.StartSoon([&]() -> Co<void> {
        started =
            co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
              nursery.cancel_scope().Cancel();
              before = co_await Checkpoint();
              ready.Started();
              after = co_await SleepForever();
              co_return after;
            });
      });
      CancelScope wait;
      wait.set_shield(true);
      while (!nursery.cancel_scope().cancel_called()) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    });
  });
  EXPECT_TRUE(before.ok()) << before;
  EXPECT_TRUE(absl::IsCancelled(after)) << after;
  EXPECT_TRUE(started.ok()) << started;
}

TEST(NurseryStartTest, CancellingTheNurseryCancelsAStartedTask) {
  absl::Status slept;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          ready.Started();
          slept = co_await SleepForever();
          co_return slept;
        });
    EXPECT_TRUE(started.ok()) << started;
    nursery.cancel_scope().Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(slept)) << slept;
}

TEST(NurseryStartTest, AFailureInTheNurseryCancelsAStartedTask) {
  absl::Status slept;
  const absl::Status status = RunNursery([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          ready.Started();
          slept = co_await SleepForever();
          co_return slept;
        });
    EXPECT_TRUE(started.ok()) << started;
    nursery.StartSoon([]() -> Co<absl::Status> {
      co_return absl::InternalError("another child");
    });
  });
  EXPECT_TRUE(absl::IsCancelled(slept)) << slept;
  EXPECT_EQ(status, absl::InternalError("another child"));
}

// --------------------------------------------- what was opened before Started

TEST(NurseryStartTest, AScopeOpenedBeforeStartedMovesAlong) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  std::vector<absl::Duration> log;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          CancelScope outer;
          {
            CancelScope timed = MoveOnAfter(absl::Seconds(3));
            ready.Started();
            // Its deadline still holds,
            EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
            EXPECT_TRUE(timed.cancelled_caught());
            log.push_back(clock.Now() - absl::UnixEpoch());
          }
          // and what is around it is the nursery's.
          absl::Status slept = co_await SleepForever();
          EXPECT_FALSE(outer.cancelled_caught());
          log.push_back(clock.Now() - absl::UnixEpoch());
          co_return slept;
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_TRUE((co_await Sleep(absl::Seconds(10))).ok());
    nursery.cancel_scope().Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    EXPECT_TRUE(nursery.cancel_scope().cancelled_caught());
  });
  EXPECT_THAT(log, ElementsAre(absl::Seconds(3), absl::Seconds(10)));
}

TEST(NurseryStartTest, AShieldOpenedBeforeStartedHolds) {
  std::vector<std::string> log;
  Event cancelled;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          {
            CancelScope shielded;
            shielded.set_shield(true);
            ready.Started();
            EXPECT_TRUE((co_await cancelled.Wait()).ok());
            EXPECT_TRUE((co_await Checkpoint()).ok());
            log.push_back("shielded");
          }
          EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
          log.push_back("cancelled");
        });
    EXPECT_TRUE(started.ok()) << started;
    nursery.cancel_scope().Cancel();
    cancelled.Set();
  });
  EXPECT_THAT(log, ElementsAre("shielded", "cancelled"));
}

TEST(NurseryStartTest, AScopeCancelledBeforeStartedStaysSo) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([](TaskStatus<> ready) -> Co<void> {
          {
            CancelScope scope;
            scope.Cancel();
            ready.Started();
            EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
            EXPECT_TRUE(scope.cancelled_caught());
          }
          EXPECT_TRUE((co_await Checkpoint()).ok());
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_FALSE(nursery.cancel_scope().cancel_called());
  });
}

TEST(NurseryStartTest, ANurseryOpenedBeforeStartedMovesAlong) {
  int cancelled = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          co_return co_await OpenNursery([&](Nursery& own) -> Co<void> {
            for (int i = 0; i < 3; ++i) {
              own.StartSoon([&]() -> Co<absl::Status> {
                absl::Status slept = co_await SleepForever();
                if (absl::IsCancelled(slept)) ++cancelled;
                co_return slept;
              });
            }
            EXPECT_TRUE((co_await Checkpoint()).ok());
            ready.Started();
            EXPECT_THAT(CurrentTask().child_nurseries(), ElementsAre(&own));
            EXPECT_EQ(own.child_count(), 3u);
          });
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(cancelled, 0);
    EXPECT_EQ(nursery.child_count(), 1u);
    nursery.cancel_scope().Cancel();
  });
  EXPECT_EQ(cancelled, 3);
}

// A child of the task calls Started() while the task waits for its children.
TEST(NurseryStartTest, AnyTaskMayCallStarted) {
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Task* child = nullptr;
    absl::StatusOr<int> started = co_await nursery.Start<int>(
        [&](TaskStatus<int> ready) -> Co<absl::Status> {
          child = &CurrentTask();
          co_return co_await OpenNursery([&](Nursery& own) -> Co<void> {
            own.StartSoon([&stop, ready]() -> Co<void> {
              ready.Started(4);
              EXPECT_TRUE((co_await stop.Wait()).ok());
            });
            co_return;
          });
        });
    EXPECT_EQ(started.value_or(0), 4);
    EXPECT_THAT(nursery.child_tasks(), ElementsAre(child));
    EXPECT_EQ(child->parent_nursery(), &nursery);
    stop.Set();
  });
}

// A task that is spawned beside it belongs to Start() to the end.
TEST(NurseryStartTest, AFailureBesideTheTaskIsTheResultOfStart) {
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          CurrentTask().parent_nursery()->StartSoon([]() -> Co<absl::Status> {
            co_return absl::DataLossError("beside");
          });
          ready.Started();
          EXPECT_TRUE((co_await stop.Wait()).ok());
        });
    EXPECT_EQ(started, absl::DataLossError("beside"));
    EXPECT_FALSE(nursery.cancel_scope().cancel_called());
    stop.Set();
  });
}

// ------------------------------------------------------- the nursery is there

TEST(NurseryStartTest, APendingStartKeepsTheNurseryOpen) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    Event pending;
    Event ready_now;
    outer.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await pending.Wait()).ok());
      // The body has ended, and there is no child.
      for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      log.push_back("ready");
      ready_now.Set();
    });
    absl::Status left = co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      outer.StartSoon([&]() -> Co<void> {
        absl::Status started =
            co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
              pending.Set();
              EXPECT_TRUE((co_await ready_now.Wait()).ok());
              ready.Started();
              EXPECT_TRUE((co_await Checkpoint()).ok());
              log.push_back("child ends");
            });
        EXPECT_TRUE(started.ok()) << started;
      });
      EXPECT_TRUE((co_await pending.Wait()).ok());
      log.push_back("body ends");
    });
    EXPECT_TRUE(left.ok()) << left;
    log.push_back("nursery ends");
  });
  EXPECT_THAT(log,
              ElementsAre("body ends", "ready", "child ends", "nursery ends"));
}

TEST(NurseryStartTest, AStartThatFailsLetsTheNurseryClose) {
  RunNurseryOk([](Nursery& outer) -> Co<void> {
    Event pending;
    absl::Status started;
    absl::Status left = co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      outer.StartSoon([&]() -> Co<void> {
        started = co_await nursery.Start([&](TaskStatus<>) -> Co<absl::Status> {
          pending.Set();
          for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE((co_await Checkpoint()).ok());
          }
          co_return absl::UnavailableError("not today");
        });
      });
      EXPECT_TRUE((co_await pending.Wait()).ok());
    });
    EXPECT_TRUE(left.ok()) << left;
    EXPECT_EQ(started, absl::UnavailableError("not today"));
  });
}

TEST(NurseryStartTest, AClosedNurseryStartsNoTask) {
  bool ran = false;
  const auto late = [&](Nursery& outer) -> Co<void> {
    Nursery* inner = nullptr;
    outer.StartSoon([&]() -> Co<void> {
      (void)co_await inner->Start(
          [&](TaskStatus<> ready, Counted) -> Co<void> {
            ran = true;
            ready.Started();
            co_return;
          },
          Counted());
    });
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      inner = &nursery;
      co_return;
    });
  };
#if defined(__cpp_exceptions)
  std::string what;
  try {
    RunNursery(late).IgnoreError();
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_THAT(what, HasSubstr("Nursery::Start: the nursery is closed"));
#else
  EXPECT_DEATH(RunNursery(late).IgnoreError(),
               "Nursery::Start: the nursery is closed");
#endif
  EXPECT_FALSE(ran);
  EXPECT_EQ(Counted::live(), 0);
}

// ----------------------------------------------------------- synchronous code

TEST(NurseryStartTest, StartsInSynchronousCode) {
  Event stop;
  const auto plain_function = [](Nursery& nursery, Event& stop) {
    return Await(nursery.Start<int>([&](TaskStatus<int> ready) -> Co<void> {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      ready.Started(9);
      EXPECT_TRUE((co_await stop.Wait()).ok());
    }));
  };
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_EQ(plain_function(nursery, stop).value_or(0), 9);
    EXPECT_EQ(nursery.child_count(), 1u);
    stop.Set();
  });
}

TEST(NurseryStartTest, IsCancelledInSynchronousCode) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Event waits;
    CancelScope scope;
    nursery.StartSoon(CancelAfter, std::ref(waits), std::ref(scope));
    absl::Status started = Await(nursery.Start(NeverReady, std::ref(waits)));
    EXPECT_TRUE(absl::IsCancelled(started)) << started;
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(NurseryStartTest, IsReadyInSynchronousCode) {
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    const auto plain_function = [&stop](const TaskStatus<int>& ready) {
      CancelScope scope;
      EXPECT_TRUE(Await(Checkpoint()).ok());
      ready.Started(6);
      EXPECT_TRUE(Await(stop.Wait()).ok());
    };
    absl::StatusOr<int> started = co_await nursery.Start<int>(
        [plain_function](TaskStatus<int> ready) -> Co<void> {
          co_await WithPortalRunSync(plain_function, ready);
        });
    EXPECT_EQ(started.value_or(0), 6);
    EXPECT_EQ(nursery.child_count(), 1u);
    stop.Set();
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(nursery.child_count(), 0u);
  });
}

TEST(NurseryStartTest, WithoutAStackNothingIsStarted) {
  RunOptions options;
  options.max_fibers = 1;
  bool ran = false;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    absl::Status started = Await(nursery.Start(
        [&](TaskStatus<> ready, Counted) -> Co<void> {
          ran = true;
          ready.Started();
          co_return;
        },
        Counted()));
    EXPECT_TRUE(absl::IsResourceExhausted(started)) << started;
    EXPECT_EQ(Counted::live(), 0);
  });
  EXPECT_FALSE(ran);
}

// --------------------------------------------------------------- many, nested

TEST(NurseryStartTest, ManyTasksStartAtOnce) {
  constexpr int kStarts = 1'000;
  std::vector<int> order;
  Event ready_now;
  Event stop;
  int ended = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status all = co_await OpenNursery([&](Nursery& starting) -> Co<void> {
      for (int i = 0; i < kStarts; ++i) {
        starting.StartSoon([&, i]() -> Co<void> {
          absl::StatusOr<int> started = co_await nursery.Start<int>(
              [&](TaskStatus<int> ready, int number) -> Co<void> {
                EXPECT_TRUE((co_await ready_now.Wait()).ok());
                ready.Started(number);
                EXPECT_TRUE((co_await stop.Wait()).ok());
                ++ended;
              },
              i);
          order.push_back(started.value_or(-1));
        });
      }
      while (ready_now.waiters() < size_t{kStarts}) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      EXPECT_EQ(nursery.child_count(), 0u);
      ready_now.Set();
    });
    EXPECT_TRUE(all.ok()) << all;
    EXPECT_EQ(nursery.child_count(), size_t{kStarts});
    EXPECT_EQ(ended, 0);
    stop.Set();
  });
  EXPECT_EQ(ended, kStarts);
  EXPECT_EQ(order.size(), size_t{kStarts});
  for (int i = 0; i < static_cast<int>(order.size()); ++i) {
    EXPECT_EQ(order[i], i);
  }
}

TEST(NurseryStartTest, AStartedTaskStartsAnother) {
  std::vector<std::string> log;
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::StatusOr<int> started =
        co_await nursery.Start<int>([&](TaskStatus<int> ready) -> Co<void> {
          absl::StatusOr<int> inner = co_await nursery.Start<int>(
              [&](TaskStatus<int> inner_ready) -> Co<void> {
                log.push_back("inner");
                inner_ready.Started(1);
                EXPECT_TRUE((co_await stop.Wait()).ok());
              });
          log.push_back("outer");
          ready.Started(inner.value_or(0) + 1);
          EXPECT_TRUE((co_await stop.Wait()).ok());
        });
    EXPECT_EQ(started.value_or(0), 2);
    EXPECT_EQ(nursery.child_count(), 2u);
    log.push_back("started");
    stop.Set();
  });
  EXPECT_THAT(log, ElementsAre("inner", "outer", "started"));
}

// The task that starts another is itself moved meanwhile.
TEST(NurseryStartTest, ATaskIsReadyWhileItStartsAnother) {
  Event go;
  Event stop;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<absl::Status> {
          co_return co_await OpenNursery([&](Nursery& own) -> Co<void> {
            own.StartSoon([&go, ready]() -> Co<void> {
              ready.Started();
              EXPECT_TRUE((co_await go.Wait()).ok());
            });
            absl::Status inner =
                co_await own.Start([&](TaskStatus<> inner_ready) -> Co<void> {
                  EXPECT_TRUE((co_await go.Wait()).ok());
                  inner_ready.Started();
                  EXPECT_TRUE((co_await stop.Wait()).ok());
                });
            EXPECT_TRUE(inner.ok()) << inner;
            stop.Set();
          });
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_EQ(nursery.child_count(), 1u);
    go.Set();
  });
  EXPECT_TRUE(stop.is_set());
}

TEST(NurseryStartTest, CancelledItCancelsWhatItsTaskStarts) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Event waits;
    absl::Status inner;
    CancelScope scope;
    nursery.StartSoon(CancelAfter, std::ref(waits), std::ref(scope));
    absl::Status outer =
        co_await nursery.Start([&](TaskStatus<>) -> Co<absl::Status> {
          inner = co_await nursery.Start(NeverReady, std::ref(waits));
          co_return inner;
        });
    EXPECT_TRUE(absl::IsCancelled(inner)) << inner;
    EXPECT_TRUE(absl::IsCancelled(outer)) << outer;
    EXPECT_EQ(nursery.child_count(), 0u);
  });
}

// --------------------------------------------------------------------- misuse

Co<void> StartedTwice(TaskStatus<int> ready) {
  const TaskStatus<int> copy = ready;
  ready.Started(1);
  copy.Started(2);
  co_return;
}

#if defined(__cpp_exceptions)

TEST(NurseryStartTest, StartedTwiceIsAnError) {
  std::string what;
  absl::StatusOr<int> started;
  try {
    (void)RunNursery([&](Nursery& nursery) -> Co<void> {
      started = co_await nursery.Start<int>(StartedTwice);
    });
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_EQ(started.value_or(0), 1);
  EXPECT_THAT(what, HasSubstr("TaskStatus::Started(): called again in task "
                              "\"task 1\"; call it once"));
}

// Long after Start() has returned.
TEST(NurseryStartTest, StartedAgainLaterIsAnError) {
  Event go;
  bool refused = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    absl::Status started =
        co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
          ready.Started();
          EXPECT_TRUE((co_await go.Wait()).ok());
          try {
            ready.Started();
          } catch (const std::logic_error&) {
            refused = true;
          }
        });
    EXPECT_TRUE(started.ok()) << started;
    go.Set();
  });
  EXPECT_TRUE(refused);
}

TEST(NurseryStartTest, StartedTwiceIsAnErrorWhenStartIsCancelled) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    std::string what;
    CancelScope scope;
    scope.Cancel();
    try {
      (void)co_await nursery.Start<int>(StartedTwice);
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_THAT(what, HasSubstr("called again"));
  });
}

#else

TEST(NurseryStartDeathTest, StartedTwiceIsAnError) {
  EXPECT_DEATH(RunNurseryOk([](Nursery& nursery) -> Co<void> {
                 (void)co_await nursery.Start<int>(StartedTwice);
               }),
               "TaskStatus::Started\\(\\): called again in task \"task 1\"");
}

#endif  // defined(__cpp_exceptions)

void LeaveAScopeOpen() {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    std::unique_ptr<CancelScope> scope;
    (void)co_await nursery.Start([&](TaskStatus<> ready) -> Co<void> {
      scope = std::make_unique<CancelScope>();
      ready.Started();
      co_return;
    });
  });
}

TEST(NurseryStartDeathTest, AScopeThatOutlivesAStartedTaskDies) {
  EXPECT_DEATH(LeaveAScopeOpen(),
               "a CancelScope or Nursery of task \"task 1\" ends while one "
               "inside it is open");
}

}  // namespace
}  // namespace greenback
