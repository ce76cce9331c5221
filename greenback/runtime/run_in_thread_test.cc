#include "greenback/runtime/run_in_thread.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_token.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"
#include "tests/support/no_more_threads.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// -------------------------------------------------------------------- results

template <class Fn>
using ResultOf = AwaitResult<decltype(RunInThread(std::declval<Fn>()))>;

static_assert(std::is_same_v<ResultOf<void (*)()>, absl::Status>);
static_assert(std::is_same_v<ResultOf<int (*)()>, absl::StatusOr<int>>);
static_assert(std::is_same_v<ResultOf<absl::Status (*)()>, absl::Status>);
static_assert(
    std::is_same_v<ResultOf<absl::StatusOr<int> (*)()>, absl::StatusOr<int>>);
static_assert(std::is_same_v<ResultOf<std::unique_ptr<int> (*)()>,
                             absl::StatusOr<std::unique_ptr<int>>>);

TEST(RunInThreadTest, ReturnsNothing) {
  bool called = false;
  EXPECT_EQ(
      greenback::Run([&] { return RunInThread([&called] { called = true; }); }),
      absl::OkStatus());
  EXPECT_TRUE(called);
}

TEST(RunInThreadTest, ReturnsAValue) {
  EXPECT_EQ(
      greenback::Run([] { return RunInThread([] { return 5; }); }).value(), 5);
}

TEST(RunInThreadTest, ReturnsAMoveOnlyValue) {
  absl::StatusOr<std::unique_ptr<std::string>> result = greenback::Run([] {
    return RunInThread([] { return std::make_unique<std::string>("moved"); });
  });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, "moved");
}

TEST(RunInThreadTest, ReturnsAValueWithoutADefaultConstructor) {
  struct NoDefault {
    explicit NoDefault(int value) : value(value) {}
    int value;
  };
  EXPECT_EQ(greenback::Run([] {
              return RunInThread([] { return NoDefault(6); });
            })->value,
            6);
}

TEST(RunInThreadTest, AStatusIsReturnedAsItIs) {
  EXPECT_EQ(greenback::Run([] {
              return RunInThread([] { return absl::NotFoundError("no file"); });
            }),
            absl::NotFoundError("no file"));
  EXPECT_EQ(greenback::Run(
                [] { return RunInThread([] { return absl::OkStatus(); }); }),
            absl::OkStatus());
}

TEST(RunInThreadTest, AStatusOrIsReturnedAsItIs) {
  const auto read = [](bool found) -> absl::StatusOr<std::string> {
    if (!found) return absl::NotFoundError("no file");
    return "text";
  };
  EXPECT_EQ(greenback::Run([&] { return RunInThread(read, true); }).value(),
            "text");
  EXPECT_EQ(greenback::Run([&] { return RunInThread(read, false); }).status(),
            absl::NotFoundError("no file"));
}

TEST(RunInThreadTest, TakesArguments) {
  struct Object {
    int Plus(int more) const { return value + more; }
    int value;
  };
  greenback::Run([]() -> Co<void> {
    int changed = 0;
    const std::string text = "copied";
    absl::StatusOr<std::string> result = co_await RunInThread(
        [](std::unique_ptr<int> owned, std::string text, int& changed) {
          changed = *owned;
          return text;
        },
        std::make_unique<int>(7), text, std::ref(changed));
    EXPECT_EQ(result.value(), "copied");
    EXPECT_EQ(changed, 7);
    EXPECT_EQ((co_await RunInThread(&Object::Plus, Object{3}, 4)).value(), 7);
  });
}

TEST(RunInThreadTest, FunctionArgumentsAndResultAreDestroyed) {
  greenback::Run([]() -> Co<void> {
    {
      // Not a temporary, which g++ 12 destroys twice in a co_await.
      auto add = [owned = Counted(1)](Counted argument) {
        return Counted(owned.value + argument.value);
      };
      absl::StatusOr<Counted> result =
          co_await RunInThread(std::move(add), Counted(2));
      EXPECT_EQ(result->value, 3);
      EXPECT_EQ(Counted::live(), 2);  // and what was moved from
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(RunInThreadTest, UnawaitedItCallsNothing) {
  greenback::Run([]() -> Co<void> {
    {
      auto unawaited = RunInThread([owned = Counted()] { FAIL(); });
    }
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

#if defined(__cpp_exceptions)

TEST(RunInThreadTest, AnExceptionPropagatesToTheAwaiter) {
  greenback::Run([]() -> Co<void> {
    const auto fail = []() -> int {
      throw std::runtime_error("in the thread");
    };
    std::string what;
    try {
      (void)co_await RunInThread(fail);
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "in the thread");
    // Another call works.
    EXPECT_EQ((co_await RunInThread([] { return 1; })).value(), 1);
  });
  EXPECT_THROW(
      (void)greenback::Run([] { return RunInThread([] { throw 1; }); }), int);
  EXPECT_THROW((void)greenback::Run([] {
                 return RunInThread([]() -> absl::Status { throw 1; });
               }),
               int);
}

TEST(RunInThreadTest, AnExceptionPropagatesInSynchronousCode) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_THROW((void)Await(RunInThread([owned = Counted()] { throw 2; })),
                 int);
    EXPECT_EQ(Counted::live(), 0);
  });
}

#endif  // defined(__cpp_exceptions)

// ------------------------------------------------------- threads of the calls

TEST(RunInThreadTest, CallsOnAnotherThreadAndResumesOnThisOne) {
  const std::thread::id run_thread = std::this_thread::get_id();
  greenback::Run([&]() -> Co<void> {
    const absl::StatusOr<std::thread::id> other =
        co_await RunInThread([] { return std::this_thread::get_id(); });
    EXPECT_EQ(std::this_thread::get_id(), run_thread);
    EXPECT_TRUE(other.ok());
    EXPECT_NE(*other, run_thread);
  });
}

TEST(RunInThreadTest, OtherTasksRunMeanwhile) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    std::latch others_ran(1);
    nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE((co_await Checkpoint()).ok());
      log.push_back("others");
      others_ran.count_down();
    });
    EXPECT_TRUE((co_await RunInThread([&] { others_ran.wait(); })).ok());
    log.push_back("thread");
  });
  EXPECT_THAT(log, ElementsAre("others", "thread"));
}

TEST(RunInThreadTest, OtherTasksRunMeanwhileInSynchronousCodeToo) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    std::latch others_ran(1);
    nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE((co_await Checkpoint()).ok());
      log.push_back("others");
      others_ran.count_down();
    });
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const auto synchronous = [&] {
      return Await(RunInThread([&] {
        others_ran.wait();
        return 8;
      }));
    };
    EXPECT_EQ(synchronous().value(), 8);
    log.push_back("thread");
  });
  EXPECT_THAT(log, ElementsAre("others", "thread"));
}

TEST(RunInThreadTest, ManyCallsRunAtTheSameTime) {
  constexpr int kTasks = 8;
  std::latch all(kTasks);
  int ended = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTasks; ++i) {
      nursery.StartSoon([&]() -> Co<absl::Status> {
        // None of them ends before all have begun.
        absl::Status status =
            co_await RunInThread([&all] { all.arrive_and_wait(); });
        ++ended;
        co_return status;
      });
    }
    co_return;
  });
  EXPECT_EQ(ended, kTasks);
}

TEST(RunInThreadTest, NoMoreThanMaxThreadsRunAtATime) {
  constexpr int kMost = 2;
  RunOptions options;
  options.max_threads = kMost;
  std::latch both(kMost);
  std::atomic<int> running = 0;
  std::atomic<int> too_many = 0;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 30; ++i) {
      nursery.StartSoon([&, i] {
        return RunInThread([&, i] {
          if (++running > kMost) ++too_many;
          if (i < kMost) both.arrive_and_wait();
          --running;
        });
      });
    }
    co_return;
  });
  EXPECT_EQ(too_many, 0);
}

TEST(RunInThreadTest, QueuedCallsBeginInOrder) {
  RunOptions options;
  options.max_threads = 1;
  std::vector<int> log;  // one thread at a time
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 5; ++i) {
      nursery.StartSoon(
          [&log, i] { return RunInThread([&log, i] { log.push_back(i); }); });
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 3, 4));
}

TEST(RunInThreadTest, TheFunctionIsOutsideAnyRun) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const absl::Status awaited = co_await RunInThread([] {
      EXPECT_FALSE(HasPortal());
      return TryAwait(Checkpoint());
    });
    EXPECT_EQ(awaited.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(awaited.message()),
                HasSubstr("no task is running on this thread"));
    // So it may have a run of its own.
    EXPECT_EQ((co_await RunInThread([] {
                return greenback::Run([]() -> Co<int> { co_return 9; });
              })).value(),
              9);
  });
}

TEST(RunInThreadTest, TheFunctionReachesTheRunThroughAToken) {
  greenback::Run([]() -> Co<void> {
    Event event;
    std::latch seen(1);
    std::vector<std::string> log;
    const RunToken token = CurrentRunToken();
    EXPECT_TRUE((co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
                  nursery.StartSoon([&]() -> Co<void> {
                    EXPECT_TRUE((co_await event.Wait()).ok());
                    log.push_back("event");
                    seen.count_down();
                  });
                  const auto post = [&event, token] {
                    return token.RunSoon([&event] { event.Set(); });
                  };
                  EXPECT_TRUE((co_await RunInThread(post)).ok());
                  EXPECT_TRUE(
                      (co_await RunInThread([&] { seen.wait(); })).ok());
                  log.push_back("thread");
                })).ok());
    EXPECT_THAT(log, ElementsAre("event", "thread"));
  });
}

// --------------------------------------------------------------- cancellation

// Keeps the only thread of a run busy until it is released.
class Blocker {
 public:
  Co<absl::Status> Block() {
    return RunInThread([this] {
      begun_.count_down();
      may_end_.wait();
    });
  }
  void WaitUntilBlocked() { begun_.wait(); }
  void Unblock() { may_end_.count_down(); }

 private:
  std::latch begun_{1};
  std::latch may_end_{1};
};

TEST(RunInThreadTest, CancelledWhileItIsQueuedItIsNeverCalled) {
  RunOptions options;
  options.max_threads = 1;
  for (const bool synchronous : {false, true}) {
    Blocker blocker;
    std::atomic<int> called = 0;
    RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      nursery.StartSoon([&] { return blocker.Block(); });
      EXPECT_TRUE((co_await Checkpoint()).ok());
      blocker.WaitUntilBlocked();
      CancelScope scope;
      nursery.StartSoon([&scope]() -> Co<void> {
        scope.Cancel();
        co_return;
      });
      const auto call = [&] {
        return RunInThread([&called, owned = Counted()] { ++called; });
      };
      // The thread is still busy when this returns.
      absl::Status status;
      if (synchronous) {
        status = Await(call());
      } else {
        status = co_await call();
      }
      EXPECT_TRUE(absl::IsCancelled(status));
      EXPECT_TRUE(scope.cancelled_caught());
      EXPECT_EQ(Counted::live(), 0);
      blocker.Unblock();
    });
    EXPECT_EQ(called, 0);
  }
}

TEST(RunInThreadTest, AmongThoseQueuedOnlyTheCancelledOneIsNotCalled) {
  RunOptions options;
  options.max_threads = 1;
  Blocker blocker;
  std::vector<int> log;  // one thread at a time
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&] { return blocker.Block(); });
    CancelScope* to_cancel = nullptr;
    for (int i = 0; i < 3; ++i) {
      nursery.StartSoon([&log, &to_cancel, i]() -> Co<void> {
        CancelScope scope;
        if (i == 1) to_cancel = &scope;
        const absl::Status status =
            co_await RunInThread([&log, i] { log.push_back(i); });
        EXPECT_EQ(absl::IsCancelled(status), i == 1);
      });
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    blocker.WaitUntilBlocked();
    to_cancel->Cancel();
    blocker.Unblock();
    while (nursery.child_count() != 0) (void)co_await Checkpoint();
  });
  EXPECT_THAT(log, ElementsAre(0, 2));
}

TEST(RunInThreadTest, CancelledBeforeItIsAwaitedItIsNeverCalled) {
  bool called = false;
  greenback::Run([&]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(
        absl::IsCancelled(co_await RunInThread([&] { called = true; })));
    EXPECT_TRUE(absl::IsCancelled((co_await RunInThread([&] {
                                    called = true;
                                    return 1;
                                  })).status()));
    EXPECT_TRUE(scope.cancelled_caught());
  });
  EXPECT_FALSE(called);
}

TEST(RunInThreadTest, CancelledWhenItRunsItIsWaitedFor) {
  for (const bool synchronous : {false, true}) {
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      std::latch begun(1);
      std::latch may_end(1);
      bool returned = false;
      CancelScope scope;
      nursery.StartSoon([&]() -> Co<void> {
        begun.wait();
        scope.Cancel();
        for (int i = 0; i < 10; ++i) {
          EXPECT_TRUE((co_await Checkpoint()).ok());
          EXPECT_FALSE(returned);
        }
        may_end.count_down();
      });
      const auto call = [&] {
        return RunInThread([&] {
          begun.count_down();
          may_end.wait();
          return 3;
        });
      };
      absl::StatusOr<int> result = 0;
      if (synchronous) {
        result = Await(call());
      } else {
        result = co_await call();
      }
      returned = true;
      // Its result is not lost, and the next cancellation point is cancelled.
      EXPECT_EQ(result.value(), 3);
      EXPECT_FALSE(scope.cancelled_caught());
      EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    });
  }
}

// Cancelled at about the moment when it begins: it is called, or it is not.
TEST(RunInThreadTest, CancelledAsItBeginsItIsCalledOrIsNot) {
  int called_count = 0;
  greenback::Run([&]() -> Co<void> {
    for (int round = 0; round < 500; ++round) {
      bool called = false;
      CancelScope scope;
      absl::Status result;
      const absl::Status left =
          co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
            nursery.StartSoon([&]() -> Co<void> {
              for (int i = 0; i < round % 50; ++i) {
                co_await CancelShieldedCheckpoint();
              }
              scope.Cancel();
            });
            result = co_await RunInThread([&called] { called = true; });
          });
      EXPECT_EQ(result.ok(), called);
      EXPECT_TRUE(result.ok() || absl::IsCancelled(result));
      EXPECT_TRUE(left.ok()) << left;
      if (called) ++called_count;
    }
  });
  EXPECT_LE(called_count, 500);
}

// -------------------------------------------------------------------- context

TEST(RunInThreadTest, TheContextIsACopyOfTheTasks) {
  TaskLocal<std::string> variable("default");
  RunOptions options;
  options.max_threads = 1;
  greenback::Run(options, [&]() -> Co<void> {
    variable.Set("the task's");
    const auto look_and_set = [&] {
      std::string seen = variable.Get();
      variable.Set("the thread's");
      EXPECT_EQ(variable.Get(), "the thread's");
      return seen;
    };
    EXPECT_EQ((co_await RunInThread(look_and_set)).value(), "the task's");
    // What it has set is visible neither here nor to the next call on its
    // thread.
    EXPECT_EQ(variable.Get(), "the task's");
    EXPECT_EQ((co_await RunInThread(look_and_set)).value(), "the task's");
    variable.Reset();
    EXPECT_EQ((co_await RunInThread(look_and_set)).value(), "default");
    EXPECT_FALSE(variable.is_set());
  });
}

TEST(RunInThreadTest, WhatTheFunctionSetsEndsWithTheCall) {
  TaskLocal<std::shared_ptr<Counted>> variable;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await RunInThread([&] {
                  variable.Set(std::make_shared<Counted>());
                })).ok());
    EXPECT_EQ(Counted::live(), 0);
  });
}

// -------------------------------------------------------------------- threads

// Counts the living threads among those that have used one.
struct CountsThreads {
  CountsThreads() { ++live; }
  ~CountsThreads() { --live; }
  static inline std::atomic<int> live = 0;
};

void UseThreadLocal() {
  thread_local CountsThreads counts;
  asm volatile("" : : "r"(&counts) : "memory");
}

int CountThreads() {
  int count = 0;
  DIR* const directory = opendir("/proc/self/task");
  if (directory == nullptr) return -1;
  while (const dirent* const entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return count;
}

TEST(RunInThreadTest, ThreadsEndWithTheRun) {
  const auto run = [] {
    std::latch all(3);
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        nursery.StartSoon([&] {
          return RunInThread([&] {
            UseThreadLocal();
            all.arrive_and_wait();
          });
        });
      }
      while (nursery.child_count() != 0) (void)co_await Checkpoint();
      EXPECT_EQ(CountsThreads::live, 3);
      EXPECT_GE(CountThreads(), 4);
    });
    EXPECT_EQ(CountsThreads::live, 0);
  };
  run();
  // The kernel removes them from its list some time later.
  const int threads = CountThreads();
  for (int i = 0; i < 20; ++i) run();
  while (CountThreads() > threads) std::this_thread::yield();
  EXPECT_LE(CountThreads(), threads);
}

TEST(RunInThreadTest, ARunThatIsCancelledAlreadyStartsNoThread) {
  const int threads = CountThreads();
  greenback::Run([&]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await RunInThread(UseThreadLocal)));
    EXPECT_LE(CountThreads(), threads);
  });
}

TEST(RunInThreadTest, WithoutAnyThreadItSaysSo) {
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    {
      NoMoreThreads no_more;
      const auto call = [](const Counted& owned) { return owned.value; };
      const absl::StatusOr<int> native = co_await RunInThread(call, Counted());
      EXPECT_EQ(native.status().code(), absl::StatusCode::kResourceExhausted);
      const absl::Status awaited = Await(RunInThread([] {}));
      EXPECT_EQ(awaited.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(std::string(awaited.message()),
                  HasSubstr("greenback::RunInThread(): cannot start a thread"));
      EXPECT_EQ(Counted::live(), 0);
    }
    EXPECT_EQ((co_await RunInThread([] { return 1; })).value(), 1);
  });
}

TEST(RunInThreadDeathTest, OutsideARunIsAnError) {
  // A coroutine that no run executes: it ends where it begins.
  const auto call = []() -> Detached {
#if defined(__cpp_exceptions)
    EXPECT_THROW((void)co_await RunInThread([] {}), std::logic_error);
#else
    (void)co_await RunInThread([] {});
#endif
  };
#if defined(__cpp_exceptions)
  call();
#else
  EXPECT_DEATH(call(), "greenback::RunInThread\\(\\): no task of a run");
#endif
}

TEST(RunInThreadTest, R32_AProcessThatItStartsHasTheProgramsMask) {
  greenback::Run([]() -> Co<void> {
    const absl::StatusOr<int> status = co_await RunInThread(
        [] { return std::system("kill -TERM $$; echo it lives on"); });
    EXPECT_TRUE(status.ok());
    EXPECT_TRUE(status.ok() && WIFSIGNALED(*status) &&
                WTERMSIG(*status) == SIGTERM);
  });
}

}  // namespace
}  // namespace greenback
