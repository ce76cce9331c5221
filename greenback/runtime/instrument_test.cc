#include "greenback/runtime/instrument.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <latch>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/system_task.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using internal::Loop;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Log = std::vector<std::string>;

constexpr std::array<std::string_view, 9> kHooks = {
    "before_run",     "after_run",        "task_spawned",
    "task_scheduled", "before_task_step", "after_task_step",
    "task_exited",    "before_io_wait",   "after_io_wait"};

// Hands every hook to one function, with the task that it is about, if any.
class EachHook : public Instrument {
 public:
  using Fn = std::function<void(std::string_view hook, Task* task)>;
  explicit EachHook(Fn fn = nullptr) : fn_(std::move(fn)) {}

  void before_run() override { Call("before_run", nullptr); }
  void after_run() override { Call("after_run", nullptr); }
  void task_spawned(Task& task) override { Call("task_spawned", &task); }
  void task_scheduled(Task& task) override { Call("task_scheduled", &task); }
  void before_task_step(Task& task) override {
    Call("before_task_step", &task);
  }
  void after_task_step(Task& task) override { Call("after_task_step", &task); }
  void task_exited(Task& task) override { Call("task_exited", &task); }
  void before_io_wait(absl::Duration timeout) override {
    timeouts.push_back(timeout);
    Call("before_io_wait", nullptr);
  }
  void after_io_wait(absl::Duration timeout) override {
    timeouts.push_back(timeout);
    Call("after_io_wait", nullptr);
  }

  std::map<std::string, int, std::less<>> counts;
  std::vector<absl::Duration> timeouts;

 private:
  void Call(std::string_view hook, Task* task) {
    ++counts[std::string(hook)];
    if (fn_) fn_(hook, task);
  }

  const Fn fn_;
};

// Writes a line for each call.
class Recorder final : public EachHook {
 public:
  explicit Recorder(Log& log, std::string prefix = "")
      : EachHook([&log, prefix = std::move(prefix)](std::string_view hook,
                                                    Task* task) {
          log.push_back(absl::StrCat(prefix, std::string(hook)));
          if (task != nullptr) absl::StrAppend(&log.back(), " ", task->name());
        }) {}
};

// Logs what the running task does while this object exists.
class Recording {
 public:
  explicit Recording(Log& log) : recorder_(log) { AddInstrument(recorder_); }
  ~Recording() { RemoveInstrument(recorder_); }

 private:
  Recorder recorder_;
};

RunOptions With(std::vector<Instrument*> instruments) {
  RunOptions options;
  options.instruments = std::move(instruments);
  return options;
}

// A program in which every hook is called.
void RunAProgram(const RunOptions& with) {
  RunOptions options = with;
  MockClock clock;
  options.clock = &clock;
  RunNurseryOk(options, [](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    nursery.StartSoon([] { return Checkpoint(); });
    SpawnSystemTask([]() -> Co<void> { (void)co_await SleepForever(); });
    EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    EXPECT_TRUE(Await(Checkpoint()).ok());
  });
}

// --------------------------------------------------------- what hooks receive

TEST(InstrumentTest, T10_AllHooksAreOptional) {
  Instrument none;
  RunAProgram(With({&none}));
  greenback::Run([&]() -> Co<void> {
    AddInstrument(none);
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE(RemoveInstrument(none));
  });
}

TEST(InstrumentTest, T10_AllHooksAreCalled) {
  EachHook all;
  RunAProgram(With({&all}));
  for (const std::string_view hook : kHooks) {
    EXPECT_GT(all.counts[std::string(hook)], 0) << hook;
  }
  EXPECT_EQ(all.counts["before_run"], 1);
  EXPECT_EQ(all.counts["after_run"], 1);
  // init, main, a child and a system task.
  EXPECT_EQ(all.counts["task_spawned"], 4);
  EXPECT_EQ(all.counts["task_exited"], 4);
  EXPECT_EQ(all.counts["before_task_step"], all.counts["after_task_step"]);
  EXPECT_EQ(all.counts["before_task_step"], all.counts["task_scheduled"]);
  EXPECT_EQ(all.counts["before_io_wait"], all.counts["after_io_wait"]);
}

TEST(InstrumentTest, T10_TheSmallestRunIsObservedFromBeginningToEnd) {
  Log log;
  Recorder recorder(log);
  greenback::Run(With({&recorder}), []() -> Co<void> { co_return; });
  EXPECT_THAT(log, ElementsAreArray({
                       "before_run",
                       "task_spawned init",
                       "task_scheduled init",
                       "before_task_step init",
                       "task_spawned main",
                       "task_scheduled main",
                       "after_task_step init",
                       "before_task_step main",
                       "task_exited main",
                       "after_task_step main",
                       // Leaves the main task's nursery, then that of the
                       // system tasks.
                       "task_scheduled init",
                       "before_task_step init",
                       "task_scheduled init",
                       "after_task_step init",
                       "before_task_step init",
                       "task_exited init",
                       "after_task_step init",
                       "after_run",
                   }));
}

TEST(InstrumentTest, T10_SystemTasksAreObserved) {
  Log log;
  Recorder recorder(log);
  greenback::Run(With({&recorder}), []() -> Co<void> {
    SpawnSystemTask([]() -> Co<void> { co_return; }).set_name("server");
    co_return;
  });
  EXPECT_THAT(log, ::testing::IsSupersetOf({
                       std::string("task_spawned task 1"),
                       std::string("before_task_step server"),
                       std::string("task_exited server"),
                       std::string("after_task_step server"),
                   }));
  EXPECT_EQ(log.back(), "after_run");
}

TEST(InstrumentTest, T10_AChildIsObservedFromItsSpawningToItsEnd) {
  Log log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Recording recording(log);
    nursery.StartSoon([] { return Checkpoint(); });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_THAT(log, ElementsAreArray({
                       "task_spawned task 1",
                       "task_scheduled task 1",
                       "task_scheduled main",
                       "after_task_step main",
                       "before_task_step task 1",
                       "task_scheduled task 1",
                       "after_task_step task 1",
                       "before_task_step main",
                       "task_scheduled main",
                       "after_task_step main",
                       "before_task_step task 1",
                       "task_exited task 1",
                       "after_task_step task 1",
                       "before_task_step main",
                   }));
}

TEST(InstrumentTest, T10_ASpawnedTaskIsInItsNurseryAndHasNotRun) {
  bool ran = false;
  int spawned = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EachHook hook([&](std::string_view name, Task* task) {
      if (name != "task_spawned") return;
      ++spawned;
      EXPECT_FALSE(ran);
      EXPECT_EQ(task->parent_nursery(), &nursery);
      EXPECT_THAT(nursery.child_tasks(), ElementsAre(task));
      EXPECT_EQ(nursery.child_count(), 1u);
    });
    AddInstrument(hook);
    nursery.StartSoon([&ran]() -> Co<void> {
      ran = true;
      co_return;
    });
    EXPECT_TRUE(RemoveInstrument(hook));
    co_return;
  });
  EXPECT_TRUE(ran);
  EXPECT_EQ(spawned, 1);
}

TEST(InstrumentTest, T10_AnExitedTaskIsStillThere) {
  int exited = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EachHook hook([&](std::string_view name, Task* task) {
      if (name != "task_exited") return;
      ++exited;
      EXPECT_EQ(task->name(), "worker");
      EXPECT_EQ(task->parent_nursery(), &nursery);
      EXPECT_THAT(nursery.child_tasks(), ElementsAre(task));
      // What it owned has been destroyed.
      EXPECT_EQ(Counted::live(), 0);
    });
    AddInstrument(hook);
    nursery
        .StartSoon([]() -> Co<absl::Status> {
          Counted local;
          co_return co_await Checkpoint();
        })
        .set_name("worker");
    while (nursery.child_count() != 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_TRUE(RemoveInstrument(hook));
  });
  EXPECT_EQ(exited, 1);
}

TEST(InstrumentTest, T10_ACancelledTaskIsScheduledOnce) {
  Log log;
  EXPECT_EQ(RunNursery([&](Nursery& nursery) -> Co<void> {
              nursery.StartSoon([] { return SleepForever(); });
              EXPECT_TRUE((co_await Checkpoint()).ok());
              Recording recording(log);
              nursery.cancel_scope().Cancel();
              nursery.cancel_scope().Cancel();
              EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
            }),
            absl::OkStatus());
  EXPECT_THAT(log,
              ElementsAre("task_scheduled task 1", "task_scheduled main",
                          "after_task_step main", "before_task_step task 1",
                          "task_exited task 1", "after_task_step task 1",
                          "before_task_step main"));
}

// ---------------------------------------------------------------------- steps

TEST(InstrumentTest, T10_ParkingEndsAStepAndResumingBeginsOne) {
  Log log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Event event;
    nursery.StartSoon([&event]() -> Co<void> {
      event.Set();
      co_return;
    });
    Recording recording(log);
    const uint64_t switches = Loop::Current()->switch_count();
    EXPECT_TRUE(Await(event.Wait()).ok());
    EXPECT_EQ(Loop::Current()->switch_count(), switches + 2);
  });
  EXPECT_THAT(log,
              ElementsAre("after_task_step main", "before_task_step task 1",
                          "task_scheduled main", "task_exited task 1",
                          "after_task_step task 1", "before_task_step main"));
}

TEST(InstrumentTest, T10_ACheckpointAloneInSynchronousCodeIsTwoStepsToo) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Recording recording(log);
    const uint64_t switches = Loop::Current()->switch_count();
    EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_EQ(Loop::Current()->switch_count(), switches);
  });
  EXPECT_THAT(log, ElementsAre("task_scheduled main", "after_task_step main",
                               "before_task_step main"));
}

TEST(InstrumentTest, T10_AnAwaitThatDoesNotSuspendIsNoStep) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Recording recording(log);
    const auto ready = []() -> Co<int> { co_return 1; };
    EXPECT_EQ(Await(ready()), 1);
    Signal signal;
    signal.Fire(2);
    EXPECT_EQ(Await(signal), 2);
    co_await WithPortalRunSync([] {});
    EXPECT_EQ(co_await ready(), 1);
  });
  EXPECT_THAT(log, IsEmpty());
}

TEST(InstrumentTest, T10_TwoParksOfOneTaskAreTwoSteps) {
  Log log;
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  greenback::Run(options, [&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Recording recording(log);
    EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
  });
  const Log one_sleep = {"after_task_step main", "before_io_wait",
                         "after_io_wait", "task_scheduled main",
                         "before_task_step main"};
  Log both = one_sleep;
  both.insert(both.end(), one_sleep.begin(), one_sleep.end());
  EXPECT_EQ(log, both);
}

// A step in which its own task's operation completes continues after that wait.
TEST(InstrumentTest, T10_ACompletionInTheTasksOwnStepIsNoStep) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    Signal signal;
    const auto fire = [](Signal& signal) -> Detached {
      co_await CancelShieldedCheckpoint();
      signal.Fire(3);
    };
    Recording recording(log);
    fire(signal);
    EXPECT_EQ(Await(signal), 3);
  });
  EXPECT_THAT(log, ElementsAre("task_scheduled main", "after_task_step main",
                               "before_task_step main"));
}

// What a hook may see of a run's steps, checked as it happens.
class StepChecker {
 public:
  void Check(std::string_view name, Task* task) {
    SCOPED_TRACE(name);
    if (name == "before_run") {
      EXPECT_EQ(spawned, 0);
    } else if (name == "after_run") {
      EXPECT_THAT(live_, IsEmpty());
    } else if (name == "task_spawned") {
      ++spawned;
      EXPECT_TRUE(live_.try_emplace(task).second);
    } else if (name == "task_scheduled") {
      // No task is in the ready queue twice.
      EXPECT_EQ(live_[task].scheduled++, live_[task].begun);
    } else if (name == "before_task_step") {
      ++steps;
      EXPECT_FALSE(looks_at_io_);
      EXPECT_EQ(running, nullptr);
      running = task;
      EXPECT_EQ(++live_[task].begun, live_[task].scheduled);
    } else if (name == "after_task_step") {
      EXPECT_EQ(running, task);
      running = nullptr;
      if (live_[task].exited) live_.erase(task);
    } else if (name == "task_exited") {
      EXPECT_EQ(running, task);
      EXPECT_FALSE(std::exchange(live_[task].exited, true));
    } else {
      EXPECT_EQ(running, nullptr);
      EXPECT_EQ(looks_at_io_, name == "after_io_wait");
      looks_at_io_ = name == "before_io_wait";
    }
  }

  Task* running = nullptr;
  int spawned = 0;
  int steps = 0;

 private:
  struct Life {
    int scheduled = 0;
    int begun = 0;
    bool exited = false;
  };
  std::map<Task*, Life> live_;
  bool looks_at_io_ = false;
};

// Tasks that do anything that a task may do, at random.
class RandomProgram {
 public:
  explicit RandomProgram(unsigned seed) : random_(seed) {}

  Co<void> Run(Nursery& nursery, int depth) {
    if (Below(2) == 0) (void)co_await EnsurePortal();
    for (int i = 0; i < 12; ++i) {
      CancelScope scope(CurrentTime() + absl::Milliseconds(10 + Below(50)));
      scopes_.push_back(&scope);
      co_await Act(nursery, scope, depth);
      std::erase(scopes_, &scope);
    }
  }

 private:
  int Below(int count) {
    return std::uniform_int_distribution<int>(0, count - 1)(random_);
  }

  Co<void> Act(Nursery& nursery, CancelScope& scope, int depth) {
    const absl::Duration soon = absl::Milliseconds(Below(20));
    switch (Below(9)) {
      case 0:
        co_return co_await Wait([] { return Checkpoint(); });
      case 1:
        co_return co_await Wait([soon] { return Sleep(soon); });
      case 2:
        co_return co_await Wait([] { return SleepForever(); });
      case 3: {
        Signal signal;
        nursery.StartSoon([&signal]() -> Co<void> {
          signal.Fire();
          co_return;
        });
        co_return co_await Wait([&signal]() -> Signal& { return signal; });
      }
      case 4:
        scopes_[static_cast<size_t>(Below(static_cast<int>(scopes_.size())))]
            ->Cancel();
        co_return;
      case 5: {
        Event event;
        EXPECT_TRUE(CurrentRunToken().RunSoon([&event] { event.Set(); }).ok());
        CancelScope shielded;  // the callback refers to the event
        shielded.set_shield(true);
        co_return co_await Wait([&event] { return event.Wait(); });
      }
      case 6:
        co_return co_await Wait([&] {
          return OpenNursery([&scope, soon](Nursery& inner) -> Co<void> {
            inner.StartSoon([soon] { return Sleep(soon); });
            inner.StartSoon([&scope]() -> Co<void> {
              (void)co_await Checkpoint();
              scope.Cancel();
            });
            (void)co_await Checkpoint();
          });
        });
      case 7:
        for (int i = Below(100); i > 0; --i) {
          co_await Wait([] { return CancelShieldedCheckpoint(); });
        }
        co_return;
      case 8:
        if (depth == 3) co_return;
        nursery.StartSoon(&RandomProgram::Run, this, std::ref(nursery),
                          depth + 1);
        co_return;
    }
  }

  // Awaits the result of make(), natively or in synchronous code.
  template <class Make>
  Co<void> Wait(Make make) {
    if (HasPortal() && Below(2) == 0) {
      (void)Await(make());
    } else {
      (void)co_await make();
    }
  }

  std::mt19937 random_;
  std::vector<CancelScope*> scopes_;
};

TEST(InstrumentTest, T10_StepsAlternateInARandomProgram) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  StepChecker checker;
  EachHook hook(std::bind_front(&StepChecker::Check, &checker));
  MockClock clock;
  RunOptions options = With({&hook});
  options.clock = &clock;
  RandomProgram program(seed);
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 40; ++i) {
      nursery.StartSoon(&RandomProgram::Run, &program, std::ref(nursery), 0);
    }
    co_return;
  });
  EXPECT_EQ(checker.running, nullptr);
  EXPECT_GE(checker.spawned, 42);
  EXPECT_GT(checker.steps, checker.spawned);
}

// ------------------------------------------------------------------- I/O wait

TEST(InstrumentTest, T10_BeforeIoWaitReceivesHowLongItMayTake) {
  EachHook hook;
  MockClock clock;
  RunOptions options = With({&hook});
  options.clock = &clock;
  EXPECT_TRUE(
      greenback::Run(options, [] { return Sleep(absl::Hours(1)); }).ok());
  // The clock has jumped there: nothing to wait for.
  EXPECT_THAT(hook.timeouts,
              ElementsAre(absl::ZeroDuration(), absl::ZeroDuration()));
}

TEST(InstrumentTest, T10_AnOverdueDeadlineLeavesNoTimeForIoWait) {
  // Each call takes a second of its time.
  class SlowClock final : public Clock {
   public:
    absl::Time Now() override { return now_ += absl::Seconds(1); }
    absl::Duration TimeToWait(absl::Time deadline) override {
      return deadline - Now();
    }

   private:
    absl::Time now_ = absl::UnixEpoch();
  };
  SlowClock clock;
  EachHook hook;
  RunOptions options = With({&hook});
  options.clock = &clock;
  const absl::Time deadline = absl::UnixEpoch() + absl::Milliseconds(2'500);
  EXPECT_TRUE(
      greenback::Run(options, [=] { return SleepUntil(deadline); }).ok());
  EXPECT_THAT(hook.timeouts,
              ElementsAre(absl::ZeroDuration(), absl::ZeroDuration()));
}

TEST(InstrumentTest, T10_AWaitForSomethingOfAnotherThreadIsInfinite) {
  std::latch waits(1);
  bool waiting = false;
  Log log;
  Event event;
  EachHook hook([&](std::string_view name, Task*) {
    if (std::exchange(waiting, name == "before_io_wait")) {
      EXPECT_EQ(name, "task_scheduled");
    }
    if (waiting && hook.timeouts.back() == absl::InfiniteDuration()) {
      waits.count_down();
    }
  });
  std::thread other;
  greenback::Run(With({&hook}), [&]() -> Co<void> {
    other = std::thread([&, token = CurrentRunToken()] {
      waits.wait();
      EXPECT_TRUE(token.RunSoon([&] { event.Set(); }).ok());
    });
    EXPECT_TRUE((co_await event.Wait()).ok());
  });
  other.join();
  EXPECT_THAT(hook.timeouts,
              ElementsAre(absl::InfiniteDuration(), absl::InfiniteDuration()));
}

// Also when a step ends in synchronous code, without a switch.
TEST(InstrumentTest, T10_NoIoWaitIsInsideAStep) {
  for (const bool synchronous : {false, true}) {
    StepChecker checker;
    EachHook hook(std::bind_front(&StepChecker::Check, &checker));
    greenback::Run(With({&hook}), [&]() -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      bool called = false;
      EXPECT_TRUE(CurrentRunToken().RunSoon([&] { called = true; }).ok());
      const uint64_t switches = Loop::Current()->switch_count();
      while (!called) {
        if (synchronous) {
          Await(CancelShieldedCheckpoint());
        } else {
          co_await CancelShieldedCheckpoint();
        }
      }
      EXPECT_EQ(Loop::Current()->switch_count(), switches);
    });
    EXPECT_EQ(hook.timeouts.size(), 2u);
  }
}

// -------------------------------------------------------- adding and removing

TEST(InstrumentTest, T10_InstrumentsAreNotifiedInOrderOfAdding) {
  Log log;
  Recorder first(log, "1 ");
  Recorder second(log, "2 ");
  Recorder third(log, "3 ");
  greenback::Run(With({&second, &first}), [&]() -> Co<void> {
    AddInstrument(third);
    log.clear();
    co_await CancelShieldedCheckpoint();
    EXPECT_THAT(
        log, ElementsAre("2 task_scheduled main", "1 task_scheduled main",
                         "3 task_scheduled main", "2 after_task_step main",
                         "1 after_task_step main", "3 after_task_step main",
                         "2 before_task_step main", "1 before_task_step main",
                         "3 before_task_step main"));
    // Last when it comes back.
    EXPECT_TRUE(RemoveInstrument(second));
    AddInstrument(second);
    log.clear();
  });
  EXPECT_THAT(log, ::testing::Contains("3 task_exited main"));
  EXPECT_EQ(log.back(), "2 after_run");
  EXPECT_EQ(log[log.size() - 3], "1 after_run");
}

TEST(InstrumentTest, T10_AddingTwiceDoesNothing) {
  Log log;
  Recorder first(log, "1 ");
  Recorder second(log, "2 ");
  greenback::Run(With({&first, &second, &first}), [&]() -> Co<void> {
    AddInstrument(first);
    log.clear();
    co_await CancelShieldedCheckpoint();
    EXPECT_THAT(
        log, ElementsAre("1 task_scheduled main", "2 task_scheduled main",
                         "1 after_task_step main", "2 after_task_step main",
                         "1 before_task_step main", "2 before_task_step main"));
    EXPECT_TRUE(RemoveInstrument(first));
    EXPECT_FALSE(RemoveInstrument(first));
  });
}

TEST(InstrumentTest, T10_RemoveSaysWhetherItWasThere) {
  EachHook hook;
  greenback::Run([&]() -> Co<void> {
    EXPECT_FALSE(RemoveInstrument(hook));
    AddInstrument(hook);
    EXPECT_TRUE(RemoveInstrument(hook));
    EXPECT_FALSE(RemoveInstrument(hook));
    AddInstrument(hook);
    EXPECT_TRUE(RemoveInstrument(hook));
    co_return;
  });
  EXPECT_THAT(hook.counts, IsEmpty());
}

TEST(InstrumentTest, T10_OneThatIsRemovedIsNotNotifiedAnyMore) {
  EachHook hook;
  greenback::Run([&]() -> Co<void> {
    AddInstrument(hook);
    co_await CancelShieldedCheckpoint();
    EXPECT_TRUE(RemoveInstrument(hook));
    const auto before = hook.counts;
    EXPECT_THAT(before, Not(IsEmpty()));
    co_await CancelShieldedCheckpoint();
    EXPECT_EQ(hook.counts, before);
  });
  EXPECT_EQ(hook.counts["after_run"], 0);
}

TEST(InstrumentTest, T10_OneAddedInTheRunIsNotifiedOfItsEndAndOfNoOtherRun) {
  EachHook hook;
  greenback::Run([&]() -> Co<void> {
    AddInstrument(hook);
    co_return;
  });
  EXPECT_EQ(hook.counts["before_run"], 0);
  EXPECT_EQ(hook.counts["after_run"], 1);
  EXPECT_EQ(hook.counts["task_exited"], 2);
  const auto before = hook.counts;
  greenback::Run([]() -> Co<void> { co_await CancelShieldedCheckpoint(); });
  EXPECT_EQ(hook.counts, before);
}

// Calls `act` at the first before_task_step of three instruments, in the one
// with the given index.
Log ActInAStep(size_t actor, EachHook& added,
               const std::function<void(std::array<EachHook*, 3>&)>& act) {
  Log log;
  std::array<EachHook*, 3> all;
  bool acted = false;
  const auto hook = [&](size_t index) {
    return [&, index](std::string_view name, Task*) {
      if (name != "before_task_step") return;
      log.push_back(std::to_string(index));
      if (index == actor && !std::exchange(acted, true)) act(all);
    };
  };
  EachHook first(hook(0));
  EachHook second(hook(1));
  EachHook third(hook(2));
  all = {&first, &second, &third};
  greenback::Run([&]() -> Co<void> {
    for (EachHook* const each : all) AddInstrument(*each);
    for (int i = 0; i < 2; ++i) {
      co_await CancelShieldedCheckpoint();
      log.push_back("|");
    }
    for (EachHook* const each : all) RemoveInstrument(*each);
    RemoveInstrument(added);
  });
  return log;
}

TEST(InstrumentTest, T10_OneAddedInAHookIsNotifiedFromTheNextCallOn) {
  for (const size_t actor : {0u, 1u, 2u}) {
    EachHook added;
    EXPECT_THAT(ActInAStep(actor, added, [&](auto&) { AddInstrument(added); }),
                ElementsAre("0", "1", "2", "|", "0", "1", "2", "|"));
    EXPECT_EQ(added.counts["before_task_step"], 1);
    EXPECT_EQ(added.counts["after_task_step"], 1);
    EXPECT_EQ(added.counts["task_scheduled"], 1);
  }
}

TEST(InstrumentTest, T10_OneRemovedInItsOwnHookIsNotNotifiedAnyMore) {
  EachHook added;
  EXPECT_THAT(
      ActInAStep(1, added,
                 [](auto& all) { EXPECT_TRUE(RemoveInstrument(*all[1])); }),
      ElementsAre("0", "1", "2", "|", "0", "2", "|"));
}

TEST(InstrumentTest, T10_AnEarlierOneRemovedInAHookIsNotNotifiedAnyMore) {
  EachHook added;
  EXPECT_THAT(
      ActInAStep(1, added,
                 [](auto& all) { EXPECT_TRUE(RemoveInstrument(*all[0])); }),
      ElementsAre("0", "1", "2", "|", "1", "2", "|"));
}

TEST(InstrumentTest, T10_ALaterOneRemovedInAHookIsNotNotifiedEvenThen) {
  EachHook added;
  EXPECT_THAT(
      ActInAStep(1, added,
                 [](auto& all) { EXPECT_TRUE(RemoveInstrument(*all[2])); }),
      ElementsAre("0", "1", "|", "0", "1", "|"));
}

TEST(InstrumentTest, T10_AllMayBeRemovedInAHook) {
  EachHook added;
  EXPECT_THAT(ActInAStep(0, added,
                         [](auto& all) {
                           for (EachHook* const each : all) {
                             EXPECT_TRUE(RemoveInstrument(*each));
                           }
                           EXPECT_FALSE(RemoveInstrument(*all[0]));
                         }),
              ElementsAre("0", "|", "|"));
}

TEST(InstrumentTest, T10_OneRemovedAndAddedInAHookIsTheLastFromTheNextCallOn) {
  EachHook added;
  EXPECT_THAT(ActInAStep(0, added,
                         [](auto& all) {
                           EXPECT_TRUE(RemoveInstrument(*all[0]));
                           AddInstrument(*all[0]);
                         }),
              ElementsAre("0", "1", "2", "|", "1", "2", "0", "|"));
}

TEST(InstrumentTest, T10_NobodyIsObservingWhenNoneIsThere) {
  EachHook first;
  EachHook second;
  greenback::Run([&]() -> Co<void> {
    const Loop& loop = *Loop::Current();
    EXPECT_EQ(loop.observer(), nullptr);
    AddInstrument(first);
    AddInstrument(second);
    EXPECT_NE(loop.observer(), nullptr);
    EXPECT_TRUE(RemoveInstrument(first));
    EXPECT_NE(loop.observer(), nullptr);
    EXPECT_TRUE(RemoveInstrument(second));
    EXPECT_EQ(loop.observer(), nullptr);
    EXPECT_FALSE(RemoveInstrument(second));

    EachHook leaving(
        [&](std::string_view, Task*) { RemoveInstrument(leaving); });
    AddInstrument(leaving);
    co_await CancelShieldedCheckpoint();
    EXPECT_EQ(loop.observer(), nullptr);

    EachHook hands_on([&](std::string_view, Task*) {
      if (RemoveInstrument(hands_on)) AddInstrument(first);
    });
    AddInstrument(hands_on);
    co_await CancelShieldedCheckpoint();
    EXPECT_NE(loop.observer(), nullptr);
    EXPECT_GT(first.counts["before_task_step"], 0);
  });
}

TEST(InstrumentTest, T10_ARunNotifiesNoInstrumentOfAnotherRun) {
  Log log;
  greenback::Run([&]() -> Co<void> {
    Recording recording(log);
    std::thread([] {
      greenback::Run([]() -> Co<void> {
        EXPECT_EQ(Loop::Current()->observer(), nullptr);
        co_await CancelShieldedCheckpoint();
      });
    }).join();
    co_return;
  });
  EXPECT_THAT(log, IsEmpty());
}

TEST(InstrumentTest, T10_OneMayBeAddedInALoopCallback) {
  EachHook hook;
  RunNurseryOk([&](Nursery&) -> Co<void> {
    Event added;
    EXPECT_TRUE(CurrentRunToken()
                    .RunSoon([&] {
                      AddInstrument(hook);
                      added.Set();
                    })
                    .ok());
    EXPECT_TRUE((co_await added.Wait()).ok());
    EXPECT_EQ(hook.counts["task_scheduled"], 1);
    EXPECT_EQ(hook.counts["before_task_step"], 1);
    EXPECT_TRUE(RemoveInstrument(hook));
  });
}

TEST(InstrumentDeathTest, T10_AddingOneOutsideARunIsAnError) {
  EachHook hook;
#if defined(__cpp_exceptions)
  std::string what;
  try {
    AddInstrument(hook);
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_THAT(what, HasSubstr("greenback::AddInstrument(): no task of a run"));
  EXPECT_THAT(what, HasSubstr("greenback::Run()"));
  EXPECT_THROW(RemoveInstrument(hook), std::logic_error);
#else
  EXPECT_DEATH(AddInstrument(hook), "greenback::AddInstrument\\(\\): no task");
  EXPECT_DEATH(RemoveInstrument(hook),
               "greenback::RemoveInstrument\\(\\): no task");
#endif
}

// ---------------------------------------------------------- what hooks may do

TEST(InstrumentTest, T10_NoHookButSpawnedMayAwait) {
  std::set<std::string, std::less<>> refused;
  EachHook hook([&](std::string_view name, Task* task) {
    SCOPED_TRACE(name);
    const bool in_a_step = HasPortal();
    if (name == "task_spawned") {
      EXPECT_EQ(in_a_step, task->name() == "task 1");
      return;
    }
    EXPECT_FALSE(in_a_step);
    const absl::Status awaited = TryAwait(Checkpoint());
    EXPECT_EQ(awaited.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(awaited.message()),
                HasSubstr("no task is running on this thread"));
    refused.emplace(name);
  });
  MockClock clock;
  RunOptions options = With({&hook});
  options.clock = &clock;
  RunNurseryOk(options, [](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    nursery.StartSoon([] { return SleepForever(); });
    EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    EXPECT_TRUE((co_await Checkpoint()).ok());
    // The step that schedules another is one with a portal.
    nursery.cancel_scope().Cancel();
    EXPECT_TRUE(HasPortal());
  });
  EXPECT_EQ(refused.size(), kHooks.size() - 1);
}

TEST(InstrumentTest, T10_SpawnedMayAwait) {
  Log log;
  EachHook first([&](std::string_view name, Task* task) {
    if (name != "task_spawned") return;
    log.push_back("before");
    EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_EQ(CurrentTask().name(), "main");
    EXPECT_EQ(task->parent_nursery(), CurrentTask().child_nurseries().back());
    log.push_back("after");
  });
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("another");
      co_return;
    });
    AddInstrument(first);
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("child");
      co_return;
    });
    EXPECT_TRUE(RemoveInstrument(first));
    log.push_back("spawned");
  });
  EXPECT_THAT(log,
              ElementsAre("before", "another", "after", "spawned", "child"));
}

TEST(InstrumentTest, T10_APortalBestowedInSpawnedIsThereFromTheFirstStep) {
  EachHook hook([](std::string_view name, Task* task) {
    if (name == "task_spawned") BestowPortal(*task);
  });
  int children = 0;
  RunNurseryOk(With({&hook}), [&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE(HasPortal());
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE(Await(Checkpoint()).ok());
      ++children;
      co_return;
    });
    EXPECT_TRUE(Await(Checkpoint()).ok());
    co_return;
  });
  EXPECT_EQ(children, 1);
}

TEST(InstrumentTest, T10_AHookMaySetEventsAndSpawn) {
  Event set_in_hook;
  bool child_ran = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    nursery.StartSoon(
        [&]() -> Co<void> { EXPECT_TRUE((co_await set_in_hook.Wait()).ok()); });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EachHook hook([&](std::string_view name, Task*) {
      if (name != "after_task_step" || set_in_hook.is_set()) return;
      set_in_hook.Set();
      nursery.StartSoon([&]() -> Co<void> {
        child_ran = true;
        co_return;
      });
    });
    AddInstrument(hook);
    // There would be no switch if the hook had not made others ready.
    EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_TRUE(set_in_hook.is_set());
    EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_TRUE(child_ran);
    EXPECT_TRUE(RemoveInstrument(hook));
  });
}

// ----------------------------------------------------------- those that throw

#if defined(__cpp_exceptions)

TEST(InstrumentTest, T10_OneThatThrowsIsRemovedAndTheOthersStay) {
  for (const std::string_view bad : kHooks) {
    SCOPED_TRACE(bad);
    int thrown = 0;
    bool called_again = false;
    EachHook before;
    EachHook throws([&](std::string_view name, Task*) {
      called_again = called_again || thrown != 0;
      if (name != bad) return;
      ++thrown;
      throw std::runtime_error("oh dear");
    });
    EachHook after;
    ::testing::internal::CaptureStderr();
    RunAProgram(With({&before, &throws, &after}));
    const std::string printed = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(thrown, 1);
    EXPECT_FALSE(called_again);
    EXPECT_EQ(printed, "greenback: an instrument threw in " + std::string(bad) +
                           "() and is removed: oh dear\n");
    EXPECT_EQ(before.counts["before_run"], 1);
    EXPECT_EQ(before.counts["after_run"], 1);
    EXPECT_EQ(before.counts["task_spawned"], 4);
    EXPECT_EQ(before.counts["task_exited"], 4);
    EXPECT_EQ(before.counts, after.counts);
  }
}

TEST(InstrumentTest, T10_TheRunsResultIsUnharmed) {
  EachHook throws([](std::string_view, Task*) { throw 1; });
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(greenback::Run(With({&throws}),
                           []() -> Co<int> {
                             EXPECT_TRUE((co_await Checkpoint()).ok());
                             co_return 5;
                           }),
            5);
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      HasSubstr("before_run() and is removed: an exception that is not a "
                "std::exception\n"));
}

TEST(InstrumentTest, T10_AfterOneHasThrownItCanBeAddedAgain) {
  bool bad = true;
  EachHook hook([&](std::string_view, Task*) {
    if (bad) throw std::runtime_error("not now");
  });
  ::testing::internal::CaptureStderr();
  greenback::Run([&]() -> Co<void> {
    AddInstrument(hook);
    co_await CancelShieldedCheckpoint();
    EXPECT_EQ(Loop::Current()->observer(), nullptr);
    EXPECT_FALSE(RemoveInstrument(hook));
    EXPECT_EQ(hook.counts.size(), 1u);
    bad = false;
    AddInstrument(hook);
    co_await CancelShieldedCheckpoint();
    EXPECT_EQ(hook.counts["before_task_step"], 1);
    EXPECT_TRUE(RemoveInstrument(hook));
  });
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("not now"));
}

TEST(InstrumentTest, T10_OneThatThrowsAfterItHasAddedItselfAgainIsRemoved) {
  EachHook hook([&](std::string_view, Task*) {
    RemoveInstrument(hook);
    AddInstrument(hook);
    throw std::runtime_error("anyhow");
  });
  ::testing::internal::CaptureStderr();
  greenback::Run([&]() -> Co<void> {
    AddInstrument(hook);
    co_await CancelShieldedCheckpoint();
    EXPECT_FALSE(RemoveInstrument(hook));
    EXPECT_EQ(Loop::Current()->observer(), nullptr);
  });
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("anyhow"));
  EXPECT_EQ(hook.counts.size(), 1u);
}

// What a task has caught is its own business, in a hook too.
TEST(InstrumentTest, T10_AThrowingHookLeavesTheTasksExceptionAlone) {
  EachHook throws([](std::string_view, Task*) { throw 1; });
  ::testing::internal::CaptureStderr();
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    try {
      throw std::runtime_error("the task's");
    } catch (...) {
      AddInstrument(throws);
      EXPECT_TRUE(Await(Checkpoint()).ok());
      EXPECT_THROW(throw, std::runtime_error);
    }
  });
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("task_scheduled()"));
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
