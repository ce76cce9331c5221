#include "greenback/portal.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Co<int> Twice(int n) {
  (void)co_await Checkpoint();
  co_return 2 * n;
}
int TwiceSynchronously(int n) { return Await(Twice(n)); }

// The checkpoints that pass while `make()` is awaited, as a neighbour sees
// them.
template <class Make>
Co<int> CountCheckpoints(Make make) {
  int count = 0;
  bool done = false;
  (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      while (!done) {
        ++count;
        (void)co_await Checkpoint();
      }
    });
    co_await make();
    done = true;
  });
  co_return count;
}

TEST(PortalTest, P13_FalseOutsideAnyTask) {
  EXPECT_FALSE(HasPortal());
  std::thread([] { EXPECT_FALSE(HasPortal()); }).join();
}

TEST(PortalTest, P02_EnsurePortalAgainIsStillACheckpoint) {
  greenback::Run([]() -> Co<void> {
    EXPECT_FALSE(HasPortal());
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                EXPECT_TRUE((co_await EnsurePortal()).ok());
                EXPECT_TRUE(HasPortal());
              }),
              1);
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                EXPECT_TRUE((co_await EnsurePortal()).ok());
              }),
              1);
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await EnsurePortal()));
    EXPECT_TRUE(HasPortal());
  });
}

TEST(PortalTest, P03_APortalIsItsTasksAlone) {
  greenback::Run([]() -> Co<void> {
    (void)co_await OpenNursery([](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([]() -> Co<void> {
        EXPECT_TRUE((co_await EnsurePortal()).ok());
        (void)co_await OpenNursery([](Nursery& inner) -> Co<void> {
          inner.StartSoon([]() -> Co<void> {
            EXPECT_FALSE(HasPortal());
            co_return;
          });
          co_return;
        });
        EXPECT_TRUE(HasPortal());
      });
      nursery.StartSoon([]() -> Co<void> {
        for (int i = 0; i < 5; ++i) {
          EXPECT_FALSE(HasPortal());
          (void)co_await Checkpoint();
        }
      });
      for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(HasPortal());
        (void)co_await Checkpoint();
      }
    });
  });
}

TEST(PortalTest, P06_WithPortalRunOpensOneForTheCall) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await WithPortalRun(
                  [](int n) -> Co<int> {
                    EXPECT_TRUE(HasPortal());
                    co_return TwiceSynchronously(n) + co_await Twice(n);
                  },
                  1),
              4);
    EXPECT_FALSE(HasPortal());
    // One that is ensured inside does not outlive it.
    co_await WithPortalRun([]() -> Co<void> { (void)co_await EnsurePortal(); });
    EXPECT_FALSE(HasPortal());
    // Nested.
    co_await WithPortalRun([]() -> Co<void> {
      co_await WithPortalRun([]() -> Co<void> {
        EXPECT_EQ(co_await WithPortalRunSync(TwiceSynchronously, 2), 4);
      });
      EXPECT_TRUE(HasPortal());
    });
    EXPECT_FALSE(HasPortal());
    // One that was there stays.
    (void)co_await EnsurePortal();
    EXPECT_EQ(co_await WithPortalRun(Twice, 3), 6);
    EXPECT_TRUE(HasPortal());
  });
}

TEST(PortalTest, P07_WithPortalRunSyncOpensOneForTheCall) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await WithPortalRunSync(TwiceSynchronously, 4), 8);
    EXPECT_FALSE(HasPortal());
    co_await WithPortalRunSync([] {
      Await(WithPortalRunSync([] { EXPECT_EQ(TwiceSynchronously(1), 2); }));
      EXPECT_TRUE(HasPortal());
    });
    EXPECT_FALSE(HasPortal());
    (void)co_await EnsurePortal();
    EXPECT_EQ(co_await WithPortalRunSync(TwiceSynchronously, 4), 8);
    EXPECT_TRUE(HasPortal());
  });
}

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

TEST(PortalTest, P08_NeitherAddsACheckpoint) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                co_await WithPortalRun([]() -> Co<void> { co_return; });
                co_await WithPortalRunSync([] {});
              }),
              0);
  });
}

TEST(PortalTest, P08_AwaitOfACheckpointIsExactlyOne) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                co_await WithPortalRunSync([] { (void)Await(Checkpoint()); });
              }),
              1);
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                co_await WithPortalRunSync(
                    [] { Await([]() -> Co<void> { co_return; }()); });
              }),
              0);
    EXPECT_EQ(co_await CountCheckpoints([]() -> Co<void> {
                co_await WithPortalRunSync([] { (void)TwiceSynchronously(1); });
              }),
              1);
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

TEST(PortalTest, P10_BestowedOnItselfIsUsableAfterACheckpoint) {
  greenback::Run([]() -> Co<void> {
    BestowPortal(CurrentTask());
    EXPECT_FALSE(HasPortal());
    EXPECT_FALSE(HasPortal(CurrentTask()));
    absl::StatusOr<int> refused = TryAwait(Twice(1));
    EXPECT_THAT(std::string(refused.status().message()),
                AllOf(HasSubstr("after its next checkpoint"),
                      HasSubstr("portal_test.cc")));
    (void)co_await Checkpoint();
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(TwiceSynchronously(1), 2);
  });
}

TEST(PortalTest, P10_ACallWithAPortalMeanwhileDoesNotLoseIt) {
  greenback::Run([]() -> Co<void> {
    BestowPortal(CurrentTask());
    co_await WithPortalRunSync([] { (void)TwiceSynchronously(1); });
    EXPECT_FALSE(HasPortal());
    (void)co_await Checkpoint();
    EXPECT_TRUE(HasPortal());
  });
}

TEST(PortalTest, P11_BestowedFromInsideSynchronousFrames) {
  greenback::Run([]() -> Co<void> {
    (void)co_await OpenNursery([](Nursery& nursery) -> Co<void> {
      Task& other = nursery.StartSoon([]() -> Co<void> {
        for (int i = 0; !HasPortal() && i < 10; ++i) {
          (void)co_await Checkpoint();
        }
        EXPECT_EQ(TwiceSynchronously(2), 4);
      });
      co_await WithPortalRunSync([&] {
        (void)TwiceSynchronously(1);
        BestowPortal(other);
        (void)TwiceSynchronously(1);
      });
    });
  });
}

#if defined(__cpp_exceptions)

TEST(PortalTest, P15_ExceptionsPassThroughAndClosePortals) {
  greenback::Run([]() -> Co<void> {
    try {
      co_await WithPortalRunSync([] {
        (void)TwiceSynchronously(1);
        throw std::runtime_error("sync");
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "sync");
    }
    EXPECT_FALSE(HasPortal());
    try {
      co_await WithPortalRun([]() -> Co<void> {
        (void)co_await Checkpoint();
        throw std::runtime_error("async");
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "async");
    }
    EXPECT_FALSE(HasPortal());
  });
}

TEST(PortalTest, OutsideATaskIsAnError) {
  auto run = WithPortalRunSync([] {});
  EXPECT_THROW(run.await_resume(), PortalError);
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
