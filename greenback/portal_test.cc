#include "greenback/portal.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Co<int> Twice(int n) {
  (void)co_await Checkpoint();
  co_return 2 * n;
}
int TwiceSynchronously(int n) { return Await(Twice(n)); }

TEST(PortalTest, P07_TakesMoveOnlyArgumentsAndGivesReferences) {
  greenback::Run([]() -> Co<void> {
    auto owned = std::make_unique<int>(3);
    EXPECT_EQ(co_await WithPortalRunSync(
                  [](std::unique_ptr<int> taken) { return *taken; },
                  std::move(owned)),
              3);
    int target = 0;
    int& given = co_await WithPortalRunSync([](int& to) -> int& { return to; },
                                            std::ref(target));
    EXPECT_EQ(&given, &target);
  });
}

TEST(PortalTest, P09_BestowedOnAnotherTask) {
  greenback::Run([]() -> Co<void> {
    (void)co_await OpenNursery([](Nursery& nursery) -> Co<void> {
      Task& task = nursery.StartSoon([]() -> Co<void> {
        EXPECT_TRUE(HasPortal());
        EXPECT_EQ(TwiceSynchronously(5), 10);
        co_return;
      });
      EXPECT_FALSE(HasPortal(task));
      BestowPortal(task);
      EXPECT_TRUE(HasPortal(task));
      BestowPortal(task);  // does nothing
      EXPECT_TRUE(HasPortal(task));
      EXPECT_FALSE(HasPortal());
      co_return;
    });
  });
}

#if defined(__cpp_exceptions)

TEST(PortalTest, OutsideATaskIsAnError) {
  auto portal = EnsurePortal();
  EXPECT_THROW(portal.await_ready(), PortalError);
}

#endif

TEST(NoAwaitScopeTest, R10_RefusesAndNamesBothPlaces) {
  greenback::Run([]() -> Co<void> {
    (void)co_await EnsurePortal();
    {
      const int line = __LINE__ + 1;
      NoAwaitScope no_await;
      const absl::Status refused = TryAwait(Checkpoint());
      EXPECT_THAT(
          std::string(refused.message()),
          AllOf(HasSubstr("portal_test.cc:" + std::to_string(line)),
                HasSubstr("portal_test.cc:" + std::to_string(line + 1))));
      // What belongs to the coroutine is not refused.
      EXPECT_TRUE((co_await Checkpoint()).ok());
      { NoAwaitScope inner; }
      EXPECT_FALSE(TryAwait(Checkpoint()).ok());
    }
    EXPECT_TRUE(TryAwait(Checkpoint()).ok());
  });
}

TEST(NoAwaitScopeTest, IsItsTasksAlone) {
  greenback::Run([]() -> Co<void> {
    NoAwaitScope no_await;
    (void)co_await OpenNursery([](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([]() -> Co<void> {
        EXPECT_EQ(co_await WithPortalRunSync(TwiceSynchronously, 2), 4);
      });
      co_return;
    });
  });
}

}  // namespace
}  // namespace greenback
