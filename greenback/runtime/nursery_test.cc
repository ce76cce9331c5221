#include "greenback/runtime/nursery.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Co<absl::Status> Give(absl::Status status) { co_return status; }

// ----------------------------------------------------------- order and extent

TEST(NurseryTest, MayHaveNoChildren) {
  bool ran = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_EQ(nursery.child_count(), 0u);
    ran = true;
    co_return;
  });
  EXPECT_TRUE(ran);
}

TEST(NurseryTest, LeavingIsASchedulePointWithoutChildren) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<absl::Status> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      co_return;
    });
    absl::Status left =
        co_await OpenNursery([](Nursery&) -> Co<void> { co_return; });
    log.push_back(2);
    co_return left;
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(NurseryTest, ChildrenRunInOrderAfterTheBodySuspends) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 2; i <= 4; ++i) {
      nursery.StartSoon([&log, i]() -> Co<void> {
        log.push_back(i);
        co_return;
      });
    }
    log.push_back(1);
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4));
}

TEST(NurseryTest, WaitsForAllChildren) {
  int ended = 0;
  greenback::Run([&]() -> Co<void> {
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          for (int i = 0; i < 5; ++i) {
            nursery.StartSoon([&ended, i]() -> Co<void> {
              for (int j = 0; j < i; ++j) {
                EXPECT_TRUE((co_await Checkpoint()).ok());
              }
              ++ended;
            });
          }
          EXPECT_EQ(nursery.child_count(), 5u);
          co_return;
        });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(ended, 5);
  });
}

TEST(NurseryTest, WaitsForTheBodyToo) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      co_return;
    });
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_EQ(nursery.child_count(), 0u);
    log.push_back(2);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(NurseryTest, AChildMaySpawnIntoItsNursery) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    struct Spawner {
      static Co<void> Spawn(Nursery& nursery, std::vector<int>& log,
                            int depth) {
        log.push_back(depth);
        if (depth < 5) {
          nursery.StartSoon(Spawn, std::ref(nursery), std::ref(log), depth + 1);
        }
        co_return;
      }
    };
    nursery.StartSoon(Spawner::Spawn, std::ref(nursery), std::ref(log), 1);
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4, 5));
}

TEST(NurseryTest, ATaskOutsideMaySpawnIntoIt) {
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    Event opened;
    Event spawned;
    Nursery* inner = nullptr;
    bool child_ended = false;
    outer.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await opened.Wait()).ok());
      inner->StartSoon([&]() -> Co<void> {
        EXPECT_TRUE((co_await Checkpoint()).ok());
        EXPECT_EQ(CurrentTask().parent_nursery(), inner);
        child_ended = true;
      });
      spawned.Set();
    });
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          inner = &nursery;
          opened.Set();
          EXPECT_TRUE((co_await spawned.Wait()).ok());
        });
    EXPECT_TRUE(status.ok());
    EXPECT_TRUE(child_ended);
  });
}

// The body and all children have ended, but the parent has not run yet.
TEST(NurseryTest, AClosedNurserySpawnsNoTask) {
  Nursery* inner = nullptr;
  const auto late = [&](Nursery& outer) -> Co<void> {
    outer.StartSoon([&]() -> Co<void> {
      inner->StartSoon([]() -> Co<void> { co_return; });
      co_return;
    });
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      inner = &nursery;
      co_return;
    });
  };
#if defined(__cpp_exceptions)
  try {
    (void)RunNursery(late);
    FAIL() << "spawned into a closed nursery";
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Nursery::StartSoon: the nursery is "
                                        "closed"));
  }
#else
  EXPECT_DEATH((void)RunNursery(late), "StartSoon: the nursery is closed");
#endif
}

TEST(NurseryTest, NurseriesNest) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<absl::Status> {
    outer.StartSoon([&]() -> Co<absl::Status> {
      co_return co_await OpenNursery([&](Nursery& inner) -> Co<void> {
        for (const char* name : {"a", "b"}) {
          inner.StartSoon([&log, name]() -> Co<void> {
            EXPECT_TRUE((co_await Checkpoint()).ok());
            log.push_back(name);
          });
        }
        co_return;
      });
    });
    absl::Status status = co_await OpenNursery([&](Nursery& inner) -> Co<void> {
      inner.StartSoon([&log]() -> Co<void> {
        log.push_back("c");
        co_return;
      });
      co_return;
    });
    EXPECT_EQ(outer.child_count(), 1u);
    co_return status;
  });
  EXPECT_THAT(log, ElementsAre("c", "a", "b"));
}

TEST(NurseryTest, OpensInSynchronousCode) {
  int ended = 0;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const auto plain_function = [&] {
      return Await(OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          nursery.StartSoon([&]() -> Co<void> {
            EXPECT_TRUE((co_await Checkpoint()).ok());
            ++ended;
          });
        }
        co_return;
      }));
    };
    EXPECT_TRUE(plain_function().ok());
    EXPECT_EQ(ended, 3);
  });
}

// ------------------------------------------------------------------ arguments

TEST(NurseryTest, MovesFunctionAndArguments) {
  int sum = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(
        [&sum, captured = std::make_unique<int>(1)](
            std::unique_ptr<int> given) -> Co<void> {
          EXPECT_TRUE((co_await Checkpoint()).ok());
          sum = *captured + *given;
        },
        std::make_unique<int>(2));
    co_return;
  });
  EXPECT_EQ(sum, 3);
}

TEST(NurseryTest, KeepsCopiesOfArguments) {
  std::string seen;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    std::string text(100, 'x');
    nursery.StartSoon(
        [&seen](const std::string& text) -> Co<void> {
          EXPECT_TRUE((co_await Checkpoint()).ok());
          seen = text;
        },
        text);
    text = "changed";
    co_return;
  });
  EXPECT_EQ(seen, std::string(100, 'x'));
}

TEST(NurseryTest, SpawnsAMemberFunction) {
  struct Server {
    int served = 0;
    Co<void> Serve(int count) {
      served += count;
      co_return;
    }
  };
  Server server;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(&Server::Serve, &server, 3);
    co_return;
  });
  EXPECT_EQ(server.served, 3);
}

TEST(NurseryTest, SpawnsAnyAwaitable) {
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([] { return Checkpoint(); });
    nursery.StartSoon([] { return CancelShieldedCheckpoint(); });
    co_return;
  });
}

TEST(NurseryTest, DestroysWhatAChildOwnsWhenItEnds) {
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(
        [captured = Counted()](Counted) -> Co<void> {
          Counted local;
          EXPECT_TRUE((co_await Checkpoint()).ok());
        },
        Counted());
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

// --------------------------------------------------------- failures as status

TEST(NurseryTest, ReturnsTheResultOfTheBody) {
  EXPECT_EQ(RunNursery([](Nursery&) -> Co<absl::Status> {
              co_return absl::DataLossError("body");
            }),
            absl::DataLossError("body"));
}

TEST(NurseryTest, ReturnsTheFailureOfAChild) {
  EXPECT_EQ(RunNursery([](Nursery& nursery) -> Co<void> {
              nursery.StartSoon(Give, absl::DataLossError("child"));
              co_return;
            }),
            absl::DataLossError("child"));
}

TEST(NurseryTest, AFailureKeepsItsPayload) {
  absl::Status failure = absl::DataLossError("child");
  failure.SetPayload("url", absl::Cord("payload"));
  absl::Status status = RunNursery([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(Give, failure);
    nursery.StartSoon(Give, absl::NotFoundError("another"));
    co_return;
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.GetPayload("url"), absl::Cord("payload"));
}

TEST(NurseryTest, TheFirstFailureIsReturnedWithTheTextsOfAll) {
  absl::Status status = RunNursery([](Nursery& nursery) -> Co<absl::Status> {
    nursery.StartSoon(Give, absl::NotFoundError("second"));
    nursery.StartSoon(Give, absl::InternalError("third"));
    co_return absl::DataLossError("first");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              ::testing::MatchesRegex("first.*NOT_FOUND.*second.*INTERNAL.*"
                                      "third"));
}

TEST(NurseryTest, AFailureCancelsTheOthers) {
  std::vector<std::string> log;
  EXPECT_EQ(RunNursery([&](Nursery& nursery) -> Co<void> {
              nursery.StartSoon([&log]() -> Co<absl::Status> {
                absl::Status slept = co_await SleepForever();
                log.push_back(absl::IsCancelled(slept) ? "cancelled" : "?");
                co_return slept;
              });
              nursery.StartSoon(Give, absl::DataLossError("child"));
              co_return;
            }),
            absl::DataLossError("child"));
  EXPECT_THAT(log, ElementsAre("cancelled"));
}

TEST(NurseryTest, AFailureCancelsTheBody) {
  bool cancelled = false;
  EXPECT_EQ(RunNursery([&](Nursery& nursery) -> Co<absl::Status> {
              nursery.StartSoon(Give, absl::DataLossError("child"));
              absl::Status slept = co_await SleepForever();
              cancelled = absl::IsCancelled(slept);
              co_return slept;
            }),
            absl::DataLossError("child"));
  EXPECT_TRUE(cancelled);
}

TEST(NurseryTest, AFailingBodyCancelsTheChildren) {
  bool cancelled = false;
  EXPECT_EQ(RunNursery([&](Nursery& nursery) -> Co<absl::Status> {
              nursery.StartSoon([&cancelled]() -> Co<absl::Status> {
                absl::Status slept = co_await SleepForever();
                cancelled = absl::IsCancelled(slept);
                co_return slept;
              });
              co_return absl::DataLossError("body");
            }),
            absl::DataLossError("body"));
  EXPECT_TRUE(cancelled);
}

TEST(NurseryTest, AFailureCancelsNestedNurseries) {
  int cancelled = 0;
  EXPECT_EQ(RunNursery([&](Nursery& outer) -> Co<void> {
              outer.StartSoon([&]() -> Co<absl::Status> {
                co_return co_await OpenNursery([&](Nursery& inner) -> Co<void> {
                  for (int i = 0; i < 3; ++i) {
                    inner.StartSoon([&]() -> Co<absl::Status> {
                      absl::Status slept = co_await SleepForever();
                      if (absl::IsCancelled(slept)) ++cancelled;
                      co_return slept;
                    });
                  }
                  co_return;
                });
              });
              EXPECT_TRUE((co_await Checkpoint()).ok());
              EXPECT_TRUE((co_await Checkpoint()).ok());
              outer.StartSoon(Give, absl::DataLossError("child"));
            }),
            absl::DataLossError("child"));
  EXPECT_EQ(cancelled, 3);
}

TEST(NurseryTest, AFailureOfAnInnerNurseryCancelsTheOuterOne) {
  EXPECT_EQ(RunNursery([&](Nursery& outer) -> Co<void> {
              outer.StartSoon(SleepForever);
              outer.StartSoon([]() -> Co<absl::Status> {
                co_return co_await OpenNursery([](Nursery& inner) -> Co<void> {
                  inner.StartSoon(Give, absl::DataLossError("deep"));
                  co_return;
                });
              });
              co_return;
            }),
            absl::DataLossError("deep"));
}

TEST(NurseryTest, AFailureCancelsParkedChildren) {
  int cancelled = 0;
  EXPECT_EQ(
      RunNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          BestowPortal(nursery.StartSoon([&cancelled]() -> Co<absl::Status> {
            absl::Status slept = Await(SleepForever());
            if (absl::IsCancelled(slept)) ++cancelled;
            co_return slept;
          }));
        }
        nursery.StartSoon(Give, absl::DataLossError("child"));
        co_return;
      }),
      absl::DataLossError("child"));
  EXPECT_EQ(cancelled, 3);
}

// --------------------------------------------------------------- cancellation

TEST(NurseryTest, ItsOwnCancellationIsNoFailure) {
  RunNurseryOk([](Nursery& nursery) -> Co<absl::Status> {
    nursery.StartSoon(SleepForever);
    nursery.cancel_scope().Cancel();
    co_return co_await SleepForever();
  });
}

TEST(NurseryTest, TheCancellationOfAScopeAroundItIsReturned) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          nursery.StartSoon(SleepForever);
          scope.Cancel();
          co_return;
        });
    EXPECT_TRUE(absl::IsCancelled(status));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(NurseryTest, WaitingForChildrenIsNotCancelledItself) {
  greenback::Run([]() -> Co<void> {
    bool child_ended = false;
    CancelScope scope;
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          nursery.StartSoon([&]() -> Co<void> {
            CancelScope shielded;
            shielded.set_shield(true);
            scope.Cancel();
            for (int i = 0; i < 5; ++i) {
              EXPECT_TRUE((co_await Checkpoint()).ok());
            }
            child_ended = true;
          });
          co_return;
        });
    EXPECT_TRUE(child_ended);
    EXPECT_TRUE(status.ok());  // no task was cut short
  });
}

// Trio's semantics: a task always begins to run.
TEST(NurseryTest, AChildCancelledBeforeItsFirstStepRunsToACancellationPoint) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(
        [&log](Counted) -> Co<absl::Status> {
          log.push_back("begins");
          absl::Status status = co_await Checkpoint();
          log.push_back(status.ok() ? "continues" : "cancelled");
          co_return status;
        },
        Counted());
    nursery.cancel_scope().Cancel();
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("begins", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

TEST(NurseryTest, AChildSpawnedIntoACancelledNurseryIsCancelled) {
  bool cancelled = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.cancel_scope().Cancel();
    nursery.StartSoon([&cancelled]() -> Co<absl::Status> {
      absl::Status slept = co_await SleepForever();
      cancelled = absl::IsCancelled(slept);
      co_return slept;
    });
    co_return;
  });
  EXPECT_TRUE(cancelled);
}

TEST(NurseryTest, AChildBeginsInTheNurserysScopeNotInTheSpawners) {
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon(
        []() -> Co<void> { EXPECT_TRUE((co_await Checkpoint()).ok()); });
    scope.Cancel();
    co_return;
  });
}

TEST(NurseryTest, CancelledAndFailedReturnsTheFailure) {
  EXPECT_EQ(RunNursery([&](Nursery& nursery) -> Co<void> {
              nursery.StartSoon([]() -> Co<absl::Status> {
                absl::Status slept = co_await SleepForever();
                EXPECT_TRUE(absl::IsCancelled(slept));
                co_return absl::DataLossError("while cleaning up");
              });
              nursery.cancel_scope().Cancel();
              co_return;
            }),
            absl::DataLossError("while cleaning up"));
}

TEST(NurseryTest, AFailureOutweighsTheCancellationFromOutside) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<absl::Status> {
          nursery.StartSoon(SleepForever);
          nursery.StartSoon(Give, absl::DataLossError("child"));
          co_return co_await SleepForever();
        });
    EXPECT_EQ(status, absl::DataLossError("child"));
  });
}

// ------------------------------------------------------ failures as exception

#if defined(__cpp_exceptions)

Co<void> Throw(int value) {
  throw value;
  co_return;
}

TEST(NurseryTest, AnExceptionOfAChildPropagates) {
  EXPECT_THROW(RunNursery([](Nursery& nursery) -> Co<void> {
                 nursery.StartSoon(Throw, 1);
                 co_return;
               }).IgnoreError(),
               int);
}

TEST(NurseryTest, AnExceptionOfTheBodyPropagates) {
  EXPECT_THROW(RunNursery([](Nursery& nursery) -> Co<void> {
                 nursery.StartSoon(SleepForever);
                 throw std::runtime_error("body");
                 co_return;
               }).IgnoreError(),
               std::runtime_error);
}

TEST(NurseryTest, AnExceptionOfTheBodysFunctionPropagates) {
  EXPECT_THROW(RunNursery([](Nursery& nursery) -> Co<void> {
                 nursery.StartSoon(SleepForever);
                 throw std::runtime_error("no coroutine");
               }).IgnoreError(),
               std::runtime_error);
}

TEST(NurseryTest, AnExceptionOfAChildsFunctionPropagates) {
  EXPECT_THROW(RunNursery([](Nursery& nursery) -> Co<void> {
                 nursery.StartSoon(
                     []() -> Co<void> { throw std::runtime_error("no co"); });
                 co_return;
               }).IgnoreError(),
               std::runtime_error);
}

TEST(NurseryTest, AnExceptionCancelsTheOthers) {
  int cancelled = 0;
  const auto wait = [&cancelled]() -> Co<absl::Status> {
    absl::Status slept = co_await SleepForever();
    if (absl::IsCancelled(slept)) ++cancelled;
    co_return slept;
  };
  EXPECT_THROW(RunNursery([&](Nursery& nursery) -> Co<absl::Status> {
                 nursery.StartSoon(wait);
                 nursery.StartSoon(Throw, 1);
                 co_return co_await wait();
               }).IgnoreError(),
               int);
  EXPECT_EQ(cancelled, 2);
}

TEST(NurseryTest, SeveralExceptionsPropagateAsAGroup) {
  std::vector<int> values;
  std::string what;
  try {
    RunNursery([](Nursery& nursery) -> Co<void> {
      nursery.StartSoon(Throw, 1);
      nursery.StartSoon([]() -> Co<void> {
        throw std::runtime_error("two");
        co_return;
      });
      nursery.StartSoon(Throw, 3);
      co_return;
    }).IgnoreError();
  } catch (const ExceptionGroup& group) {
    what = group.what();
    for (const std::exception_ptr& exception : group.exceptions()) {
      try {
        std::rethrow_exception(exception);
      } catch (int value) {
        values.push_back(value);
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "two");
        values.push_back(2);
      }
    }
  }
  EXPECT_THAT(values, ElementsAre(1, 2, 3));
  EXPECT_THAT(what, HasSubstr("3 exceptions"));
  EXPECT_THAT(what, HasSubstr("[two]"));
}

TEST(NurseryTest, ExceptionsAndStatusesPropagateAsAGroup) {
  absl::Status status;
  int value = 0;
  try {
    RunNursery([](Nursery& nursery) -> Co<absl::Status> {
      nursery.StartSoon(Throw, 1);
      co_return absl::DataLossError("status");
    }).IgnoreError();
  } catch (const ExceptionGroup& group) {
    EXPECT_EQ(group.exceptions().size(), 2u);
    for (const std::exception_ptr& exception : group.exceptions()) {
      try {
        std::rethrow_exception(exception);
      } catch (int thrown) {
        value = thrown;
      } catch (const StatusError& error) {
        status = error.status();
      }
    }
  }
  EXPECT_EQ(value, 1);
  EXPECT_EQ(status, absl::DataLossError("status"));
}

TEST(NurseryTest, AGroupOfAnInnerNurseryIsOneExceptionOfTheOuter) {
  size_t inner_size = 0;
  try {
    RunNursery([](Nursery& outer) -> Co<void> {
      outer.StartSoon([]() -> Co<absl::Status> {
        co_return co_await OpenNursery([](Nursery& inner) -> Co<void> {
          inner.StartSoon(Throw, 1);
          inner.StartSoon(Throw, 2);
          co_return;
        });
      });
      co_return;
    }).IgnoreError();
  } catch (const ExceptionGroup& group) {
    inner_size = group.exceptions().size();
  }
  EXPECT_EQ(inner_size, 2u);
}

TEST(NurseryTest, CancelledStatusesDoNotMakeAGroup) {
  EXPECT_THROW(RunNursery([](Nursery& nursery) -> Co<void> {
                 nursery.StartSoon(SleepForever);
                 nursery.StartSoon(Throw, 1);
                 nursery.StartSoon(SleepForever);
                 co_return;
               }).IgnoreError(),
               int);
}

TEST(NurseryTest, AnExceptionLeavesNothingBehind) {
  const auto child = [](Counted) -> Co<void> {
    Counted local;
    co_await CancelShieldedCheckpoint();
    throw 1;
  };
  EXPECT_THROW(RunNursery([&](Nursery& nursery) -> Co<absl::Status> {
                 Counted local;
                 for (int i = 0; i < 10; ++i) {
                   nursery.StartSoon(child, Counted());
                 }
                 co_return co_await SleepForever();
               }).IgnoreError(),
               ExceptionGroup);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(NurseryTest, AnExceptionOfAnArgumentPropagatesOutOfStartSoon) {
  struct ThrowsWhenCopied {
    ThrowsWhenCopied() = default;
    ThrowsWhenCopied(const ThrowsWhenCopied&) { throw 3; }
  };
  const ThrowsWhenCopied argument;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    const auto child = [](const ThrowsWhenCopied&) -> Co<void> { co_return; };
    EXPECT_THROW(nursery.StartSoon(child, argument), int);
    EXPECT_EQ(nursery.child_count(), 0u);
    co_return;
  });
}

#endif  // defined(__cpp_exceptions)

// ----------------------------------------------------------------- misnesting

// Made as OpenNursery() makes them, but destroyed by hand.
void EndNurseriesInTheWrongOrder() {
  greenback::Run([]() -> Co<void> {
    auto first = std::make_unique<Nursery>();
    auto second = std::make_unique<Nursery>();
    first.reset();
    co_return;
  });
}

TEST(NurseryDeathTest, EndingInTheWrongOrderDies) {
  EXPECT_DEATH(EndNurseriesInTheWrongOrder(),
               "a CancelScope or Nursery of task \"main\" ends while one "
               "inside it is open; end them in reverse order");
}

void OutliveATask() {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    std::unique_ptr<Nursery> inner;
    nursery.StartSoon([&inner]() -> Co<void> {
      CurrentTask().set_name("careless");
      inner = std::make_unique<Nursery>();
      co_return;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(NurseryDeathTest, OneThatOutlivesItsTaskDies) {
  EXPECT_DEATH(OutliveATask(),
               "of task \"careless\" ends while one inside it is open");
}

// ---------------------------------------------------------------------- churn

TEST(NurseryTest, ManyChildrenOneAfterTheOtherNeedMemoryForTheLiveOnes) {
  constexpr int kChildren = 100'000;
  int ended = 0;
  int most = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kChildren; ++i) {
      nursery.StartSoon(
          [&](Counted) -> Co<void> {
            ++ended;
            co_return;
          },
          Counted());
      most = std::max(most, Counted::live());
      if (i % 10 == 9) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    }
  });
  EXPECT_EQ(ended, kChildren);
  // Two or three for each of ten children: the argument, what it was moved to,
  // and the coroutine's own.
  EXPECT_LE(most, 40);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(NurseryTest, ManyChildrenAtOnce) {
  constexpr int kChildren = 100'000;
  int ended = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Event go;
    for (int i = 0; i < kChildren; ++i) {
      nursery.StartSoon([&]() -> Co<void> {
        EXPECT_TRUE((co_await go.Wait()).ok());
        ++ended;
      });
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(nursery.child_count(), size_t{kChildren});
    go.Set();
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
  });
  EXPECT_EQ(ended, kChildren);
}

}  // namespace
}  // namespace greenback
