#include "instrument/portals_for_tree.h"

#include <vector>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "gtest/gtest.h"
#include "instrument/internal/portal_trees.h"

namespace greenback {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

// Opens a nursery, and returns whether its tasks have portals.
Co<std::vector<bool>> ChildrenHavePortals() {
  std::vector<bool> have;
  (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 2; ++i) {
      nursery.StartSoon([&have]() -> Co<void> {
        have.push_back(HasPortal());
        co_return;
      });
    }
    co_return;
  });
  co_return have;
}

TEST(PortalsForTreeTest, T06_TheTaskItselfAndItsChildrenHavePortals) {
  greenback::Run([]() -> Co<void> {
    PortalsForTree portals;
    EXPECT_FALSE(HasPortal());
    co_await portals.Enter();
    EXPECT_TRUE(HasPortal());
    EXPECT_TRUE(Await(Checkpoint()).ok());
    const std::vector<bool> during = co_await ChildrenHavePortals();
    EXPECT_THAT(during, SizeIs(2));
    EXPECT_THAT(during, Each(true));
    co_await portals.Exit();
    EXPECT_FALSE(HasPortal());
    const std::vector<bool> after = co_await ChildrenHavePortals();
    EXPECT_THAT(after, Each(false));
    EXPECT_EQ(internal::PortalTreesOfRun().scopes, 0u);
  });
}

TEST(PortalsForTreeTest, T06_EntryAndExitAreSchedulePointsOnly) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    PortalsForTree portals;
    {
      internal::PointsPassed passed;
      co_await portals.Enter();
      EXPECT_TRUE(passed.schedule_point());
      EXPECT_FALSE(passed.cancellation_point());
    }
    {
      internal::PointsPassed passed;
      co_await portals.Exit();
      EXPECT_TRUE(passed.schedule_point());
      EXPECT_FALSE(passed.cancellation_point());
    }
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(PortalsForTreeTest, T06_APortalThatWasThereStays) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    PortalsForTree portals;
    co_await portals.Enter();
    co_await portals.Exit();
    EXPECT_TRUE(HasPortal());
  });
}

TEST(PortalsForTreeTest, T06_APortalThatIsEnsuredMeanwhileDoesNotStay) {
  greenback::Run([]() -> Co<void> {
    PortalsForTree portals;
    co_await portals.Enter();
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    co_await portals.Exit();
    EXPECT_FALSE(HasPortal());
  });
}

TEST(PortalsForTreeTest, MayBeEnteredAgain) {
  greenback::Run([]() -> Co<void> {
    PortalsForTree portals;
    for (int i = 0; i < 3; ++i) {
      co_await portals.Enter();
      EXPECT_TRUE(HasPortal());
      co_await portals.Exit();
      EXPECT_FALSE(HasPortal());
    }
  });
}

TEST(PortalsForTreeTest, DestroyedWithoutExitItEndsTheStretch) {
  greenback::Run([]() -> Co<void> {
    {
      PortalsForTree portals;
      co_await portals.Enter();
      EXPECT_EQ(internal::PortalTreesOfRun().scopes, 1u);
    }
    EXPECT_FALSE(HasPortal());
    EXPECT_EQ(internal::PortalTreesOfRun().scopes, 0u);
  });
}

}  // namespace
}  // namespace greenback
