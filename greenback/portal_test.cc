#include "greenback/portal.h"

#include <coroutine>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/portal_error.h"
#include "gtest/gtest.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Co<int> Twice(int n) {
  (void)co_await Checkpoint();
  co_return 2 * n;
}
int TwiceSynchronously(int n) { return Await(Twice(n)); }

TEST(PortalTest, P07_TakesMoveOnlyArgumentsAndReturnsReferences) {
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

TEST(PortalTest, P09_APortalMayBeBestowedOnAnotherTask) {
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
  EXPECT_THROW(portal.await_suspend(std::noop_coroutine()), PortalError);
}

// What one await uses up is refused the second time, by co_await and by
// Await().
TEST(PortalTest, R44_AwaitingTwiceIsAClearError) {
  greenback::Run([]() -> Co<void> {
    auto call = WithPortalRunSync([](std::string text) { return text; },
                                  std::string("text"));
    EXPECT_EQ(co_await call, "text");
    EXPECT_THROW((void)co_await call, AwaitableError);
    auto run = WithPortalRun(Twice, 2);
    EXPECT_EQ(co_await run, 4);
    EXPECT_THROW((void)co_await run, AwaitableError);
    EXPECT_FALSE(HasPortal());

    (void)co_await EnsurePortal();
    EXPECT_THROW((void)Await(call), AwaitableError);
    EXPECT_THROW((void)Await(run), AwaitableError);
    auto again = WithPortalRun(Twice, 3);
    EXPECT_EQ(Await(again), 6);
    EXPECT_THROW((void)Await(again), AwaitableError);

    auto made = WithPortalRunSync([](std::string text) { return text; },
                                  std::string("text"));
    auto moved = std::move(made);
    EXPECT_THROW((void)co_await made, AwaitableError);  // NOLINT
    EXPECT_EQ(co_await moved, "text");
  });
}

TEST(PortalTest, R44_AwaitingTwiceInAForeignCoroutineIsAClearError) {
  std::string what;
  const auto body = [&]() -> Detached {
    auto call = WithPortalRunSync([] { return 1; });
    EXPECT_EQ(co_await call, 1);
    EXPECT_THROW((void)co_await call, AwaitableError);
    const auto one = []() -> Co<int> { co_return 1; };
    auto run = WithPortalRun(one);
    EXPECT_EQ(co_await run, 1);
    try {
      (void)co_await run;
    } catch (const AwaitableError& error) {
      what = error.what();
    }
  };
  body();
  EXPECT_EQ(what,
            "greenback::WithPortalRun: awaited twice, or after it was moved "
            "from; its function and arguments are used up: call "
            "WithPortalRun() again for another call");
}

TEST(PortalTest, R44_OneEnsurePortalThatTwoTasksAwaitIsAClearError) {
  greenback::Run([]() -> Co<void> {
    auto portal = EnsurePortal();
    int errors = 0;
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      const auto ensure = [&]() -> Co<void> {
        try {
          EXPECT_TRUE((co_await portal).ok());
        } catch (const AwaitableError& error) {
          EXPECT_THAT(error.what(),
                      HasSubstr("call EnsurePortal() for each co_await"));
          ++errors;
        }
      };
      nursery.StartSoon(ensure);
      nursery.StartSoon(ensure);
      co_return;
    });
    EXPECT_EQ(errors, 1);
    // Two tasks may await it one after the other.
    EXPECT_TRUE((co_await portal).ok());
  });
}

#else

TEST(PortalDeathTest, R44_AwaitingTwiceDiesWithTheText) {
  const auto twice = []() -> Co<void> {
    auto call = WithPortalRunSync([] { return 1; });
    (void)co_await call;
    (void)co_await call;
  };
  EXPECT_DEATH(greenback::Run(twice),
               "greenback::WithPortalRunSync: awaited twice");
}

#endif

TEST(NoAwaitScopeTest, R10_RefusesAwaitAndNamesBothPlaces) {
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
      // A native co_await is not refused.
      EXPECT_TRUE((co_await Checkpoint()).ok());
      {
        NoAwaitScope inner;
      }
      EXPECT_FALSE(TryAwait(Checkpoint()).ok());
    }
    EXPECT_TRUE(TryAwait(Checkpoint()).ok());
  });
}

TEST(NoAwaitScopeTest, BelongsToItsTaskAlone) {
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
