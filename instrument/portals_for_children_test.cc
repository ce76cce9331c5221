#include "instrument/portals_for_children.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "gtest/gtest.h"
#include "instrument/internal/portal_trees.h"
#include "tests/support/elsewhere_task.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Logs whether the running task has a portal, and uses it if it has.
Co<void> Note(std::vector<std::string>& log, std::string name) {
  log.push_back(absl::StrCat(name, HasPortal() ? " yes" : " no"));
  if (HasPortal()) (void)Await(Checkpoint());
  co_return;
}

Co<void> Spawn(std::vector<std::string>& log, Nursery& nursery,
               std::string name) {
  nursery.StartSoon(Note, std::ref(log), name);
  co_return;
}

// Spawns a child and a grandchild in a nursery that it opens.
Co<void> SpawnTree(std::vector<std::string>& log) {
  (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    co_await Spawn(log, nursery, "child");
    nursery.StartSoon([&log]() -> Co<void> {
      (void)co_await OpenNursery([&log](Nursery& inner) -> Co<void> {
        co_await Spawn(log, inner, "grandchild");
      });
    });
  });
}

TEST(PortalsForChildrenTest, T07_ChildrenHavePortalsAndTheTaskHasNone) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    {
      PortalsForChildren portals;
      EXPECT_FALSE(HasPortal());
      co_await SpawnTree(log);
      EXPECT_FALSE(HasPortal());
    }
    co_await SpawnTree(log);
  });
  EXPECT_THAT(log, ElementsAre("child yes", "grandchild yes", "child no",
                               "grandchild no"));
}

TEST(PortalsForChildrenTest, T07_EnteringAndLeavingArePlainCalls) {
  greenback::Run([]() -> Co<void> {
    // Also in synchronous code, in a task that has a portal already.
    co_await WithPortalRunSync([] {
      AssertNoCheckpoints no_checkpoints;
      {
        PortalsForChildren portals;
      }
      EXPECT_TRUE(HasPortal());
    });
  });
}

TEST(PortalsForChildrenTest, T08_NurseriesThatWereOpenBeforeGetNoPortals) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    co_await Spawn(log, outer, "before");
    {
      PortalsForChildren portals;
      co_await Spawn(log, outer, "during");
      (void)co_await OpenNursery([&](Nursery& inner) -> Co<void> {
        // A task in the tree spawns in a nursery that is not.
        inner.StartSoon([&]() -> Co<void> {
          EXPECT_TRUE(HasPortal());
          co_await Spawn(log, outer, "during, from inside");
        });
        co_return;
      });
    }
    co_await Spawn(log, outer, "after");
  });
  EXPECT_THAT(log, ElementsAre("before no", "during no",
                               "during, from inside no", "after no"));
}

TEST(PortalsForChildrenTest, T02_WhichTaskSpawnsDoesNotMatter) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    Nursery* covered = nullptr;
    Event opened;
    Event done;
    // A task outside the tree spawns in the tree's nursery.
    outer.StartSoon([&]() -> Co<void> {
      (void)co_await opened.Wait();
      EXPECT_FALSE(HasPortal());
      co_await Spawn(log, *covered, "by a stranger");
      done.Set();
    });
    PortalsForChildren portals;
    (void)co_await OpenNursery([&](Nursery& inner) -> Co<void> {
      covered = &inner;
      opened.Set();
      (void)co_await done.Wait();
    });
  });
  EXPECT_THAT(log, ElementsAre("by a stranger yes"));
}

TEST(PortalsForChildrenTest, T03_TreesMayNestAndStandSideBySide) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    const auto scopes = [] { return internal::PortalTreesOfRun().scopes; };
    EXPECT_EQ(scopes(), 0u);
    internal::Loop& loop = *internal::Loop::Current();
    EXPECT_EQ(loop.observer(), nullptr);
    {
      PortalsForChildren outer;
      {
        PortalsForChildren inner;
        EXPECT_EQ(scopes(), 2u);
        co_await SpawnTree(log);
      }
      EXPECT_NE(loop.observer(), nullptr);
      // The outer one is still active.
      co_await SpawnTree(log);
    }
    EXPECT_EQ(scopes(), 0u);
    EXPECT_EQ(loop.observer(), nullptr);
    // Side by side: one ends before the other.
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      for (int steps : {1, 3}) {
        nursery.StartSoon([&log, scopes, steps]() -> Co<void> {
          PortalsForChildren portals;
          for (int i = 0; i < steps; ++i) (void)co_await Checkpoint();
          EXPECT_GE(scopes(), 1u);
          co_await SpawnTree(log);
        });
      }
      co_return;
    });
    EXPECT_EQ(scopes(), 0u);
    EXPECT_EQ(internal::PortalTreesOfRun().tasks, 0u);
    EXPECT_EQ(loop.observer(), nullptr);
  });
  EXPECT_EQ(log.size(), 8u);
  for (const std::string& line : log) EXPECT_THAT(line, HasSubstr(" yes"));
}

// After the end of a tree, a nursery at the same depth is not in it.
TEST(PortalsForChildrenTest, ThoseOfOneTaskMayEndInAnyOrder) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    auto first = std::make_unique<PortalsForChildren>();
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      auto second = std::make_unique<PortalsForChildren>();
      first.reset();
      co_await Spawn(log, nursery, "of neither");
      co_await SpawnTree(log);
      second.reset();
      co_await SpawnTree(log);
    });
  });
  EXPECT_THAT(log, ElementsAre("of neither no", "child yes", "grandchild yes",
                               "child no", "grandchild no"));
}

TEST(PortalsForChildrenTest, StartedChildrenStayWhatTheyWereSpawnedAs) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    const auto ready = [&log](TaskStatus<> status) -> Co<void> {
      co_await Note(log, "spawned inside");
      status.Started();
      co_await Note(log, "moved outside");
    };
    PortalsForChildren portals;
    EXPECT_TRUE((co_await outer.Start(ready)).ok());
  });
  EXPECT_THAT(log, ElementsAre("spawned inside yes", "moved outside yes"));
}

// Continues outside the tree in which it was spawned.
Co<void> MoveOut(TaskStatus<> status, std::vector<std::string>& log,
                 Event& stop) {
  status.Started();
  (void)co_await stop.Wait();
  co_await SpawnTree(log);
}

TEST(PortalsForChildrenTest, R37_ATaskThatWasMovedOutIsNotPartOfTheTree) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    Event stop;
    PortalsForChildren portals;
    EXPECT_TRUE(
        (co_await outer.Start(MoveOut, std::ref(log), std::ref(stop))).ok());
    stop.Set();
    while (outer.child_count() != 0) (void)co_await Checkpoint();
  });
  EXPECT_THAT(log, ElementsAre("child no", "grandchild no"));
}

// The tree ends before the task, and the instrument is not notified any more.
TEST(PortalsForChildrenTest, R37_ATaskThatWasMovedOutIsForgotten) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    Event stop;
    {
      PortalsForChildren portals;
      EXPECT_TRUE(
          (co_await outer.Start(MoveOut, std::ref(log), std::ref(stop))).ok());
    }
    stop.Set();
    while (outer.child_count() != 0) (void)co_await Checkpoint();
    EXPECT_EQ(internal::PortalTreesOfRun().tasks, 0u);
  });
  EXPECT_THAT(log, ElementsAre("child no", "grandchild no"));
}

TEST(PortalsForChildrenTest, T09_TheErrorSaysThatThereIsNoTaskTree) {
  ElsewhereTask task;
  const char* const text =
      "task \"stranger\" is run by Elsewhere, and this is for tasks that are "
      "run by greenback::Run()";
#if defined(__cpp_exceptions)
  try {
    PortalsForChildren portals;
    FAIL() << "not refused";
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
#else
  EXPECT_DEATH(PortalsForChildren(), HasSubstr(text));
#endif
}

}  // namespace
}  // namespace greenback
