#include "greenback/task_local.h"

#include <latch>
#include <memory>
#include <optional>
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
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_in_thread.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/system_task.h"
#include "greenback/runtime/task.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Calls `fn` in an empty context. Outside tasks, what a test sets would
// otherwise remain for the next test.
template <class Fn>
void InANewContext(Fn fn) {
  Context().Run(fn);
}

// ----------------------------------------------------------------- a variable

TEST(TaskLocalTest, HasADefault) {
  TaskLocal<std::string> text("default");
  TaskLocal<int> number;
  EXPECT_EQ(text.Get(), "default");
  EXPECT_FALSE(text.is_set());
  EXPECT_EQ(number.Get(), 0);
}

TEST(TaskLocalTest, SetAndResetChangeTheValue) {
  InANewContext([] {
    TaskLocal<std::string> text("default");
    text.Set("first");
    EXPECT_TRUE(text.is_set());
    EXPECT_EQ(text.Get(), "first");
    text.Set("second");
    EXPECT_EQ(text.Get(), "second");
    text.Reset();
    EXPECT_FALSE(text.is_set());
    EXPECT_EQ(text.Get(), "default");
    text.Reset();
    EXPECT_EQ(text.Get(), "default");
  });
}

TEST(TaskLocalTest, IsSetEvenToItsDefault) {
  InANewContext([] {
    TaskLocal<int> number(3);
    number.Set(3);
    EXPECT_TRUE(number.is_set());
  });
}

TEST(TaskLocalTest, VariablesDoNotMix) {
  InANewContext([] {
    std::vector<std::unique_ptr<TaskLocal<int>>> variables;
    for (int i = 0; i < 100; ++i) {
      variables.push_back(std::make_unique<TaskLocal<int>>(-1));
      if (i % 2 == 0) variables.back()->Set(i);
    }
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(variables[i]->Get(), i % 2 == 0 ? i : -1);
    }
  });
}

// A value stays at its address when other variables are set.
TEST(TaskLocalTest, AReferenceIsValidUntilTheVariableIsSetAgain) {
  InANewContext([] {
    TaskLocal<std::string> text("default");
    TaskLocal<int> other(0);
    text.Set("value");
    const std::string& value = text.Get();
    for (int i = 0; i < 100; ++i) other.Set(i);
    other.Reset();
    EXPECT_EQ(value, "value");
    EXPECT_EQ(&text.Get(), &value);
  });
}

TEST(TaskLocalTest, HoldsMoveOnlyValues) {
  InANewContext([] {
    TaskLocal<std::unique_ptr<int>> pointer;
    EXPECT_EQ(pointer.Get(), nullptr);
    pointer.Set(std::make_unique<int>(4));
    EXPECT_EQ(*pointer.Get(), 4);
    TaskLocal<Counted> counted{Counted(5)};
    counted.Set(Counted(6));
    EXPECT_EQ(counted.Get().value, 6);
    counted.Reset();
    EXPECT_EQ(counted.Get().value, 5);
  });
  EXPECT_EQ(Counted::live(), 0);
}

TEST(TaskLocalTest, DestroysAValueWithTheLastContextThatHasIt) {
  TaskLocal<std::shared_ptr<int>> variable;
  std::weak_ptr<int> value;
  InANewContext([&] {
    auto made = std::make_shared<int>(1);
    value = made;
    variable.Set(std::move(made));
    Context copy = Context::Current();
    variable.Reset();
    EXPECT_FALSE(value.expired());
    copy = Context();
    EXPECT_TRUE(value.expired());
  });
}

// The key of a variable that was destroyed is not used again.
TEST(TaskLocalTest, ANewVariableAtTheSameAddressIsNotSet) {
  InANewContext([] {
    std::optional<TaskLocal<int>> variable;
    variable.emplace(1);
    variable->Set(10);
    const void* const place = &*variable;
    variable.emplace(2);
    EXPECT_EQ(&*variable, place);
    EXPECT_FALSE(variable->is_set());
    EXPECT_EQ(variable->Get(), 2);
  });
}

// Sets `variable` when it is destroyed.
struct SetsAtItsEnd {
  explicit SetsAtItsEnd(TaskLocal<int>& variable) : variable(&variable) {}
  SetsAtItsEnd(SetsAtItsEnd&& other) noexcept
      : variable(std::exchange(other.variable, nullptr)) {}
  ~SetsAtItsEnd() {
    if (variable != nullptr) variable->Set(variable->Get() + 1);
  }
  TaskLocal<int>* variable;
};

TEST(TaskLocalTest, TheDestructorOfAValueMaySetVariables) {
  InANewContext([] {
    TaskLocal<int> ended(0);
    TaskLocal<std::optional<SetsAtItsEnd>> variable;
    variable.Set(SetsAtItsEnd(ended));
    EXPECT_EQ(ended.Get(), 0);
    variable.Set(SetsAtItsEnd(ended));
    EXPECT_EQ(ended.Get(), 1);
    variable.Reset();
    EXPECT_EQ(ended.Get(), 2);
    EXPECT_FALSE(variable.is_set());
  });
}

TEST(TaskLocalTest, TheDestructorOfAValueMaySetVariablesWhenItsThreadEnds) {
  TaskLocal<int> ended(0);
  TaskLocal<std::optional<SetsAtItsEnd>> variable;
  TaskLocal<std::shared_ptr<int>> other;
  const auto watched = std::make_shared<int>(1);
  std::thread([&] {
    other.Set(watched);
    variable.Set(SetsAtItsEnd(ended));
  }).join();
  EXPECT_EQ(watched.use_count(), 1);
  EXPECT_EQ(ended.Get(), 0);
}

TEST(TaskLocalTest, TheDestructorOfAValueMaySetVariablesWhenItsTaskEnds) {
  TaskLocal<int> ended(0);
  TaskLocal<std::optional<SetsAtItsEnd>> variable;
  const auto watched = std::make_shared<int>(1);
  TaskLocal<std::shared_ptr<int>> other;
  InANewContext([&] {
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        other.Set(watched);
        variable.Set(SetsAtItsEnd(ended));
        co_return;
      });
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(watched.use_count(), 1);
      EXPECT_EQ(ended.Get(), 0);
    });
  });
}

// ---------------------------------------------------------------------- tasks

TEST(TaskLocalTest, AChildBeginsWithWhatItsSpawnerHas) {
  TaskLocal<std::string> variable("default");
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("parent");
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(variable.Get(), "parent");
      co_return;
    });
    // What counts is the moment of spawning.
    variable.Set("later");
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(variable.Get(), "later");
      co_return;
    });
    co_return;
  });
}

TEST(TaskLocalTest, WhatAChildSetsIsItsOwn) {
  TaskLocal<std::string> variable("default");
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("parent");
    for (const char* name : {"first", "second"}) {
      nursery.StartSoon([&variable, name]() -> Co<void> {
        EXPECT_EQ(variable.Get(), "parent");
        variable.Set(name);
        EXPECT_TRUE((co_await Checkpoint()).ok());
        EXPECT_EQ(variable.Get(), name);
        variable.Reset();
        EXPECT_TRUE((co_await Checkpoint()).ok());
        EXPECT_EQ(variable.Get(), "default");
      });
    }
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "parent");
    }
  });
}

TEST(TaskLocalTest, WhatAParentSetsLaterIsItsOwn) {
  TaskLocal<std::string> variable("default");
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(variable.Get(), "default");
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    });
    variable.Set("parent");
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(variable.Get(), "parent");
  });
}

TEST(TaskLocalTest, ATaskInheritsFromItsSpawnerNotFromTheNurserysParent) {
  TaskLocal<std::string> variable("default");
  std::string seen;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("parent");
    nursery.StartSoon([&]() -> Co<void> {
      variable.Set("spawner");
      nursery.StartSoon([&]() -> Co<void> {
        seen = variable.Get();
        co_return;
      });
      co_return;
    });
    co_return;
  });
  EXPECT_EQ(seen, "spawner");
}

TEST(TaskLocalTest, ASystemTaskBeginsInTheContextOfRun) {
  TaskLocal<std::string> variable("default");
  std::string seen;
  InANewContext([&] {
    variable.Set("thread");
    greenback::Run([&]() -> Co<void> {
      variable.Set("main");
      SpawnSystemTask([&]() -> Co<void> {
        seen = variable.Get();
        co_return;
      });
      EXPECT_EQ(variable.Get(), "main");
      EXPECT_TRUE((co_await Checkpoint()).ok());
    });
  });
  EXPECT_EQ(seen, "thread");
}

TEST(TaskLocalTest, AThousandTasksEachHaveTheirOwnValue) {
  constexpr int kTasks = 1'000;
  TaskLocal<int> variable(-1);
  int right = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kTasks; ++i) {
      nursery.StartSoon([&, i]() -> Co<void> {
        variable.Set(i);
        EXPECT_TRUE((co_await EnsurePortal()).ok());
        EXPECT_TRUE(Await(Checkpoint()).ok());
        if (variable.Get() == i) ++right;
      });
    }
    co_return;
  });
  EXPECT_EQ(right, kTasks);
}

// -------------------------------------------------------------------- portals

TEST(TaskLocalTest, P14_SynchronousFramesShareTheContextOfTheirTask) {
  TaskLocal<std::string> variable("default");
  const auto awaited = [&]() -> Co<void> {
    EXPECT_EQ(variable.Get(), "synchronous");
    variable.Set("awaited");
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(variable.Get(), "awaited");
    variable.Set("awaited, after a checkpoint");
  };
  const auto synchronous = [&] {
    EXPECT_EQ(variable.Get(), "task");
    variable.Set("synchronous");
    Await(awaited());
    EXPECT_EQ(variable.Get(), "awaited, after a checkpoint");
    variable.Set("synchronous again");
  };
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    // Another task, which runs during each wait.
    nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < 5; ++i) {
        variable.Set("another task's");
        EXPECT_TRUE((co_await Checkpoint()).ok());
        EXPECT_EQ(variable.Get(), "another task's");
      }
    });
    variable.Set("task");
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_EQ(variable.Get(), "task");
    synchronous();
    EXPECT_EQ(variable.Get(), "synchronous again");
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(variable.Get(), "synchronous again");
  });
}

TEST(TaskLocalTest, P14_WithPortalRunSharesTheContext) {
  TaskLocal<int> variable(0);
  const auto increment = [&]() -> Co<void> {
    EXPECT_TRUE((co_await Checkpoint()).ok());
    variable.Set(variable.Get() + 1);
  };
  greenback::Run([&]() -> Co<void> {
    co_await WithPortalRun(increment);
    EXPECT_EQ(variable.Get(), 1);
    co_await WithPortalRunSync([&] {
      Await(increment());
      Await(WithPortalRunSync([&] { Await(increment()); }));
    });
    EXPECT_EQ(variable.Get(), 3);
    co_await increment();
    EXPECT_EQ(variable.Get(), 4);
  });
}

TEST(TaskLocalTest, P14_ANestedRunOfACopiedContextStaysPrivate) {
  TaskLocal<std::string> variable("default");
  greenback::Run([&]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    variable.Set("task");
    const auto awaited = [&]() -> Co<void> {
      EXPECT_EQ(variable.Get(), "copy");
      EXPECT_TRUE((co_await Checkpoint()).ok());
      variable.Set("awaited in the copy");
    };
    Context::Current().Run([&] {
      EXPECT_EQ(variable.Get(), "task");
      variable.Set("copy");
      Await(awaited());
      EXPECT_EQ(variable.Get(), "awaited in the copy");
    });
    EXPECT_EQ(variable.Get(), "task");
  });
}

TEST(TaskLocalTest, P12_BestowingSharesNoContext) {
  TaskLocal<std::string> variable("default");
  Event go;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("giver");
    Task& taker = nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(variable.Get(), "giver");  // inherited
      variable.Set("taker");
      EXPECT_TRUE((co_await go.Wait()).ok());
      EXPECT_TRUE(HasPortal());
      EXPECT_EQ(variable.Get(), "taker");
      EXPECT_TRUE(Await(Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "taker");
      variable.Set("taker, later");
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "taker, later");
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    BestowPortal(taker);
    EXPECT_EQ(variable.Get(), "giver");
    variable.Set("giver, later");
    go.Set();
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "giver, later");
    }
  });
}

TEST(TaskLocalTest, P12_BestowingFromSynchronousFramesSharesNoContext) {
  TaskLocal<std::string> variable("default");
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("task");
    co_await WithPortalRunSync([&] {
      variable.Set("synchronous");
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        EXPECT_EQ(variable.Get(), "synchronous");  // inherited
        variable.Set("child");
        EXPECT_TRUE(Await(Checkpoint()).ok());
        EXPECT_EQ(variable.Get(), "child");
        co_return;
      }));
      BestowPortal(CurrentTask());
      EXPECT_TRUE(Await(Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "synchronous");
    });
    EXPECT_EQ(variable.Get(), "synchronous");
  });
}

// -------------------------------------------------------------- outside tasks

TEST(TaskLocalTest, OutsideTasksEachThreadHasItsOwn) {
  TaskLocal<std::string> variable("default");
  InANewContext([&] {
    variable.Set("here");
    std::thread([&] {
      EXPECT_EQ(variable.Get(), "default");
      variable.Set("there");
      EXPECT_EQ(variable.Get(), "there");
    }).join();
    EXPECT_EQ(variable.Get(), "here");
  });
}

TEST(TaskLocalTest, TheMainTaskInheritsTheContextOfItsThread) {
  TaskLocal<std::string> variable("default");
  InANewContext([&] {
    variable.Set("thread");
    greenback::Run([&]() -> Co<void> {
      EXPECT_EQ(variable.Get(), "thread");
      variable.Set("main");
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(variable.Get(), "main");
    });
    EXPECT_EQ(variable.Get(), "thread");
  });
}

TEST(TaskLocalTest, CallbacksBetweenStepsSeeTheContextOfTheThread) {
  TaskLocal<std::string> variable("default");
  InANewContext([&] {
    variable.Set("thread");
    greenback::Run([&]() -> Co<void> {
      variable.Set("main");
      Event called;
      absl::Status posted = CurrentRunToken().RunSoon([&] {
        EXPECT_EQ(variable.Get(), "thread");
        called.Set();
      });
      EXPECT_TRUE(posted.ok()) << posted;
      EXPECT_TRUE((co_await called.Wait()).ok());
      EXPECT_EQ(variable.Get(), "main");
    });
  });
}

TEST(TaskLocalTest, AFunctionOnAnotherThreadRunsInACopy) {
  TaskLocal<std::string> variable("default");
  greenback::Run([&]() -> Co<void> {
    variable.Set("task");
    absl::StatusOr<std::string> seen = co_await RunInThread([&] {
      std::string before = variable.Get();
      variable.Set("thread");
      return before;
    });
    EXPECT_EQ(seen.value_or(""), "task");
    EXPECT_EQ(variable.Get(), "task");
  });
}

TEST(TaskLocalTest, TwoThreadsMayUseOneVariable) {
  constexpr int kRounds = 10'000;
  TaskLocal<int> variable(-1);
  TaskLocal<std::string> shared("default");
  shared.Set("of both");
  Context context = Context::Current();
  shared.Reset();
  std::latch both_run(2);
  int wrong[2] = {0, 0};
  const auto use = [&](int thread) {
    Context mine = context;
    mine.Run([&] {
      both_run.arrive_and_wait();
      for (int i = 0; i < kRounds; ++i) {
        variable.Set(2 * i + thread);
        Context::Current().Run([&] { variable.Reset(); });
        if (variable.Get() != 2 * i + thread) ++wrong[thread];
        if (shared.Get() != "of both") ++wrong[thread];
      }
    });
  };
  std::thread other(use, 1);
  use(0);
  other.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0));
}

TEST(TaskLocalTest, TwoRunsMayUseOneVariable) {
  constexpr int kRounds = 1'000;
  TaskLocal<int> variable(-1);
  std::latch both_run(2);
  int wrong[2] = {0, 0};
  const auto run = [&](int number) {
    greenback::Run([&]() -> Co<void> {
      both_run.arrive_and_wait();
      EXPECT_EQ(variable.Get(), -1);
      for (int i = 0; i < kRounds; ++i) {
        variable.Set(2 * i + number);
        EXPECT_TRUE((co_await Checkpoint()).ok());
        if (variable.Get() != 2 * i + number) ++wrong[number];
      }
    });
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0));
}

// -------------------------------------------------------------------- Context

TEST(ContextTest, IsEmptyAtFirst) {
  TaskLocal<int> variable(1);
  InANewContext([&] {
    variable.Set(2);
    Context().Run([&] {
      EXPECT_FALSE(variable.is_set());
      EXPECT_EQ(variable.Get(), 1);
    });
    EXPECT_EQ(variable.Get(), 2);
  });
}

TEST(ContextTest, RunReturnsWhatTheFunctionReturns) {
  int value = 5;
  Context context;
  EXPECT_EQ(context.Run([](int a, int b) { return a - b; }, 7, 4), 3);
  int& reference = context.Run([&]() -> int& { return value; });
  EXPECT_EQ(&reference, &value);
  static_assert(std::is_void_v<decltype(context.Run([] {}))>);
  const auto pointer =
      context.Run([](std::unique_ptr<int> given) { return given; },
                  std::make_unique<int>(6));
  EXPECT_EQ(*pointer, 6);
}

TEST(ContextTest, KeepsWhatIsSetInIt) {
  TaskLocal<int> variable(0);
  Context context;
  for (int i = 0; i < 3; ++i) {
    context.Run([&] { variable.Set(variable.Get() + 1); });
    EXPECT_FALSE(variable.is_set());
  }
  context.Run([&] { EXPECT_EQ(variable.Get(), 3); });
}

TEST(ContextTest, ACopySharesNothing) {
  TaskLocal<int> variable(0);
  Context first;
  first.Run([&] { variable.Set(1); });
  Context second = first;
  second.Run([&] { variable.Set(2); });
  first.Run([&] { EXPECT_EQ(variable.Get(), 1); });
  second.Run([&] { EXPECT_EQ(variable.Get(), 2); });
  first = second;
  first.Run([&] { EXPECT_EQ(variable.Get(), 2); });
}

TEST(ContextTest, RunsNest) {
  TaskLocal<std::string> variable("none");
  Context outer;
  Context inner;
  outer.Run([&] {
    variable.Set("outer");
    inner.Run([&] {
      EXPECT_EQ(variable.Get(), "none");
      variable.Set("inner");
      Context::Current().Run([&] { variable.Set("a copy of the inner"); });
      EXPECT_EQ(variable.Get(), "inner");
    });
    EXPECT_EQ(variable.Get(), "outer");
  });
  EXPECT_EQ(variable.Get(), "none");
  inner.Run([&] { EXPECT_EQ(variable.Get(), "inner"); });
}

TEST(ContextTest, ACopyMadeInsideItsRunHasTheValuesFromBefore) {
  TaskLocal<int> variable(0);
  Context context;
  context.Run([&] { variable.Set(1); });
  context.Run([&] {
    variable.Set(2);
    Context before = context;
    before.Run([&] { EXPECT_EQ(variable.Get(), 1); });
    Context::Current().Run([&] { EXPECT_EQ(variable.Get(), 2); });
  });
}

TEST(ContextTest, ChildrenInheritTheContextTheyAreSpawnedIn) {
  TaskLocal<std::string> variable("default");
  std::string seen;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Context context = Context::Current();
    context.Run([&] {
      variable.Set("context");
      nursery.StartSoon([&]() -> Co<void> {
        seen = variable.Get();
        variable.Set("child");
        co_return;
      });
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(variable.Get(), "default");
    context.Run([&] { EXPECT_EQ(variable.Get(), "context"); });
  });
  EXPECT_EQ(seen, "context");
}

TEST(ContextTest, TheFunctionMayAwaitWhileOthersRun) {
  TaskLocal<std::string> variable("default");
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    variable.Set("parent");
    for (const char* name : {"first", "second"}) {
      BestowPortal(nursery.StartSoon([&, name]() -> Co<void> {
        variable.Set(std::string(name) + "'s own");
        Context::Current().Run([&] {
          variable.Set(name);
          for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(Await(Checkpoint()).ok());
            log.push_back(variable.Get());
          }
        });
        EXPECT_EQ(variable.Get(), std::string(name) + "'s own");
        co_return;
      }));
    }
    while (nursery.child_count() > 0) {
      EXPECT_EQ(variable.Get(), "parent");
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
  });
  EXPECT_THAT(log, ElementsAre("first", "second", "first", "second", "first",
                               "second"));
}

#if defined(__cpp_exceptions)

TEST(ContextTest, AnExceptionPropagates) {
  TaskLocal<int> variable(0);
  Context context;
  try {
    context.Run([&] {
      variable.Set(1);
      throw std::runtime_error("out");
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "out");
  }
  EXPECT_FALSE(variable.is_set());
  // The context can be used again, and has kept what was set.
  context.Run([&] { EXPECT_EQ(variable.Get(), 1); });
}

TEST(ContextTest, RunInsideItselfIsAnError) {
  TaskLocal<int> variable(0);
  Context context;
  std::string what;
  context.Run([&] {
    variable.Set(1);
    try {
      context.Run([] { FAIL() << "was run"; });
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_EQ(variable.Get(), 1);
    variable.Set(2);
  });
  EXPECT_THAT(what, HasSubstr("greenback::Context::Run(): this context is in "
                              "use by a Run() already; run a copy"));
  context.Run([&] { EXPECT_EQ(variable.Get(), 2); });
}

TEST(ContextTest, RunByTwoTasksAtTheSameTimeIsAnError) {
  Context context;
  int refused = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 2; ++i) {
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        try {
          context.Run([] { EXPECT_TRUE(Await(Checkpoint()).ok()); });
        } catch (const std::logic_error&) {
          ++refused;
        }
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_EQ(refused, 1);
}

#else

TEST(ContextDeathTest, RunInsideItselfIsAnError) {
  Context context;
  EXPECT_DEATH(context.Run([&] { context.Run([] {}); }),
               "greenback::Context::Run\\(\\): this context is in use");
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
