#include "greenback/runtime/system_task.h"

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Log = std::vector<std::string>;

// Serves until it is cancelled.
Co<void> Serve(Log& log) {
  log.push_back("serves");
  const absl::Status status = co_await SleepForever();
  log.push_back(absl::IsCancelled(status) ? "cancelled" : "not cancelled");
}

Co<absl::Status> FailWith(absl::Status status) {
  (void)co_await CheckpointIfCancelled();
  co_return status;
}

// --------------------------------------------------------------- its lifetime

TEST(SystemTaskTest, RunsBesideTheMainTaskAndIsCancelledAtItsEnd) {
  Log log;
  EXPECT_EQ(greenback::Run([&]() -> Co<int> {
              SpawnSystemTask(Serve, std::ref(log));
              EXPECT_THAT(log, ElementsAre());
              EXPECT_TRUE((co_await Checkpoint()).ok());
              EXPECT_THAT(log, ElementsAre("serves"));
              co_return 5;
            }),
            5);
  EXPECT_THAT(log, ElementsAre("serves", "cancelled"));
}

TEST(SystemTaskTest, IsWaitedForAfterItIsCancelled) {
  Log log;
  EXPECT_EQ(greenback::Run([&]() -> Co<std::string> {
              SpawnSystemTask([&]() -> Co<void> {
                EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
                CancelScope shielded;
                shielded.set_shield(true);
                for (int i = 0; i < 5; ++i) {
                  EXPECT_TRUE((co_await Checkpoint()).ok());
                }
                log.push_back("flushed");
              });
              log.push_back("main ends");
              co_return "result";
            }),
            "result");
  EXPECT_THAT(log, ElementsAre("main ends", "flushed"));
}

TEST(SystemTaskTest, NoTaskWaitsForItBeforeTheMainTaskEnds) {
  Log log;
  RunNurseryOk([&](Nursery& outer) -> Co<absl::Status> {
    absl::Status left = co_await OpenNursery([&](Nursery&) -> Co<void> {
      SpawnSystemTask(Serve, std::ref(log));
      co_return;
    });
    outer.StartSoon([&]() -> Co<void> {
      SpawnSystemTask(Serve, std::ref(log));
      co_return;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main");
    co_return left;
  });
  EXPECT_THAT(
      log, ElementsAre("serves", "serves", "main", "cancelled", "cancelled"));
}

TEST(SystemTaskTest, MayEndBeforeTheMainTask) {
  bool ended = false;
  EXPECT_EQ(greenback::Run([&]() -> Co<int> {
              SpawnSystemTask([&]() -> Co<absl::Status> {
                ended = true;
                co_return absl::OkStatus();
              });
              for (int i = 0; i < 3; ++i) {
                EXPECT_TRUE((co_await Checkpoint()).ok());
              }
              EXPECT_TRUE(ended);
              co_return 1;
            }),
            1);
}

TEST(SystemTaskTest, ReturningCancelledAtTheEndIsNoFailure) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::StatusOr<int>> {
              SpawnSystemTask([] { return SleepForever(); });
              EXPECT_TRUE((co_await Checkpoint()).ok());
              co_return 1;
            }).value(),
            1);
}

TEST(SystemTaskTest, OneSpawnedInTheLastStepBeginsAndIsCancelled) {
  Log log;
  EXPECT_EQ(greenback::Run([&]() -> Co<int> {
              SpawnSystemTask([&log](Counted) { return Serve(log); },
                              Counted());
              log.push_back("main ends");
              co_return 2;
            }),
            2);
  EXPECT_THAT(log, ElementsAre("main ends", "serves", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

TEST(SystemTaskTest, LeavesNothingBehind) {
  greenback::Run([]() -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      SpawnSystemTask(
          [owned = Counted()](Counted) -> Co<void> {
            Counted local;
            EXPECT_TRUE((co_await EnsurePortal()).ok());
            EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
          },
          Counted());
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_GE(Counted::live(), 9);
  });
  EXPECT_EQ(Counted::live(), 0);
}

// ------------------------------------------------------------------- spawning

TEST(SystemTaskTest, IsNoChildOfItsSpawner) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    const Task& task = SpawnSystemTask([]() -> Co<void> { co_return; });
    EXPECT_EQ(nursery.child_count(), 0u);
    const Task& root = task.parent_nursery()->parent_task();
    EXPECT_EQ(root.name(), "init");
    // The outermost one; the main task's is inside it.
    EXPECT_EQ(root.child_nurseries().front(), task.parent_nursery());
    EXPECT_EQ(CurrentTask().parent_nursery(), root.child_nurseries().back());
    co_return;
  });
}

TEST(SystemTaskTest, ItsSpawnersCancelScopeIsNotItsOwn) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    {
      CancelScope scope;
      scope.Cancel();
      SpawnSystemTask(Serve, std::ref(log));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main ends");
  });
  EXPECT_THAT(log, ElementsAre("serves", "main ends", "cancelled"));
}

TEST(SystemTaskTest, MayBeSpawnedInSynchronousCode) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const auto synchronous = [&log] {
      SpawnSystemTask(Serve, std::ref(log));
      EXPECT_TRUE(Await(Checkpoint()).ok());
      log.push_back("main ends");
    };
    synchronous();
  });
  EXPECT_THAT(log, ElementsAre("serves", "main ends", "cancelled"));
}

TEST(SystemTaskTest, MayBeSpawnedByALoopCallback) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    Event spawned;
    EXPECT_TRUE(CurrentRunToken()
                    .RunSoon([&] {
                      SpawnSystemTask(Serve, std::ref(log)).set_name("server");
                      spawned.Set();
                    })
                    .ok());
    EXPECT_TRUE((co_await spawned.Wait()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main ends");
  });
  EXPECT_THAT(log, ElementsAre("serves", "main ends", "cancelled"));
}

TEST(SystemTaskTest, MayBeSpawnedByASystemTask) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    SpawnSystemTask([&]() -> Co<void> {
      SpawnSystemTask(Serve, std::ref(log));
      co_return;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main ends");
  });
  EXPECT_THAT(log, ElementsAre("serves", "main ends", "cancelled"));
}

TEST(SystemTaskTest, TakesArgumentsAsANurseryDoes) {
  int sum = 0;
  greenback::Run([&]() -> Co<void> {
    SpawnSystemTask(
        [](int& sum, std::unique_ptr<int> owned, int value) -> Co<void> {
          sum = *owned + value;
          co_return;
        },
        std::ref(sum), std::make_unique<int>(3), 4);
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(sum, 7);
  });
}

TEST(SystemTaskTest, ItsNameIsANumberOrWhatItIsSetTo) {
  greenback::Run([]() -> Co<void> {
    Task& task = SpawnSystemTask([]() -> Co<void> {
      EXPECT_EQ(CurrentTask().name(), "flusher");
      co_return;
    });
    EXPECT_EQ(task.name(), "task 1");
    task.set_name("flusher");
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(SystemTaskTest, BeginsWithoutAPortalWhicheverTaskSpawnsIt) {
  bool began = false;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const Task& task = SpawnSystemTask([&]() -> Co<void> {
      EXPECT_FALSE(HasPortal());
      began = true;
      co_return;
    });
    EXPECT_FALSE(HasPortal(task));
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_TRUE(began);
}

TEST(SystemTaskTest, BeginsInTheContextInWhichRunWasCalled) {
  TaskLocal<std::string> variable("default");
  Log log;
  const auto look = [&]() -> Co<void> {
    log.push_back(variable.Get());
    variable.Set("a system task's");
    co_return;
  };
  variable.Set("the caller's");
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(variable.Get(), "the caller's");
    variable.Set("main's");
    SpawnSystemTask(look);
    // Also if it is spawned outside of tasks, or by another system task.
    EXPECT_TRUE(CurrentRunToken().RunSoon([&] { SpawnSystemTask(look); }).ok());
    SpawnSystemTask([&]() -> Co<void> {
      variable.Set("another system task's");
      SpawnSystemTask(look);
      co_return;
    });
    EXPECT_EQ(variable.Get(), "main's");
    while (log.size() < 3) EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(variable.Get(), "main's");
  });
  EXPECT_EQ(variable.Get(), "the caller's");
  EXPECT_THAT(log, ElementsAre("the caller's", "the caller's", "the caller's"));
  variable.Reset();
}

// --------------------------------------------------------------- cancellation

TEST(SystemTaskTest, OneThatWaitsInSynchronousCodeIsCancelledThere) {
  Log log;
  EXPECT_EQ(greenback::Run([&]() -> Co<int> {
              for (const char* const name : {"a", "b"}) {
                SpawnSystemTask([&log, name]() -> Co<void> {
                  EXPECT_TRUE((co_await EnsurePortal()).ok());
                  log.push_back(std::string(name) + " parks");
                  EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
                  // Again and again, until it ends.
                  EXPECT_TRUE(absl::IsCancelled(Await(Checkpoint())));
                  log.push_back(std::string(name) + " ends");
                });
              }
              while (log.size() < 2) {
                EXPECT_TRUE((co_await Checkpoint()).ok());
              }
              co_return 3;
            }),
            3);
  EXPECT_THAT(log, ::testing::UnorderedElementsAre("a parks", "b parks",
                                                   "a ends", "b ends"));
}

TEST(SystemTaskTest, ItsChildrenAreCancelledWithIt) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    SpawnSystemTask([&] {
      return OpenNursery([&](Nursery& nursery) -> Co<void> {
        nursery.StartSoon(Serve, std::ref(log));
        nursery.StartSoon(Serve, std::ref(log));
        co_return;
      });
    });
    while (log.size() < 2) EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_THAT(log, ElementsAre("serves", "serves", "cancelled", "cancelled"));
}

// ------------------------------------------------------------------- failures

// Spawns a system task that fails with `status`; returns when that has
// cancelled the main task.
Co<void> UntilCancelledBy(absl::Status status) {
  SpawnSystemTask(FailWith, std::move(status));
  EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
}

TEST(SystemTaskTest, AFailureCancelsTheMainTaskAndIsTheResultOfTheRun) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::Status> {
              co_await UntilCancelledBy(absl::DataLossError("log"));
              co_return absl::OkStatus();
            }),
            absl::DataLossError("log"));
  EXPECT_EQ(greenback::Run([]() -> Co<absl::StatusOr<std::string>> {
              co_await UntilCancelledBy(absl::DataLossError("log"));
              co_return "result";
            }).status(),
            absl::DataLossError("log"));
}

TEST(SystemTaskTest, AFailureStandsInPlaceOfTheMainTasksStatus) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::Status> {
              co_await UntilCancelledBy(absl::DataLossError("log"));
              co_return absl::AbortedError("main's");
            }),
            absl::DataLossError("log"));
}

TEST(SystemTaskTest, AFailureAfterTheMainTaskHasEndedIsOneToo) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::StatusOr<int>> {
              SpawnSystemTask([]() -> Co<absl::Status> {
                EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
                co_return absl::DataLossError("at the end");
              });
              EXPECT_TRUE((co_await Checkpoint()).ok());
              co_return 1;
            }).status(),
            absl::DataLossError("at the end"));
}

TEST(SystemTaskTest, AFailureCancelsTheOtherSystemTasks) {
  Log log;
  EXPECT_EQ(greenback::Run([&]() -> Co<absl::Status> {
              SpawnSystemTask(Serve, std::ref(log));
              EXPECT_TRUE((co_await Checkpoint()).ok());
              co_await UntilCancelledBy(absl::DataLossError("log"));
              log.push_back("main ends");
              co_return absl::OkStatus();
            }),
            absl::DataLossError("log"));
  EXPECT_THAT(
      log, ::testing::UnorderedElementsAre("serves", "cancelled", "main ends"));
}

TEST(SystemTaskTest, ReturningCancelledBeforeThatIsAFailure) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::Status> {
              co_await UntilCancelledBy(absl::CancelledError("by itself"));
              co_return absl::OkStatus();
            }),
            absl::CancelledError("by itself"));
}

TEST(SystemTaskTest, OfTwoFailuresNoTextIsLost) {
  const absl::Status failed = greenback::Run([]() -> Co<absl::Status> {
    SpawnSystemTask(FailWith, absl::DataLossError("one"));
    SpawnSystemTask(FailWith, absl::AbortedError("two"));
    (void)co_await SleepForever();
    co_return absl::OkStatus();
  });
  EXPECT_EQ(failed.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("one"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("two"));
}

TEST(SystemTaskTest, AMainTaskInSynchronousCodeIsCancelledThere) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::Status> {
              EXPECT_TRUE((co_await EnsurePortal()).ok());
              SpawnSystemTask(FailWith, absl::DataLossError("log"));
              EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
              co_return absl::OkStatus();
            }),
            absl::DataLossError("log"));
}

#if defined(__cpp_exceptions)

TEST(SystemTaskTest, AFailureIsAStatusErrorWhereTheResultCanCarryNoStatus) {
  const auto main = []() -> Co<int> {
    co_await UntilCancelledBy(absl::DataLossError("log"));
    co_return 1;
  };
  try {
    greenback::Run(main);
    FAIL() << "nothing was thrown";
  } catch (const StatusError& error) {
    EXPECT_EQ(error.status(), absl::DataLossError("log"));
  }
}

Co<void> ThrowError(const char* what) {
  (void)co_await CheckpointIfCancelled();
  throw std::runtime_error(what);
}

TEST(SystemTaskTest, AnExceptionCancelsTheMainTaskAndPropagatesOutOfTheRun) {
  bool cancelled = false;
  const auto main = [&]() -> Co<int> {
    SpawnSystemTask(ThrowError, "a server's");
    cancelled = absl::IsCancelled(co_await SleepForever());
    co_return 1;
  };
  try {
    greenback::Run(main);
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "a server's");
  }
  EXPECT_TRUE(cancelled);
}

TEST(SystemTaskTest, AnExceptionPropagatesAlsoWhereTheResultIsAStatus) {
  EXPECT_THROW((void)greenback::Run([]() -> Co<absl::Status> {
                 SpawnSystemTask(ThrowError, "a server's");
                 co_return co_await SleepForever();
               }),
               std::runtime_error);
}

// The texts of the group's members.
Log WhatOf(const ExceptionGroup& group) {
  Log log;
  for (const std::exception_ptr& each : group.exceptions()) {
    try {
      std::rethrow_exception(each);
    } catch (const std::exception& error) {
      log.push_back(error.what());
    }
  }
  return log;
}

TEST(SystemTaskTest, ItsExceptionAndTheMainTasksPropagateAsAGroup) {
  const auto main = []() -> Co<void> {
    SpawnSystemTask(ThrowError, "a server's");
    (void)co_await SleepForever();
    throw std::runtime_error("main's");
  };
  try {
    greenback::Run(main);
    FAIL() << "nothing was thrown";
  } catch (const ExceptionGroup& group) {
    EXPECT_THAT(WhatOf(group), ElementsAre("main's", "a server's"));
  }
}

TEST(SystemTaskTest, ItsStatusAndTheMainTasksExceptionPropagateAsAGroup) {
  const auto main = []() -> Co<absl::Status> {
    co_await UntilCancelledBy(absl::DataLossError("log"));
    throw std::runtime_error("main's");
  };
  try {
    (void)greenback::Run(main);
    FAIL() << "nothing was thrown";
  } catch (const ExceptionGroup& group) {
    EXPECT_THAT(WhatOf(group),
                ElementsAre("main's", absl::DataLossError("log").ToString()));
  }
}

TEST(SystemTaskTest, TheExceptionsOfTwoPropagateAsAGroup) {
  const auto main = []() -> Co<void> {
    SpawnSystemTask(ThrowError, "one");
    SpawnSystemTask(ThrowError, "two");
    (void)co_await SleepForever();
  };
  try {
    greenback::Run(main);
    FAIL() << "nothing was thrown";
  } catch (const ExceptionGroup& group) {
    EXPECT_THAT(WhatOf(group), ElementsAre("one", "two"));
  }
}

TEST(SystemTaskTest, AMainTaskThatThrowsEndsThemToo) {
  Log log;
  const auto main = [&](Counted) -> Co<int> {
    SpawnSystemTask(
        [&log](Counted) -> Co<void> {
          Counted local;
          co_await Serve(log);
        },
        Counted());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    throw std::runtime_error("main's");
  };
  EXPECT_THROW(greenback::Run(main, Counted()), std::runtime_error);
  EXPECT_THAT(log, ElementsAre("serves", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

TEST(SystemTaskTest, AMainTaskThatThrowsAtOnceEndsOneThatHasNotBegun) {
  Log log;
  const auto main = [&]() -> Co<int> {
    SpawnSystemTask([&log](Counted) { return Serve(log); }, Counted());
    throw 5;
    co_return 1;
  };
  EXPECT_THROW(greenback::Run(main), int);
  EXPECT_THAT(log, ElementsAre("serves", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

#else

TEST(SystemTaskDeathTest, AFailureDiesWhereTheResultCanCarryNoStatus) {
  EXPECT_DEATH(greenback::Run([]() -> Co<int> {
                 co_await UntilCancelledBy(absl::DataLossError("log"));
                 co_return 1;
               }),
               "greenback::Run\\(\\): a system task has failed: DATA_LOSS");
}

#endif  // defined(__cpp_exceptions)

// ----------------------------------------------------- too early and too late

// Expects that a run of `main` dies because it spawns where it must not.
template <class Main>
void ExpectRefused(const Main& main, const char* text) {
#if defined(__cpp_exceptions)
  try {
    greenback::Run(main);
    FAIL() << "spawned";
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
#else
  EXPECT_DEATH(greenback::Run(main), text);
#endif
}

TEST(SystemTaskDeathTest, ASystemTaskThatIsBeingEndedMaySpawnNoOther) {
  ExpectRefused(
      []() -> Co<void> {
        SpawnSystemTask([]() -> Co<void> {
          EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
          SpawnSystemTask([]() -> Co<void> { co_return; });
        });
        EXPECT_TRUE((co_await Checkpoint()).ok());
      },
      "the run is ending; spawn it before the main task ends");
}

TEST(SystemTaskDeathTest, ALoopCallbackAtTheEndOfTheRunMaySpawnNone) {
  ExpectRefused(
      []() -> Co<void> {
        EXPECT_TRUE(CurrentRunToken()
                        .RunSoon([] {
                          SpawnSystemTask([]() -> Co<void> { co_return; });
                        })
                        .ok());
        co_return;
      },
      "the run is ending");
}

TEST(SystemTaskDeathTest, OutsideARunIsAnError) {
  const auto spawn = [] { SpawnSystemTask([]() -> Co<void> { co_return; }); };
#if defined(__cpp_exceptions)
  try {
    spawn();
    FAIL() << "spawned";
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("greenback::SpawnSystemTask(): no task of a run"));
  }
#else
  EXPECT_DEATH(spawn(), "greenback::SpawnSystemTask\\(\\): no task of a run");
#endif
}

#if defined(__cpp_exceptions)

TEST(SystemTaskTest, TooEarlyIsAnErrorThatSaysSo) {
  struct Early final : Instrument {
    void before_run() override {
      try {
        SpawnSystemTask([](Counted) -> Co<void> { co_return; }, Counted());
      } catch (const std::logic_error& error) {
        what = error.what();
      }
    }
    std::string what;
  };
  Early early;
  RunOptions options;
  options.instruments = {&early};
  EXPECT_EQ(greenback::Run(options, []() -> Co<int> { co_return 1; }), 1);
  EXPECT_THAT(early.what, HasSubstr("the run has not begun"));
  EXPECT_EQ(Counted::live(), 0);
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
