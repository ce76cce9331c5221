#include "greenback/host/step_task.h"

#include <coroutine>
#include <exception>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/await.h"
#include "greenback/host/portal_task.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

// A task of a host that continues it at once.
class TestTask final : public internal::StepTask {
 public:
  TestTask() : StepTask("the test") {
    internal::PortalAccess::Set(*this, internal::PortalAccess::Portal::kOpen);
  }
  absl::string_view name() const override { return "task"; }

 private:
  void ScheduleContinue(internal::Waiter& waiter) noexcept override {
    Continue(waiter);
  }
  void ScheduleCheckpoint(internal::Waiter&) override { std::terminate(); }
  absl::Status FinishCheckpoint() override { return absl::OkStatus(); }
  bool AddCancelHook(internal::CancelHook&) override { return false; }
};

struct Gate {
  std::coroutine_handle<> waiter;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  void await_resume() const noexcept {}
};

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
