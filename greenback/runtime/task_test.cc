#include "greenback/runtime/task.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---------------------------------------------------------------------- names

TEST(TaskTest, TheMainTaskIsMain) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(CurrentTask().name(), "main");
    co_return;
  });
}

TEST(TaskTest, ChildrenAreNumberedFromOneInEachRun) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(
        RunNursery([](Nursery& nursery) -> Co<void> {
          const auto child = [](std::string name) -> Co<void> {
            EXPECT_EQ(CurrentTask().name(), name);
            co_return;
          };
          EXPECT_EQ(nursery.StartSoon(child, "task 1").name(), "task 1");
          EXPECT_EQ(nursery.StartSoon(child, "task 2").name(), "task 2");
          co_return;
        }).ok());
  }
}

TEST(TaskTest, ANameCanBeSet) {
  greenback::Run([]() -> Co<void> {
    CurrentTask().set_name("import");
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(CurrentTask().name(), "import");
  });
}

TEST(TaskTest, ANameEndsWithANullCharacter) {
  greenback::Run([]() -> Co<void> {
    CurrentTask().set_name("import");
    const absl::string_view name = CurrentTask().name();
    EXPECT_EQ(name.data()[name.size()], '\0');
    co_return;
  });
}

TEST(TaskTest, MessagesNameTheTask) {
  greenback::Run([]() -> Co<void> {
    CurrentTask().set_name("import of x");
    absl::Status refused = TryAwait(Checkpoint());
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()),
                HasSubstr("task \"import of x\" has no portal"));
    co_return;
  });
}

// ----------------------------------------------------------------------- tree

TEST(TaskTest, TheRootIsATaskOfTheRuns) {
  greenback::Run([]() -> Co<void> {
    Nursery* const nursery = CurrentTask().parent_nursery();
    EXPECT_THAT(nursery->child_tasks(), ElementsAre(&CurrentTask()));
    const Task& root = nursery->parent_task();
    EXPECT_EQ(root.name(), "init");
    EXPECT_EQ(root.parent_nursery(), nullptr);
    // That of the system tasks is around it.
    EXPECT_EQ(root.child_nurseries().size(), 2u);
    EXPECT_EQ(root.child_nurseries().back(), nursery);
    co_return;
  });
}

TEST(TaskTest, NurseriesAreListedFromTheOutermostIn) {
  RunNurseryOk([](Nursery& outer) -> Co<absl::Status> {
    EXPECT_THAT(CurrentTask().child_nurseries(), ElementsAre(&outer));
    co_return co_await OpenNursery([&](Nursery& inner) -> Co<void> {
      EXPECT_THAT(CurrentTask().child_nurseries(), ElementsAre(&outer, &inner));
      outer.StartSoon([]() -> Co<void> {
        EXPECT_THAT(CurrentTask().child_nurseries(), IsEmpty());
        co_return;
      });
      co_return;
    });
  });
}

TEST(TaskTest, ChildrenAreListedInOrderOfSpawningUntilTheyEnd) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    std::vector<Task*> children;
    for (int steps = 3; steps != 0; --steps) {
      children.push_back(&nursery.StartSoon([steps]() -> Co<void> {
        for (int i = 1; i < steps; ++i) (void)co_await Checkpoint();
      }));
    }
    while (!children.empty()) {
      EXPECT_EQ(nursery.child_tasks(), children);
      EXPECT_EQ(nursery.child_count(), children.size());
      (void)co_await Checkpoint();
      children.pop_back();
    }
    EXPECT_THAT(nursery.child_tasks(), IsEmpty());
  });
}

TEST(TaskTest, AChildKnowsItsNursery) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    EXPECT_EQ(&nursery.parent_task(), &CurrentTask());
    nursery.StartSoon([&nursery]() -> Co<void> {
      EXPECT_EQ(CurrentTask().parent_nursery(), &nursery);
      EXPECT_NE(&CurrentTask(), &nursery.parent_task());
      co_return;
    });
    co_return;
  });
}

TEST(TaskTest, StartSoonReturnsTheTask) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task* seen = nullptr;
    const Task& child = nursery.StartSoon([&seen]() -> Co<absl::Status> {
      seen = &CurrentTask();
      co_return co_await Checkpoint();
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(seen, &child);
  });
}

TEST(TaskTest, EachIsTheCurrentOneInItsOwnSteps) {
  std::vector<bool> same;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      nursery.StartSoon([&same]() -> Co<void> {
        Task* const self = &CurrentTask();
        EXPECT_TRUE((co_await EnsurePortal()).ok());
        same.push_back(&CurrentTask() == self);
        EXPECT_TRUE(Await(Checkpoint()).ok());
        same.push_back(&CurrentTask() == self);
      });
    }
    co_return;
  });
  EXPECT_THAT(same, ElementsAre(true, true, true, true, true, true));
}

// -------------------------------------------------------------- CurrentTask()

#if defined(__cpp_exceptions)

std::string WhatCurrentTaskThrows() {
  try {
    CurrentTask();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(TaskTest, OutsideARunIsAnError) {
  EXPECT_THAT(WhatCurrentTaskThrows(),
              HasSubstr("greenback::CurrentTask(): no task of a run"));
  EXPECT_THAT(WhatCurrentTaskThrows(), HasSubstr("greenback::Run()"));
}

TEST(TaskTest, AfterARunIsAnError) {
  greenback::Run([]() -> Co<void> { co_return; });
  EXPECT_THAT(WhatCurrentTaskThrows(), HasSubstr("no task of a run"));
}

TEST(TaskTest, ACancelScopeOutsideARunIsAnError) {
  EXPECT_THROW(CancelScope scope, std::logic_error);
}

#else

TEST(TaskDeathTest, OutsideARunIsAnError) {
  EXPECT_DEATH(CurrentTask(), "greenback::CurrentTask\\(\\): no task of a run");
}

#endif  // defined(__cpp_exceptions)

// -------------------------------------------------------------------- portals

TEST(TaskTest, APortalBestowedOnItselfIsUsableAfterACheckpoint) {
  greenback::Run([]() -> Co<void> {
    BestowPortal(CurrentTask());
    EXPECT_FALSE(HasPortal());
    EXPECT_FALSE(HasPortal(CurrentTask()));
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_TRUE(HasPortal());
    EXPECT_TRUE(Await(Checkpoint()).ok());
  });
}

TEST(TaskTest, APortalBestowedOnAnotherIsUsableAtOnce) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    Task& child = nursery.StartSoon([]() -> Co<void> {
      EXPECT_TRUE(HasPortal());
      EXPECT_TRUE(Await(Checkpoint()).ok());
      co_return;
    });
    EXPECT_FALSE(HasPortal(child));
    BestowPortal(child);
    EXPECT_TRUE(HasPortal(child));
    EXPECT_FALSE(HasPortal());
    co_return;
  });
}

TEST(TaskTest, APortalMayBeBestowedOnItselfInTheLastStep) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([]() -> Co<void> {
      BestowPortal(CurrentTask());
      co_return;
    });
    co_return;
  });
  greenback::Run([]() -> Co<void> {
    BestowPortal(CurrentTask());
    co_return;
  });
}

TEST(TaskTest, ChildrenInheritNoPortal) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    nursery.StartSoon([]() -> Co<void> {
      EXPECT_FALSE(HasPortal());
      co_return;
    });
  });
}

// ---------------------------------------------------------------- end of life

// Notes what its destructor can see of its task.
struct SeesItsTask {
  explicit SeesItsTask(std::vector<std::string>& log) : log(&log) {}
  SeesItsTask(SeesItsTask&& other) noexcept
      : log(std::exchange(other.log, nullptr)) {}
  ~SeesItsTask() {
    if (log == nullptr) return;
    log->push_back(HasPortal() ? "portal" : "no portal");
  }
  std::vector<std::string>* log;
};

TEST(TaskTest, WhatItsFunctionOwnsMayUseTheTaskWhenDestroyed) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([owned = SeesItsTask(log)]() -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
    });
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("portal"));
}

TEST(TaskTest, ItsArgumentsMayUseTheTaskWhenDestroyed) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(
        [](const SeesItsTask&) -> Co<void> {
          EXPECT_TRUE((co_await EnsurePortal()).ok());
        },
        SeesItsTask(log));
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("portal"));
}

TEST(TaskTest, WhatMainOwnsMayUseTheTaskWhenDestroyed) {
  std::vector<std::string> log;
  greenback::Run(
      [owned = SeesItsTask(log)](const SeesItsTask&) -> Co<void> {
        EXPECT_TRUE((co_await EnsurePortal()).ok());
      },
      SeesItsTask(log));
  EXPECT_THAT(log, ElementsAre("portal", "portal"));
}

}  // namespace
}  // namespace greenback
