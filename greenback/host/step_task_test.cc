#include "greenback/host/step_task.h"

#include <sys/resource.h>
#include <unistd.h>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "greenback/await.h"
#include "greenback/context/stack_pool.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using internal::FiberWaiter;
using internal::PortalAccess;

// A task of a host that continues it at once.
class TestTask : public internal::StepTask {
 public:
  TestTask() : StepTask("the test") {
    PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
  }
  absl::string_view name() const override { return "task"; }

  using StepTask::CallAfterStep;
  using StepTask::set_has_parked;

 private:
  void ScheduleContinue(internal::Waiter& waiter) noexcept override {
    Continue(waiter);
  }
  void ScheduleCheckpoint(internal::Waiter&) override { std::terminate(); }
  absl::Status FinishCheckpoint() override { return absl::OkStatus(); }
  bool AddCancelHook(internal::CancelHook&) override { return false; }
};

// One of a host that continues it later.
class LaterTask final : public TestTask {
 public:
  // Null: nothing is to be continued.
  internal::Waiter* TakeFired() { return std::exchange(fired_, nullptr); }

 private:
  void ScheduleContinue(internal::Waiter& waiter) noexcept override {
    fired_ = &waiter;
  }

  internal::Waiter* fired_ = nullptr;
};

struct Gate {
  std::coroutine_handle<> waiter;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  void await_resume() const noexcept {}
};
struct StatusGate : Gate {
  absl::Status await_resume() const { return absl::OkStatus(); }
};

// Hands out the waiter itself.
struct Place : internal::ResumesAtHome {
  FiberWaiter* waiter = nullptr;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) { std::terminate(); }
  bool await_park(FiberWaiter& parking) {
    waiter = &parking;
    return true;
  }
  void await_resume() const noexcept {}
};

using Log = std::vector<std::string>;

TEST(StepTaskTest, AStepIsCalledOnAFiberAsTheTask) {
  TestTask task;
  bool on_fiber = false;
  task.Step([&] {
    const char here = 0;
    context::StackBounds bounds;
    on_fiber = context::FindStack(&here, bounds);
    EXPECT_EQ(internal::ThisThread().current_task, &task);
  });
  EXPECT_TRUE(on_fiber || context::sanitizer::kAddress);  // or a fake frame
  EXPECT_EQ(internal::ThisThread().current_task, nullptr);
  EXPECT_FALSE(task.is_parked());
}

TEST(StepTaskTest, AStepKnowsTheLocalsOfItsOwnStack) {
  using internal::StepTask;
  TestTask outer;
  TestTask inner;
  const char outside = 0;
  outer.Step([&] {
    const char outer_local = 0;
    EXPECT_TRUE(StepTask::IsOnThisStack(&outer_local));
    EXPECT_FALSE(StepTask::IsOnThisStack(&outside));
    inner.Step([&] {
      const char inner_local = 0;
      EXPECT_TRUE(StepTask::IsOnThisStack(&inner_local));
      EXPECT_FALSE(StepTask::IsOnThisStack(&outer_local));
    });
    EXPECT_TRUE(StepTask::IsOnThisStack(&outer_local));
  });
}

#if defined(__cpp_exceptions)
TEST(StepTaskTest, WhatAStepThrowsIsThrownWhereItWasBegunOrContinued) {
  TestTask task;
  EXPECT_THROW(task.Step([] { throw std::runtime_error("begun"); }),
               std::runtime_error);
  LaterTask later;
  Gate gate;
  later.Step([&] {
    Await(gate);
    throw std::runtime_error("continued");
  });
  gate.waiter.resume();
  internal::Waiter* const fired = later.TakeFired();
  ASSERT_NE(fired, nullptr);
  EXPECT_THROW(later.Continue(*fired), std::runtime_error);
  EXPECT_EQ(internal::ThisThread().current_task, nullptr);
}
#endif

TEST(StepTaskTest, AStepThatParksReturnsAndIsContinuedByTheHost) {
  LaterTask task;
  Gate gate;
  Log log;
  task.Step([&] {
    log.push_back("begins");
    Await(gate);
    log.push_back("continues");
  });
  EXPECT_TRUE(task.is_parked());
  EXPECT_EQ(task.TakeFired(), nullptr);
  gate.waiter.resume();
  EXPECT_EQ(log, Log({"begins"}));
  internal::Waiter* const fired = task.TakeFired();
  ASSERT_NE(fired, nullptr);
  task.Continue(*fired);
  EXPECT_EQ(log, Log({"begins", "continues"}));
  EXPECT_FALSE(task.is_parked());
}

TEST(StepTaskTest, AStepInAStepOfTheSameTaskRunsInPlace) {
  TestTask task;
  Log log;
  task.Step([&] {
    task.Step([&] { log.push_back("inner"); });
    log.push_back("outer");
  });
  EXPECT_EQ(log, Log({"inner", "outer"}));
}

TEST(StepTaskTest, WhatFiresInAStepOfItsTaskIsTheRestOfThatStep) {
  LaterTask task;
  Gate gate;
  Log log;
  task.Step([&] {
    Await(gate);
    log.push_back("rest");
  });
  task.Step([&] {
    gate.waiter.resume();
    log.push_back("step");
  });
  EXPECT_EQ(log, Log({"step", "rest"}));
  EXPECT_EQ(task.TakeFired(), nullptr);
}

// The host continues it at once, which it must not do inside the step.
TEST(StepTaskTest, R03_WhatFiresInAStepThatParksContinuesAfterThat) {
  TestTask task;
  Gate first;
  Gate second;
  Log log;
  task.Step([&] {
    Await(first);
    log.push_back("first");
  });
  task.Step([&] {
    first.waiter.resume();
    log.push_back("parks");
    Await(second);
    log.push_back("second");
  });
  EXPECT_EQ(log, Log({"parks", "first"}));
  second.waiter.resume();
  EXPECT_EQ(log, Log({"parks", "first", "second"}));
  EXPECT_FALSE(task.is_parked());
}

TEST(StepTaskTest, AStepNestedInAnAwaitRunsOnItsStackWhichThenWaitsAgain) {
  TestTask task;
  Place place;
  Log log;
  task.Step([&] {
    Await(place);
    log.push_back("after");
  });
  for (int i = 0; i < 2; ++i) {
    task.Step(
        [&] {
          EXPECT_TRUE(internal::StepTask::IsOnStackOf(*place.waiter));
          log.push_back("nested");
        },
        place.waiter);
    EXPECT_TRUE(task.is_parked());
  }
  PortalAccess::Wake(*place.waiter);
  EXPECT_EQ(log, Log({"nested", "nested", "after"}));
  EXPECT_FALSE(task.is_parked());
}

TEST(StepTaskTest, WhatIsToStartWhenParkedStartsThen) {
  struct Starts : Place {
    Log& log;
    bool starts;
    bool await_park(FiberWaiter& parking) {
      parking.start_argument = this;
      parking.start = [](void* self, FiberWaiter& parked) {
        Starts& starts = *static_cast<Starts*>(self);
        EXPECT_TRUE(parked.is_parked());
        starts.log.push_back("starts");
        starts.waiter = &parked;
        return starts.starts;
      };
      log.push_back("parks");
      return true;
    }
  };
  TestTask task;
  Log log;
  Starts starts{{}, log, true};
  task.Step([&] {
    Await(starts);
    log.push_back("after");
  });
  EXPECT_EQ(log, Log({"parks", "starts"}));
  task.Continue(*starts.waiter);  // it need not fire
  EXPECT_EQ(log, Log({"parks", "starts", "after"}));

  log.clear();
  Starts not_started{{}, log, false};
  task.Step([&] {
    Await(not_started);
    log.push_back("after");
  });
  EXPECT_EQ(log, Log({"parks", "starts", "after"}));
}

TEST(StepTaskTest, SetsTheFlagOfAnAwaitThatParks) {
  TestTask task;
  bool has_parked = false;
  Gate gate;
  task.set_has_parked(&has_parked);
  task.Step([&] {
    Await(std::suspend_never());
    EXPECT_FALSE(has_parked);
    Await(gate);
  });
  EXPECT_TRUE(has_parked);
  gate.waiter.resume();
}

TEST(StepTaskTest, CallsAfterTheStepWhatMayDeleteTheTask) {
  struct State {
    std::unique_ptr<TestTask> task = std::make_unique<TestTask>();
    Log log;
  } state;
  const auto after = [](void* argument) {
    State& state = *static_cast<State*>(argument);
    EXPECT_EQ(internal::ThisThread().current_task, nullptr);
    state.log.push_back("after");
    state.task.reset();
  };
  state.task->Step([&] {
    TestTask::CallAfterStep({after, &state});
    state.log.push_back("step");
  });
  EXPECT_EQ(state.log, Log({"step", "after"}));
  EXPECT_EQ(state.task, nullptr);
}

TEST(StepTaskTest, AbandonUnwindsWhatIsParkedInnermostFirst) {
  TestTask task;
  StatusGate first;
  StatusGate second;
  Log log;
  struct Unwound {
    Log& log;
    const char* what;
    ~Unwound() { log.push_back(what); }
  };
  absl::Status status;
  const auto wait = [&](StatusGate& gate, const char* what) {
    const Unwound unwound{log, what};
    status = Await(gate);  // Abandoned, with exceptions
    log.push_back("returned");
  };
  task.Step([&] { wait(first, "first"); });
  task.Step([&] { wait(second, "second"); });
  EXPECT_TRUE(task.is_parked());
  task.Abandon();
  EXPECT_FALSE(task.is_parked());
#if defined(__cpp_exceptions)
  EXPECT_EQ(log, Log({"second", "first"}));
#else
  EXPECT_EQ(log, Log({"returned", "second", "returned", "first"}));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
#endif
  // Nothing is awaited any more.
  StatusGate third;
  task.Step(
      [&] { EXPECT_EQ(TryAwait(third).code(), absl::StatusCode::kCancelled); });
  EXPECT_FALSE(task.is_parked());
}

// The limit on address space is not for the sanitizers.
TEST(StepTaskTest, WithoutAStackAStepRunsAndCannotPark) {
  if (context::sanitizer::kAddress || context::sanitizer::kThread) {
    GTEST_SKIP() << "a sanitizer wants address space";
  }
  absl::Status while_none;
  absl::Status once_there_are;
  // One that has no idle fiber.
  std::thread([&] {
    std::vector<context::Stack> stacks;
    stacks.reserve(2048);
    rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit limit = before;
    limit.rlim_cur = pages * static_cast<size_t>(getpagesize()) + (8 << 20);
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (;;) {
      context::StackOrError made = context::StackPool::Default().Acquire();
      if (!made.stack) break;
      stacks.push_back(std::move(made.stack));
    }
    TestTask task;
    Gate gate;
    task.Step([&] {
      EXPECT_EQ(internal::ThisThread().current_task, &task);
      while_none = TryAwait(gate);
      setrlimit(RLIMIT_AS, &before);
      stacks.clear();
      once_there_are = TryAwait(gate);
    });
    EXPECT_EQ(gate.waiter, nullptr);
    // The next one has a stack.
    task.Step([&] { Await(gate); });
    EXPECT_TRUE(task.is_parked());
    gate.waiter.resume();
  }).join();
  EXPECT_EQ(while_none.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(once_there_are.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(std::string(once_there_are.message()),
                                "when this step of task \"task\" began"))
      << once_there_are;
}

// ---------------------------------------------------------------- park hooks

class LoggingHook final : public internal::ParkHook {
 public:
  LoggingHook(const char* name, PortalTask& task, Log& log)
      : name_(name), log_(log) {
    PortalAccess::AddParkHook(task, *this);
  }

 private:
  void Leaves() noexcept override { log_.push_back("-" + name_); }
  void Returns() noexcept override { log_.push_back("+" + name_); }

  const std::string name_;
  Log& log_;
};

TEST(ParkHookTest, IsNotifiedWhenTheFramesLeaveAndReturn) {
  TestTask task;
  Gate gate;
  Log log;
  task.Step([&] {
    LoggingHook first("first", task, log);
    LoggingHook second("second", task, log);
    Await(std::suspend_never());  // leaves nothing
    EXPECT_TRUE(log.empty());
    Await(gate);
    log.push_back("awaited");
    second.LeaveList();
    Await(gate);
    first.LeaveList();
    Await(gate);
  });
  EXPECT_EQ(log, Log({"-second", "-first"}));
  gate.waiter.resume();
  EXPECT_EQ(log, Log({"-second", "-first", "+first", "+second", "awaited",
                      "-first"}));
  log.clear();
  gate.waiter.resume();
  EXPECT_EQ(log, Log({"+first"}));
  gate.waiter.resume();
  EXPECT_EQ(log, Log({"+first"}));
  EXPECT_FALSE(task.is_parked());
}

// What is called on the waiting stack is the task's, too.
TEST(ParkHookTest, ReturnsForANestedCall) {
  TestTask task;
  Place place;
  Log log;
  task.Step([&] {
    LoggingHook hook("hook", task, log);
    Await(place);
    hook.LeaveList();
  });
  task.Step([&] { log.push_back("below"); }, place.waiter);
  EXPECT_EQ(log, Log({"-hook", "+hook", "below", "-hook"}));
  PortalAccess::Wake(*place.waiter);
  EXPECT_EQ(log.back(), "+hook");
}

// A hook may outlive its task, which then forgets it.
TEST(ParkHookTest, MayOutliveItsTask) {
  Log log;
  auto task = std::make_unique<TestTask>();
  LoggingHook hook("hook", *task, log);
  task.reset();
  hook.LeaveList();
  EXPECT_TRUE(log.empty());
}

// What UBSan reports when a member function of the task is called after that.
TEST(StepTaskTest, R30_AStepMayDeleteItsTask) {
  auto task = std::make_unique<TestTask>();
  TestTask& running = *task;
  running.Step([&] { task.reset(); });
  EXPECT_EQ(task, nullptr);
  EXPECT_EQ(internal::ThisThread().current_task, nullptr);
}

TEST(StepTaskTest, R30_AStepThatHasParkedMayDeleteItsTask) {
  auto task = std::make_unique<TestTask>();
  Gate gate;
  task->Step([&] {
    Await(gate);
    task.reset();
  });
  EXPECT_TRUE(task->is_parked());
  gate.waiter.resume();
  EXPECT_EQ(task, nullptr);
  EXPECT_EQ(internal::ThisThread().current_task, nullptr);
}

// Inside another task's step, where it is resumed at once.
TEST(StepTaskTest, R30_AStepInsideAnotherMayDeleteItsTask) {
  auto outer = std::make_unique<TestTask>();
  auto inner = std::make_unique<TestTask>();
  Gate gate;
  inner->Step([&] {
    Await(gate);
    inner.reset();
  });
  TestTask& running = *outer;
  running.Step([&] {
    gate.waiter.resume();
    EXPECT_EQ(inner, nullptr);
    EXPECT_EQ(internal::ThisThread().current_task, &running);
    outer.reset();
  });
  EXPECT_EQ(outer, nullptr);
}

// What fires in its own task's step is the rest of that step, or is scheduled
// when the step parks once more; the task is known by what has fired.
TEST(StepTaskTest, R30_WhatFiresInAStepMayDeleteTheTask) {
  auto task = std::make_unique<TestTask>();
  Gate gate;
  Gate end;
  task->Step([&] {
    Await(gate);
    Await(end);
    task.reset();
  });
  TestTask& running = *task;
  running.Step([&] { gate.waiter.resume(); });
  ASSERT_NE(task, nullptr);
  running.Step([&] { end.waiter.resume(); });
  EXPECT_EQ(task, nullptr);
}

TEST(StepTaskTest, KnowsWhatRunsOnThisThread) {
  TestTask outer;
  TestTask inner;
  Gate gate;
  EXPECT_FALSE(outer.IsRunningHere());
  outer.Step([&] {
    EXPECT_TRUE(outer.IsRunningHere());
    EXPECT_FALSE(inner.IsRunningHere());
    inner.Step([&] {
      EXPECT_TRUE(outer.IsRunningHere());
      EXPECT_TRUE(inner.IsRunningHere());
      Await(gate);
    });
    EXPECT_FALSE(inner.IsRunningHere());
  });
  EXPECT_FALSE(outer.IsRunningHere());
  gate.waiter.resume();
  EXPECT_FALSE(inner.is_parked());
}

}  // namespace
}  // namespace greenback
