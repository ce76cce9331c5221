#include "instrument/with_portal_run_tree.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "gtest/gtest.h"
#include "instrument/internal/portal_trees.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

void Note(std::vector<std::string>& log, const std::string& name) {
  log.push_back(absl::StrCat(name, HasPortal() ? " yes" : " no"));
  if (HasPortal()) (void)Await(Checkpoint());
}

// A tree of tasks, `levels` deep. Each task has a nursery of its own.
Co<void> Tree(std::vector<std::string>& log, int levels) {
  Note(log, absl::StrCat("level ", levels));
  if (levels == 0) co_return;
  (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon(Tree, std::ref(log), levels - 1);
    co_return;
  });
}

TEST(WithPortalRunTreeTest, T01_TheFunctionAndAllThatItSpawnsHavePortals) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    co_await WithPortalRunTree(Tree, std::ref(log), 3);
    Note(log, "after");
  });
  EXPECT_THAT(log, ElementsAre("level 3 yes", "level 2 yes", "level 1 yes",
                               "level 0 yes", "after no"));
}

TEST(WithPortalRunTreeTest, T02_NurseriesAroundTheCallGetNoPortals) {
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& outer) -> Co<void> {
    const auto spawn = [&](std::string name) {
      outer.StartSoon(
          [&log](std::string name) -> Co<void> {
            Note(log, name);
            co_return;
          },
          std::move(name));
    };
    spawn("before");
    const auto body = [&]() -> Co<void> {
      spawn("during");
      (void)co_await OpenNursery([&](Nursery& inner) -> Co<void> {
        inner.StartSoon([&]() -> Co<void> {
          spawn("from a task inside");
          co_return;
        });
        co_return;
      });
    };
    co_await WithPortalRunTree(body);
    spawn("after");
  });
  EXPECT_THAT(log, ElementsAre("before no", "during no",
                               "from a task inside no", "after no"));
}

TEST(WithPortalRunTreeTest,
     T03_OneInstrumentServesAllTreesAndLeavesWithTheLast) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    internal::Loop& loop = *internal::Loop::Current();
    const auto scopes = [] { return internal::PortalTreesOfRun().scopes; };
    const auto inner = [&]() -> Co<void> {
      EXPECT_EQ(scopes(), 2u);
      co_await Tree(log, 1);
    };
    const auto outer = [&]() -> Co<void> {
      EXPECT_EQ(scopes(), 1u);
      co_await WithPortalRunTree(inner);
      EXPECT_EQ(scopes(), 1u);
      co_await Tree(log, 1);
    };
    co_await WithPortalRunTree(outer);
    EXPECT_EQ(scopes(), 0u);
    EXPECT_EQ(internal::PortalTreesOfRun().tasks, 0u);
    EXPECT_EQ(loop.observer(), nullptr);
    EXPECT_FALSE(HasPortal());
  });
  EXPECT_THAT(log, ElementsAre("level 1 yes", "level 0 yes", "level 1 yes",
                               "level 0 yes"));
}

TEST(WithPortalRunTreeTest, T04_AddsNoCheckpoint) {
  greenback::Run([]() -> Co<void> {
    const auto nothing = []() -> Co<int> { co_return 7; };
    AssertNoCheckpoints no_checkpoints;
    EXPECT_EQ(co_await WithPortalRunTree(nothing), 7);
  });
}

TEST(WithPortalRunTreeTest, T04_ItCoversAWholeRunButItsSystemTasks) {
  std::vector<std::string> log;
  const auto main = [&log]() -> Co<absl::Status> {
    Event noted;
    SpawnSystemTask([&log, &noted]() -> Co<void> {
      Note(log, "system task");
      noted.Set();
      co_return;
    });
    co_await Tree(log, 1);
    co_return co_await noted.Wait();
  };
  EXPECT_TRUE(greenback::Run(WithPortalRunTree, main).ok());
  EXPECT_THAT(log, ElementsAre("level 1 yes", "system task no", "level 0 yes"));
}

TEST(WithPortalRunTreeTest, PassesArgumentsAndResults) {
  greenback::Run([]() -> Co<void> {
    const auto hand_back =
        [](std::unique_ptr<int> taken) -> Co<std::unique_ptr<int>> {
      co_return taken;
    };
    EXPECT_EQ(*co_await WithPortalRunTree(hand_back, std::make_unique<int>(3)),
              3);
    int target = 0;
    const auto refer = [](int& to) -> Co<int&> { co_return to; };
    int& given = co_await WithPortalRunTree(refer, std::ref(target));
    EXPECT_EQ(&given, &target);
  });
}

#if defined(__cpp_exceptions)
TEST(WithPortalRunTreeTest, AnExceptionEndsTheTree) {
  greenback::Run([]() -> Co<void> {
    const auto fail = []() -> Co<void> {
      (void)co_await Checkpoint();
      throw std::runtime_error("inside");
    };
    try {
      co_await WithPortalRunTree(fail);
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "inside");
    }
    EXPECT_EQ(internal::PortalTreesOfRun().scopes, 0u);
    EXPECT_FALSE(HasPortal());
  });
}
#endif

}  // namespace
}  // namespace greenback
