// Ends of all kinds: nothing is left behind, every destructor runs once, and
// every result arrives.

#include <coroutine>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/process_resources.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

// ----------------------------------------------- tasks that have not yet run

// A task that is spawned runs, if only to its first cancellation point.
TEST(ShutdownTest, AChildOfABodyThatFailsAtOnceRunsToACancellationPoint) {
  std::vector<std::string> log;
  const absl::Status status =
      RunNursery([&](Nursery& nursery) -> Co<absl::Status> {
        nursery.StartSoon(
            [&](Counted) -> Co<absl::Status> {
              Counted local;
              log.push_back("begins");
              absl::Status passed = co_await Checkpoint();
              log.push_back(absl::IsCancelled(passed) ? "cancelled"
                                                      : "continues");
              co_return passed;
            },
            Counted());
        co_return absl::DataLossError("at once");
      });
  EXPECT_EQ(status, absl::DataLossError("at once"));
  EXPECT_THAT(log, ElementsAre("begins", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

TEST(ShutdownTest, ASystemTaskSpawnedAtTheEndRunsToACancellationPoint) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    SpawnSystemTask(
        [&](Counted) -> Co<absl::Status> {
          log.push_back("begins");
          absl::Status slept = co_await SleepForever();
          log.push_back(absl::IsCancelled(slept) ? "cancelled" : "continues");
          co_return slept;
        },
        Counted());
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("begins", "cancelled"));
  EXPECT_EQ(Counted::live(), 0);
}

TEST(ShutdownTest, ATaskCancelledBeforeItsFirstStepRunsToItsFirstAwait) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    BestowPortal(nursery.StartSoon(
        [&](Counted) -> Co<void> {
          Counted local;
          log.push_back("begins");
          if (absl::IsCancelled(Await(SleepForever()))) log.push_back("ends");
          co_return;
        },
        Counted()));
    nursery.cancel_scope().Cancel();
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("begins", "ends"));
  EXPECT_EQ(Counted::live(), 0);
}

#if defined(__cpp_exceptions)

TEST(ShutdownTest, AChildOfABodyThatThrowsAtOnceRunsToACancellationPoint) {
  absl::Status passed;
  const auto body = [&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(
        [&](Counted) -> Co<absl::Status> {
          Counted local;
          passed = co_await Checkpoint();
          co_return passed;
        },
        Counted());
    throw 3;
    co_return;
  };
  EXPECT_THROW(RunNursery(body).IgnoreError(), int);
  EXPECT_TRUE(absl::IsCancelled(passed)) << passed;
  EXPECT_EQ(Counted::live(), 0);
}

// ------------------------------------------------------------ when main throws

TEST(ShutdownTest, MainThrowsWithNothingElseThere) {
  const int descriptors = CountDescriptors();
  for (const bool suspend : {false, true}) {
    const auto main = [suspend](Counted) -> Co<Counted> {
      Counted local;
      if (suspend) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      throw 1;
    };
    EXPECT_THROW((void)greenback::Run(main, Counted()), int);
    EXPECT_EQ(Counted::live(), 0);
  }
  EXPECT_EQ(CountDescriptors(), descriptors);
}

TEST(ShutdownTest, MainThrowsInSynchronousCodeWhileOthersAreParked) {
  int returned = 0;
  const auto parked = [&](Event& waits) -> Co<void> {
    Counted local;
    waits.Set();
    co_await WithPortalRunSync([&] {
      Counted on_the_stack;
      EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
      ++returned;
    });
  };
  const auto main = [&]() -> Co<absl::Status> {
    co_return co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      Counted local;
      Event waits[3];
      for (Event& each : waits) nursery.StartSoon(parked, std::ref(each));
      co_await WithPortalRunSync([&] {
        Counted on_the_stack;
        for (Event& each : waits) EXPECT_TRUE(Await(each.Wait()).ok());
        throw std::runtime_error("main");
      });
    });
  };
  EXPECT_THROW(greenback::Run(main).IgnoreError(), std::runtime_error);
  EXPECT_EQ(returned, 3);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(ShutdownTest, MainThrowsWhileSystemTasksServe) {
  std::vector<std::string> log;
  const auto main = [&]() -> Co<void> {
    SpawnSystemTask([&]() -> Co<void> {
      Counted local;
      co_await WithPortalRunSync([&] {
        Counted on_the_stack;
        EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
        log.push_back("system task ends");
      });
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back("main throws");
    throw 2;
  };
  EXPECT_THROW(greenback::Run(main), int);
  EXPECT_THAT(log, ElementsAre("main throws", "system task ends"));
  EXPECT_EQ(Counted::live(), 0);
}

#endif  // defined(__cpp_exceptions)

// ---------------------------------------------- when everything waits in Await

// Counts, by what was awaited, how the waits in synchronous code end.
using Ends = std::map<std::string, int>;

void WaitInSynchronousCode(const char* what, Ends& ends,
                           const std::function<absl::Status()>& wait) {
  Counted on_the_stack;
  const absl::Status waited = wait();
  EXPECT_TRUE(absl::IsCancelled(waited)) << what << ": " << waited;
  ++ends[what];
  // The task is still cancelled, and can still await.
  EXPECT_TRUE(absl::IsCancelled(Await(Checkpoint())));
}

TEST(ShutdownTest, EverythingThatIsParkedReturnsWhenItIsCancelled) {
  constexpr int kOfEach = 20;
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  Ends ends;
  Event never;
  const std::map<std::string, std::function<absl::Status()>> waits = {
      {"event", [&] { return Await(never.Wait()); }},
      {"sleep", [] { return Await(Sleep(absl::Hours(1))); }},
      {"reschedule",
       [] {
         return Await(WaitTaskRescheduled([] { return Abort::kSucceeded; }));
       }},
      {"nursery",
       [] {
         return Await(OpenNursery([](Nursery& nursery) -> Co<void> {
           nursery.StartSoon(SleepForever);
           co_return;
         }));
       }},
      {"start",
       [] {
         return Await(OpenNursery([](Nursery& nursery) -> Co<absl::Status> {
           co_return co_await nursery.Start(
               [](TaskStatus<>, Counted) -> Co<absl::Status> {
                 co_return co_await SleepForever();
               },
               Counted());
         }));
       }},
      {"synchronous code",
       [&] {
         return Await(WithPortalRunSync([&] { return Await(never.Wait()); }));
       }},
  };
  greenback::Run(options, [&]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Minutes(1));
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          for (const auto& [what, wait] : waits) {
            for (int i = 0; i < kOfEach; ++i) {
              BestowPortal(nursery.StartSoon(
                  [&ends](const std::string& what,
                          const std::function<absl::Status()>& wait,
                          Counted) -> Co<void> {
                    WaitInSynchronousCode(what.c_str(), ends, wait);
                    co_return;
                  },
                  what, wait, Counted()));
            }
          }
          co_return;
        });
    EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
    EXPECT_TRUE(scope.cancelled_caught());
  });
  EXPECT_EQ(clock.Now() - absl::UnixEpoch(), absl::Minutes(1));
  EXPECT_THAT(ends, SizeIs(waits.size()));
  EXPECT_THAT(ends, Each(Pair(testing::_, kOfEach)));
  EXPECT_EQ(never.waiters(), 0u);
  EXPECT_EQ(Counted::live(), 0);
}

// Its destructor waits in a scope that is shielded from cancellation.
struct CleansUp {
  explicit CleansUp(int& done) : done(done) {}
  CleansUp(const CleansUp&) = delete;
  CleansUp& operator=(const CleansUp&) = delete;
  ~CleansUp() {
    CancelScope shielded;
    shielded.set_shield(true);
    EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    ++done;
  }
  int& done;
};

TEST(ShutdownTest, DestructorsOfCancelledFramesMayWait) {
  constexpr int kTasks = 20;
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  int done = 0;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTasks; ++i) {
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        const CleansUp cleans_up(done);
        EXPECT_TRUE(absl::IsCancelled(Await(SleepForever())));
        co_return;
      }));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    nursery.cancel_scope().Cancel();
  });
  EXPECT_EQ(done, kTasks);
  EXPECT_EQ(clock.Now() - absl::UnixEpoch(), absl::Seconds(1));
}

// --------------------------------------------------------------- nested runs

#if defined(__cpp_exceptions)

// The error of a Run() that is called here.
std::string WhatRunSays() {
  try {
    greenback::Run([](Counted) -> Co<void> { co_return; }, Counted());
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "nothing";
}

constexpr char kRefusal[] =
    "greenback::Run(): this thread is in a run already; co_await the "
    "coroutine, or Await() it, instead";

TEST(ShutdownTest, RunInSynchronousCodeIsRefused) {
  greenback::Run([]() -> Co<void> {
    co_await WithPortalRunSync([] {
      EXPECT_EQ(WhatRunSays(), kRefusal);
      EXPECT_EQ(Counted::live(), 0);
      EXPECT_TRUE(Await(Checkpoint()).ok());
    });
  });
}

TEST(ShutdownTest, RunInATokensCallbackIsRefused) {
  std::string what;
  greenback::Run([&]() -> Co<void> {
    Event called;
    absl::Status posted = CurrentRunToken().RunSoon([&] {
      what = WhatRunSays();
      called.Set();
    });
    EXPECT_TRUE(posted.ok()) << posted;
    EXPECT_TRUE((co_await called.Wait()).ok());
  });
  EXPECT_EQ(what, kRefusal);
  EXPECT_EQ(Counted::live(), 0);
}

// Tries to run in every hook.
class RunsInHooks final : public Instrument {
 public:
  std::map<std::string, std::string> said;

 private:
  void before_run() override { Try("before_run"); }
  void after_run() override { Try("after_run"); }
  void task_spawned(Task&) override { Try("task_spawned"); }
  void task_scheduled(Task&) override { Try("task_scheduled"); }
  void before_task_step(Task&) override { Try("before_task_step"); }
  void after_task_step(Task&) override { Try("after_task_step"); }
  void task_exited(Task&) override { Try("task_exited"); }
  void before_io_wait(absl::Duration) override { Try("before_io_wait"); }
  void after_io_wait(absl::Duration) override { Try("after_io_wait"); }
  void Try(const char* hook) { said[hook] = WhatRunSays(); }
};

TEST(ShutdownTest, RunInAnInstrumentsHookIsRefused) {
  MockClock clock;
  RunsInHooks instrument;
  RunOptions options;
  options.clock = &clock;
  options.instruments = {&instrument};
  EXPECT_EQ(greenback::Run(options,
                           []() -> Co<int> {
                             (void)co_await Sleep(absl::Seconds(1));
                             co_return 4;
                           }),
            4);
  EXPECT_THAT(instrument.said, SizeIs(9));
  EXPECT_THAT(instrument.said, Each(Pair(testing::_, kRefusal)));
  EXPECT_EQ(Counted::live(), 0);
}

// Where the callback does not catch it, it propagates out of the outer run.
TEST(ShutdownTest, RunThatIsRefusedInACallbackEndsTheRunAroundIt) {
  std::string what;
  const auto main = []() -> Co<absl::Status> {
    Counted local;
    absl::Status posted = CurrentRunToken().RunSoon([] {
      greenback::Run([](Counted) -> Co<void> { co_return; }, Counted());
    });
    EXPECT_TRUE(posted.ok()) << posted;
    co_return co_await SleepForever();
  };
  try {
    greenback::Run(main).IgnoreError();
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_EQ(what, kRefusal);
  EXPECT_EQ(Counted::live(), 0);
}

#else

void RunInACallback() {
  greenback::Run([]() -> Co<absl::Status> {
    (void)CurrentRunToken().RunSoon(
        [] { greenback::Run([]() -> Co<void> { co_return; }); });
    co_return co_await SleepForever();
  }).IgnoreError();
}

class RunsBeforeTheRun final : public Instrument {
  void before_run() override {
    greenback::Run([]() -> Co<void> { co_return; });
  }
};

TEST(ShutdownDeathTest, RunInARunDies) {
  EXPECT_DEATH(RunInACallback(), "this thread is in a run already");
  RunsBeforeTheRun instrument;
  RunOptions options;
  options.instruments = {&instrument};
  EXPECT_DEATH(greenback::Run(options, []() -> Co<void> { co_return; }),
               "this thread is in a run already");
}

#endif  // defined(__cpp_exceptions)

TEST(ShutdownTest, AThreadOfARunMayHaveARunOfItsOwn) {
  const absl::StatusOr<int> result =
      greenback::Run([]() -> Co<absl::StatusOr<int>> {
        co_return co_await RunInThread([] {
          return greenback::Run([]() -> Co<int> {
            EXPECT_TRUE((co_await Checkpoint()).ok());
            co_return 5;
          });
        });
      });
  EXPECT_EQ(result.value_or(0), 5);
}

// ------------------------------------------------------------ results arrive

// How an awaitable that greenback does not know completes.
enum class Completes {
  kReadyAtOnce,
  kFalseFromSuspend,
  kResumesInSuspend,
  kTransfersBack,
  kOnAThreadInSuspend,
  kOnAThreadLater,
  kInAnothersStep,
};
constexpr Completes kAllCompletions[] = {
    Completes::kReadyAtOnce,        Completes::kFalseFromSuspend,
    Completes::kResumesInSuspend,   Completes::kTransfersBack,
    Completes::kOnAThreadInSuspend, Completes::kOnAThreadLater,
    Completes::kInAnothersStep,
};

// What it completes with.
enum class With { kValue, kException };

class Foreign {
 public:
  Foreign(Completes completes, With with, Nursery& nursery)
      : completes_(completes), with_(with), nursery_(nursery) {}

  bool await_ready() const { return completes_ == Completes::kReadyAtOnce; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) {
    switch (completes_) {
      case Completes::kReadyAtOnce:
      case Completes::kFalseFromSuspend:
      case Completes::kTransfersBack:
        return handle;
      case Completes::kResumesInSuspend:
        handle.resume();
        break;
      case Completes::kOnAThreadInSuspend:
        std::thread([handle] { handle.resume(); }).join();
        break;
      case Completes::kOnAThreadLater:
        thread_ = std::thread([handle] { handle.resume(); });
        break;
      case Completes::kInAnothersStep:
        nursery_.StartSoon([handle]() -> Co<void> {
          handle.resume();
          co_return;
        });
        break;
    }
    return std::noop_coroutine();
  }
  int await_resume() {
    if (thread_.joinable()) thread_.join();
#if defined(__cpp_exceptions)
    if (with_ == With::kException) throw std::runtime_error("thrown");
#endif
    return 7;
  }

 private:
  const Completes completes_;
  [[maybe_unused]] const With with_;
  Nursery& nursery_;
  std::thread thread_;
};

// The same with an await_suspend that returns a bool.
class ForeignBool : public Foreign {
 public:
  using Foreign::Foreign;
  bool await_suspend(std::coroutine_handle<>) { return false; }
};

Co<int> AwaitForeign(Completes completes, With with, Nursery& nursery) {
  if (completes == Completes::kFalseFromSuspend) {
    co_return co_await ForeignBool(completes, with, nursery);
  }
  co_return co_await Foreign(completes, with, nursery);
}

int AwaitForeignInSynchronousCode(Completes completes, With with,
                                  Nursery& nursery) {
  if (completes == Completes::kFalseFromSuspend) {
    return Await(ForeignBool(completes, with, nursery));
  }
  return Await(Foreign(completes, with, nursery));
}

// Natively, in synchronous code, and in a coroutine that synchronous code
// awaits.
constexpr int kWaysToAwait = 3;
Co<int> AwaitIn(int way, Completes completes, With with, Nursery& nursery) {
  switch (way) {
    case 0:
      co_return co_await AwaitForeign(completes, with, nursery);
    case 1:
      co_return co_await WithPortalRunSync([&] {
        return AwaitForeignInSynchronousCode(completes, with, nursery);
      });
    default:
      co_return co_await WithPortalRunSync(
          [&] { return Await(AwaitForeign(completes, with, nursery)); });
  }
}

TEST(ResultsTest, R03_AValueArrivesHoweverTheAwaitableCompletes) {
  for (const Completes completes : kAllCompletions) {
    for (int way = 0; way < kWaysToAwait; ++way) {
      int result = 0;
      RunNurseryOk([&](Nursery& nursery) -> Co<void> {
        const std::thread::id thread = std::this_thread::get_id();
        result = co_await AwaitIn(way, completes, With::kValue, nursery);
        EXPECT_EQ(std::this_thread::get_id(), thread);
        EXPECT_TRUE((co_await Checkpoint()).ok());
      });
      EXPECT_EQ(result, 7) << "completion " << static_cast<int>(completes)
                           << ", way " << way;
    }
  }
}

#if defined(__cpp_exceptions)

TEST(ResultsTest, R03_AnExceptionArrivesHoweverTheAwaitableCompletes) {
  for (const Completes completes : kAllCompletions) {
    for (int way = 0; way < kWaysToAwait; ++way) {
      std::string what;
      RunNurseryOk([&](Nursery& nursery) -> Co<void> {
        try {
          (void)co_await AwaitIn(way, completes, With::kException, nursery);
        } catch (const std::runtime_error& error) {
          what = error.what();
        }
        EXPECT_EQ(std::current_exception(), nullptr);
        EXPECT_TRUE((co_await Checkpoint()).ok());
      });
      EXPECT_EQ(what, "thrown")
          << "completion " << static_cast<int>(completes) << ", way " << way;
    }
  }
}

// Awaitables that throw before an operation has begun.
struct ThrowsInReady {
  bool await_ready() const { throw std::runtime_error("ready"); }
  void await_suspend(std::coroutine_handle<>) const {}
  void await_resume() const {}
};
struct ThrowsInSuspend {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<>) const {
    throw std::runtime_error("suspend");
  }
  void await_resume() const {}
};
struct ThrowsInOperator {
  ThrowsInReady operator co_await() const {
    throw std::runtime_error("operator co_await");
  }
};
Co<void> ThrowsAtOnce() {
  throw std::runtime_error("coroutine");
  co_return;
}
Co<void> ThrowsAfterASuspension() {
  EXPECT_TRUE((co_await Checkpoint()).ok());
  throw std::runtime_error("after a suspension");
}

template <class Make>
std::vector<std::string> WhatArrives(Make make) {
  std::vector<std::string> log;
  const auto natively = [&]() -> Co<void> { co_await make(); };
  const auto in_synchronous_code = [&]() -> Co<void> {
    co_await WithPortalRunSync([&] { Await(make()); });
  };
  const auto note = [&](const std::function<Co<void>()>& await) {
    return [&log, await]() -> Co<void> {
      try {
        co_await await();
        log.push_back("nothing");
      } catch (const std::runtime_error& error) {
        log.push_back(error.what());
      }
      co_await CancelShieldedCheckpoint();
    };
  };
  greenback::Run(note(natively));
  greenback::Run(note(in_synchronous_code));
  return log;
}

TEST(ResultsTest, R03_WhatIsThrownAtOnceArrives) {
  EXPECT_THAT(WhatArrives([] { return ThrowsInReady(); }),
              ElementsAre("ready", "ready"));
  EXPECT_THAT(WhatArrives([] { return ThrowsInSuspend(); }),
              ElementsAre("suspend", "suspend"));
  EXPECT_THAT(WhatArrives([] { return ThrowsInOperator(); }),
              ElementsAre("operator co_await", "operator co_await"));
  EXPECT_THAT(WhatArrives(ThrowsAtOnce), ElementsAre("coroutine", "coroutine"));
}

TEST(ResultsTest, R03_WhatIsThrownAfterASuspensionArrives) {
  EXPECT_THAT(WhatArrives(ThrowsAfterASuspension),
              ElementsAre("after a suspension", "after a suspension"));
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
