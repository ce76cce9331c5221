#include "greenback/runtime/run_token.h"

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/system_task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ------------------------------------------------------------- when and where

TEST(RunTokenTest, CallsInTheOrderOfPosting) {
  std::vector<int> log;
  std::vector<int> expected;
  greenback::Run([&]() -> Co<void> {
    const RunToken token = CurrentRunToken();
    Event done;
    for (int i = 0; i < 200; ++i) {
      expected.push_back(i);
      EXPECT_TRUE(token.RunSoon([&log, i] { log.push_back(i); }).ok());
    }
    EXPECT_TRUE(token.RunSoon([&done] { done.Set(); }).ok());
    EXPECT_TRUE((co_await done.Wait()).ok());
  });
  EXPECT_EQ(log, expected);
}

// What one thread posts before another does is called first, also if a callback
// has posted it.
TEST(RunTokenTest, CallsInTheOrderOfPostingOfSeveralThreads) {
  std::vector<int> log;
  greenback::Run([&]() -> Co<void> {
    const RunToken token = CurrentRunToken();
    const auto post = [&log, token](int value) {
      EXPECT_TRUE(token.RunSoon([&log, value] { log.push_back(value); }).ok());
    };
    Event done;
    EXPECT_TRUE(token
                    .RunSoon([&, post, token] {
                      post(1);
                      std::thread(post, 2).join();
                      post(3);
                      std::thread([&] {
                        EXPECT_TRUE(
                            token.RunSoon([&done] { done.Set(); }).ok());
                      }).join();
                    })
                    .ok());
    std::thread(post, 0).join();
    EXPECT_TRUE((co_await done.Wait()).ok());
  });
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 3));
}

TEST(RunTokenTest, CallsOnTheRunsThreadBetweenSteps) {
  const std::thread::id run_thread = std::this_thread::get_id();
  bool called = false;
  greenback::Run([&]() -> Co<void> {
    const RunToken token = CurrentRunToken();
    const auto call = [&] {
      EXPECT_EQ(std::this_thread::get_id(), run_thread);
      called = true;
    };
    EXPECT_TRUE(token.RunSoon(call).ok());
    EXPECT_FALSE(called);
    while (!called) EXPECT_TRUE((co_await Checkpoint()).ok());
    called = false;
    std::thread([&] { EXPECT_TRUE(token.RunSoon(call).ok()); }).join();
    EXPECT_FALSE(called);
    while (!called) EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_TRUE(called);
}

TEST(RunTokenTest, NoTaskRunsInACallback) {
  bool called = false;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_TRUE(CurrentRunToken()
                    .RunSoon([&] {
                      called = true;
                      EXPECT_FALSE(HasPortal());
                      const absl::Status awaited = TryAwait(Checkpoint());
                      EXPECT_EQ(awaited.code(),
                                absl::StatusCode::kFailedPrecondition);
                      EXPECT_THAT(std::string(awaited.message()),
                                  HasSubstr("no task is running"));
                    })
                    .ok());
    // Also when the step of a task in synchronous code ends without a switch.
    while (!called) EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_TRUE(HasPortal());
  });
  EXPECT_TRUE(called);
}

TEST(RunTokenTest, WakesALoopThatWaits) {
  // The other thread posts when the loop is about to wait for anything.
  struct TellsWhenItWaits final : Instrument {
    void before_io_wait(absl::Duration timeout) override {
      if (timeout == absl::InfiniteDuration()) waits.count_down();
    }
    std::latch waits{1};
  };
  for (const bool synchronous : {false, true}) {
    TellsWhenItWaits instrument;
    RunOptions options;
    options.instruments = {&instrument};
    std::thread other;
    greenback::Run(options, [&]() -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      Event event;
      other = std::thread([&, token = CurrentRunToken()] {
        instrument.waits.wait();
        EXPECT_TRUE(token.RunSoon([&] { event.Set(); }).ok());
      });
      if (synchronous) {
        EXPECT_TRUE(Await(event.Wait()).ok());
      } else {
        EXPECT_TRUE((co_await event.Wait()).ok());
      }
    });
    other.join();
  }
}

TEST(RunTokenTest, WakesALoopThatWaitsForATime) {
  struct TellsWhenItWaits final : Instrument {
    void before_io_wait(absl::Duration timeout) override {
      if (timeout <= absl::ZeroDuration() || posted) return;
      posted = true;
      waits.count_down();
    }
    bool posted = false;
    std::latch waits{1};
  };
  TellsWhenItWaits instrument;
  RunOptions options;
  options.instruments = {&instrument};
  std::thread other;
  greenback::Run(options, [&]() -> Co<void> {
    CancelScope scope;
    other = std::thread([&, token = CurrentRunToken()] {
      instrument.waits.wait();
      EXPECT_TRUE(token.RunSoon([&] { scope.Cancel(); }).ok());
    });
    EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::Hours(100))));
  });
  other.join();
}

TEST(RunTokenTest, ABusyLoopCallsItToo) {
  bool called = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      nursery.StartSoon([&called]() -> Co<void> {
        while (!called) EXPECT_TRUE((co_await Checkpoint()).ok());
      });
    }
    EXPECT_TRUE(CurrentRunToken().RunSoon([&called] { called = true; }).ok());
    co_return;
  });
  EXPECT_TRUE(called);
}

// Posts itself whenever it is called, until the run ends.
void PostForever(const RunToken& token, int& calls) {
  ++calls;
  (void)token.RunSoon([&calls, token] { PostForever(token, calls); });
}

TEST(RunTokenTest, CallbacksThatPostAgainStarveNoTask) {
  for (const bool synchronous : {false, true}) {
    int calls = 0;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      PostForever(CurrentRunToken(), calls);
      nursery.StartSoon([]() -> Co<void> {
        for (int i = 0; i < 1'000; ++i) {
          EXPECT_TRUE((co_await Checkpoint()).ok());
        }
      });
      // Tasks that wait for a time, or for nothing, are not starved either.
      const absl::Time start = CurrentTime();
      if (synchronous) {
        EXPECT_TRUE(Await(Sleep(absl::Microseconds(1))).ok());
      } else {
        EXPECT_TRUE((co_await Sleep(absl::Microseconds(1))).ok());
      }
      EXPECT_GE(CurrentTime(), start + absl::Microseconds(1));
    });
    EXPECT_GT(calls, 10);
  }
}

// However many callbacks there are, a clock that jumps comes after them.
TEST(RunTokenTest, AMockClockJumpsOverNoCallback) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  greenback::Run(options, [&]() -> Co<void> {
    int calls = 0;
    for (int i = 0; i < 1'000; ++i) {
      EXPECT_TRUE(CurrentRunToken()
                      .RunSoon([&] {
                        ++calls;
                        EXPECT_EQ(CurrentTime(), absl::UnixEpoch());
                      })
                      .ok());
    }
    EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
    EXPECT_EQ(calls, 1'000);
  });
}

TEST(RunTokenTest, ACallbackMaySpawnCancelAndSet) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Event event;
    CancelScope scope;
    EXPECT_TRUE(CurrentRunToken()
                    .RunSoon([&] {
                      nursery.StartSoon([&]() -> Co<void> {
                        log.push_back("spawned");
                        co_return;
                      });
                      event.Set();
                    })
                    .ok());
    EXPECT_TRUE((co_await event.Wait()).ok());
    EXPECT_TRUE(CurrentRunToken().RunSoon([&] { scope.Cancel(); }).ok());
    EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
    log.push_back("cancelled");
  });
  EXPECT_THAT(log, ElementsAre("spawned", "cancelled"));
}

TEST(RunTokenTest, WhatWasPostedIsDestroyedAfterTheCall) {
  auto owned = std::make_shared<Counted>();
  greenback::Run([&]() -> Co<void> {
    Event event;
    EXPECT_TRUE(
        CurrentRunToken()
            .RunSoon([owned = std::move(owned), &event] { event.Set(); })
            .ok());
    EXPECT_EQ(Counted::live(), 1);
    EXPECT_TRUE((co_await event.Wait()).ok());
    EXPECT_EQ(Counted::live(), 0);
  });
}

// -------------------------------------------------------------- the run's end

TEST(RunTokenTest, AfterTheRunNothingIsAccepted) {
  std::optional<RunToken> token;
  greenback::Run([&]() -> Co<void> {
    token = CurrentRunToken();
    co_return;
  });
  bool called = false;
  const RunToken copy = *token;
  token.reset();
  auto owned = std::make_shared<Counted>();
  const absl::Status refused =
      copy.RunSoon([&called, owned = std::move(owned)] { called = true; });
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the run has ended"));
  EXPECT_EQ(Counted::live(), 0);
  // The next run on this thread is another one.
  greenback::Run([&]() -> Co<void> {
    EXPECT_FALSE(copy.RunSoon([&called] { called = true; }).ok());
    for (int i = 0; i < 200; ++i) (void)co_await Checkpoint();
  });
  EXPECT_FALSE(called);
}

TEST(RunTokenTest, WhatIsPostedInTheLastStepIsCalled) {
  std::vector<std::string> log;
  EXPECT_EQ(greenback::Run([&]() -> Co<int> {
              const RunToken token = CurrentRunToken();
              EXPECT_TRUE(token
                              .RunSoon([&log, token] {
                                log.push_back("called");
                                EXPECT_FALSE(HasPortal());
                                EXPECT_EQ(
                                    token.RunSoon([] { FAIL(); }).code(),
                                    absl::StatusCode::kFailedPrecondition);
                              })
                              .ok());
              log.push_back("main ends");
              co_return 4;
            }),
            4);
  EXPECT_THAT(log, ElementsAre("main ends", "called"));
}

TEST(RunTokenTest, WhatIsPostedWhileSystemTasksEndIsCalled) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    SpawnSystemTask([&]() -> Co<void> {
      EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
      CancelScope shielded;
      shielded.set_shield(true);
      Event event;
      EXPECT_TRUE(CurrentRunToken()
                      .RunSoon([&] {
                        log.push_back("called");
                        event.Set();
                      })
                      .ok());
      EXPECT_TRUE((co_await event.Wait()).ok());
      log.push_back("system task ends");
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main ends");
  });
  EXPECT_THAT(log, ElementsAre("main ends", "called", "system task ends"));
}

// Threads that post again and again while the run ends.
TEST(RunTokenTest, WhatIsAcceptedIsCalledBeforeTheRunReturns) {
  struct Poster {
    int taken = 0;
    std::atomic<int> called = 0;
    std::thread thread;
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<Poster> posters(3);
    std::latch begun(3);
    greenback::Run([&]() -> Co<void> {
      for (Poster& poster : posters) {
        const auto post = [&begun, &poster, token = CurrentRunToken()] {
          while (token.RunSoon([&poster] { ++poster.called; }).ok()) {
            if (poster.taken++ == 0) begun.count_down();
            // No more at a time than the run can keep up with.
            while (poster.taken - poster.called > 100) {
              std::this_thread::yield();
            }
          }
        };
        poster.thread = std::thread(post);
      }
      begun.wait();
      for (int i = 0; i < 10 * (round % 20); ++i) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    });
    std::vector<int> called;
    for (const Poster& poster : posters) called.push_back(poster.called);
    for (size_t i = 0; i < posters.size(); ++i) {
      posters[i].thread.join();
      EXPECT_EQ(called[i], posters[i].taken);
      EXPECT_EQ(posters[i].called, posters[i].taken);
    }
  }
}

// Each posts to the other, and ends after its last post, whether or not the
// other run continues for a while.
TEST(RunTokenTest, TwoRunsOnTwoThreadsPostToEachOther) {
  constexpr int kRounds = 3'000;
  struct Side {
    std::optional<RunToken> token;
    int got = 0;
    Event* event = nullptr;
  };
  Side sides[2];
  std::latch both_run(2);
  const auto play = [&](int self, bool synchronous) {
    Side& mine = sides[self];
    Side& others = sides[1 - self];
    greenback::Run([&]() -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      mine.token = CurrentRunToken();
      both_run.arrive_and_wait();
      const auto post = [&others] {
        EXPECT_TRUE(others.token
                        ->RunSoon([&others] {
                          ++others.got;
                          if (others.event != nullptr) others.event->Set();
                        })
                        .ok());
      };
      for (int i = 1; i <= kRounds; ++i) {
        if (self == 0) post();
        while (mine.got < i) {
          Event event;
          mine.event = &event;
          if (synchronous) {
            EXPECT_TRUE(Await(event.Wait()).ok());
          } else {
            EXPECT_TRUE((co_await event.Wait()).ok());
          }
          mine.event = nullptr;
        }
        if (self == 1) post();
      }
    });
  };
  std::thread other(play, 1, true);
  play(0, false);
  other.join();
  EXPECT_EQ(sides[0].got, kRounds);
  EXPECT_EQ(sides[1].got, kRounds);
}

TEST(RunTokenTest, CopiesReachTheSameRun) {
  std::vector<int> log;
  greenback::Run([&]() -> Co<void> {
    RunToken first = CurrentRunToken();
    RunToken second = first;
    const RunToken third = std::move(first);
    first = second;
    Event done;
    EXPECT_TRUE(second.RunSoon([&] { log.push_back(2); }).ok());
    EXPECT_TRUE(third.RunSoon([&] { log.push_back(3); }).ok());
    EXPECT_TRUE(first.RunSoon([&] { done.Set(); }).ok());
    EXPECT_TRUE((co_await done.Wait()).ok());
  });
  EXPECT_THAT(log, ElementsAre(2, 3));
}

TEST(RunTokenTest, ACallbackMayTakeATokenToo) {
  bool called = false;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE(
        CurrentRunToken()
            .RunSoon([&] {
              EXPECT_TRUE(
                  CurrentRunToken().RunSoon([&] { called = true; }).ok());
            })
            .ok());
    while (!called) EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_TRUE(called);
}

TEST(RunTokenDeathTest, OutsideARunThereIsNone) {
#if defined(__cpp_exceptions)
  try {
    CurrentRunToken();
    FAIL() << "there is one";
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("greenback::CurrentRunToken(): no task of a run"));
  }
#else
  EXPECT_DEATH(CurrentRunToken(),
               "greenback::CurrentRunToken\\(\\): no task of a run");
#endif
}

// ----------------------------------------------------------------- exceptions

#if defined(__cpp_exceptions)

std::function<void()> Throws(const char* what) {
  return [what] { throw std::runtime_error(what); };
}

// The exceptions that a run throws, in order.
template <class Main>
std::vector<std::string> WhatRunThrows(const Main& main) {
  std::vector<std::string> log;
  try {
    greenback::Run(main);
  } catch (const ExceptionGroup& group) {
    for (const std::exception_ptr& each : group.exceptions()) {
      try {
        std::rethrow_exception(each);
      } catch (const std::exception& error) {
        log.push_back(error.what());
      }
    }
  } catch (const std::exception& error) {
    log.push_back(error.what());
  }
  return log;
}

TEST(RunTokenTest, AnExceptionOfACallbackCancelsTheRunAndPropagates) {
  bool cancelled = false;
  EXPECT_THAT(WhatRunThrows([&]() -> Co<int> {
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("callback")).ok());
                cancelled = absl::IsCancelled(co_await SleepForever());
                co_return 1;
              }),
              ElementsAre("callback"));
  EXPECT_TRUE(cancelled);
}

TEST(RunTokenTest, ATaskInSynchronousCodeIsCancelledByItToo) {
  bool cancelled = false;
  EXPECT_THAT(WhatRunThrows([&]() -> Co<void> {
                EXPECT_TRUE((co_await EnsurePortal()).ok());
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("callback")).ok());
                cancelled = absl::IsCancelled(Await(SleepForever()));
              }),
              ElementsAre("callback"));
  EXPECT_TRUE(cancelled);
}

TEST(RunTokenTest, SystemTasksAreCancelledByItToo) {
  bool cancelled = false;
  EXPECT_THAT(WhatRunThrows([&]() -> Co<void> {
                SpawnSystemTask([&cancelled]() -> Co<void> {
                  cancelled = absl::IsCancelled(co_await SleepForever());
                });
                EXPECT_TRUE((co_await Checkpoint()).ok());
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("callback")).ok());
                while (!cancelled) (void)co_await Checkpoint();
              }),
              ElementsAre("callback"));
  EXPECT_TRUE(cancelled);
}

TEST(RunTokenTest, AfterOneThatThrewTheOthersAreCalled) {
  std::vector<int> log;
  EXPECT_THAT(WhatRunThrows([&]() -> Co<void> {
                const RunToken token = CurrentRunToken();
                EXPECT_TRUE(token.RunSoon([&] { log.push_back(1); }).ok());
                EXPECT_TRUE(token.RunSoon(Throws("a")).ok());
                EXPECT_TRUE(token.RunSoon([&] { log.push_back(2); }).ok());
                EXPECT_TRUE(token.RunSoon(Throws("b")).ok());
                EXPECT_TRUE(token.RunSoon([&] { log.push_back(3); }).ok());
                (void)co_await SleepForever();
              }),
              ElementsAre("a", "b"));
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
}

TEST(RunTokenTest, ItsExceptionAndTheMainTasksPropagateAsAGroup) {
  EXPECT_THAT(WhatRunThrows([]() -> Co<void> {
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("callback")).ok());
                (void)co_await SleepForever();
                throw std::runtime_error("main");
              }),
              ElementsAre("main", "callback"));
}

TEST(RunTokenTest, AnExceptionAfterTheMainTaskHasEndedPropagates) {
  EXPECT_THAT(WhatRunThrows([]() -> Co<int> {
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("late")).ok());
                co_return 1;
              }),
              ElementsAre("late"));
}

TEST(RunTokenTest, AnExceptionBeforeTheMainTaskBeginsCancelsIt) {
  struct PostsBeforeTheRun final : Instrument {
    void before_run() override {
      EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("early")).ok());
    }
  };
  PostsBeforeTheRun instrument;
  RunOptions options;
  options.instruments = {&instrument};
  bool cancelled = false;
  EXPECT_THROW(greenback::Run(options,
                              [&]() -> Co<void> {
                                cancelled =
                                    absl::IsCancelled(co_await SleepForever());
                              }),
               std::runtime_error);
  EXPECT_TRUE(cancelled);
}

TEST(RunTokenTest, AfterARunThatFailedSoThereMayBeAnother) {
  EXPECT_THAT(WhatRunThrows([]() -> Co<void> {
                EXPECT_TRUE(CurrentRunToken().RunSoon(Throws("once")).ok());
                (void)co_await SleepForever();
              }),
              ElementsAre("once"));
  EXPECT_EQ(greenback::Run([]() -> Co<int> { co_return 1; }), 1);
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
