#include "greenback/runtime/event.h"

#include <string>
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

TEST(EventTest, IsNotSetAtFirst) {
  Event event;
  EXPECT_FALSE(event.is_set());
  EXPECT_EQ(event.waiters(), 0u);
}

TEST(EventTest, SetMayHaveNoWaiters) {
  Event event;
  event.Set();
  EXPECT_TRUE(event.is_set());
  event.Set();
  EXPECT_TRUE(event.is_set());
}

TEST(EventTest, WaitersResumeInTheirOrder) {
  Event event;
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 1; i <= 4; ++i) {
      nursery.StartSoon([&, i]() -> Co<void> {
        EXPECT_TRUE((co_await event.Wait()).ok());
        log.push_back(i);
      });
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(event.waiters(), 4u);
    event.Set();
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4));
}

TEST(EventTest, SetRunsNoWaiterItself) {
  Event event;
  bool went_on = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await event.Wait()).ok());
      went_on = true;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    event.Set();
    EXPECT_EQ(event.waiters(), 0u);
    EXPECT_FALSE(went_on);
  });
  EXPECT_TRUE(went_on);
}

TEST(EventTest, WaitIsASchedulePointWhenSet) {
  Event event;
  event.Set();
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      co_return;
    });
    EXPECT_TRUE((co_await event.Wait()).ok());
    log.push_back(2);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(EventTest, WaitIsACancellationPointWhenSet) {
  Event event;
  event.Set();
  greenback::Run([&]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await event.Wait()));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(EventTest, WaitIsASchedulePointWhenCancelledAlready) {
  Event event;
  bool others_ran = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      others_ran = true;
      co_return;
    });
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await event.Wait()));
    EXPECT_TRUE(others_ran);
    EXPECT_EQ(event.waiters(), 0u);
  });
}

TEST(EventTest, ACancelledWaiterLeaves) {
  Event event;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    CancelScope* scope_of_second = nullptr;
    std::vector<std::string> log;
    for (int i = 0; i < 3; ++i) {
      nursery.StartSoon([&, i]() -> Co<void> {
        CancelScope scope;
        if (i == 1) scope_of_second = &scope;
        absl::Status waited = co_await event.Wait();
        log.push_back(waited.ok() ? "set" : "cancelled");
      });
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(event.waiters(), 3u);
    scope_of_second->Cancel();
    EXPECT_EQ(event.waiters(), 2u);
    EXPECT_TRUE((co_await Checkpoint()).ok());
    event.Set();
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_THAT(log, ElementsAre("cancelled", "set", "set"));
  });
}

TEST(EventTest, TheFirstAndTheLastWaiterMayLeave) {
  for (const int leaver : {0, 2}) {
    Event event;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      std::vector<int> log;
      CancelScope* to_cancel = nullptr;
      for (int i = 0; i < 3; ++i) {
        nursery.StartSoon([&, i]() -> Co<void> {
          CancelScope scope;
          if (i == leaver) to_cancel = &scope;
          absl::Status waited = co_await event.Wait();
          log.push_back(waited.ok() ? i : -1);
        });
      }
      EXPECT_TRUE((co_await Checkpoint()).ok());
      to_cancel->Cancel();
      event.Set();
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_THAT(log,
                  ElementsAre(-1, leaver == 0 ? 1 : 0, leaver == 0 ? 2 : 1));
    });
  }
}

// A delivered result is not replaced by a cancellation.
TEST(EventTest, SetBeforeCancelWins) {
  Event event;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      CancelScope scope;
      nursery.StartSoon([&]() -> Co<void> {
        event.Set();
        scope.Cancel();
        co_return;
      });
      EXPECT_TRUE((co_await event.Wait()).ok());
      EXPECT_FALSE(scope.cancelled_caught());
    });
    co_return;
  });
}

TEST(EventTest, CancelBeforeSetWins) {
  Event event;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      CancelScope scope;
      nursery.StartSoon([&]() -> Co<void> {
        scope.Cancel();
        event.Set();
        co_return;
      });
      EXPECT_TRUE(absl::IsCancelled(co_await event.Wait()));
      EXPECT_TRUE(scope.cancelled_caught());
    });
    co_return;
  });
}

TEST(EventTest, WaitsInSynchronousCode) {
  Event event;
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 1; i <= 3; ++i) {
      BestowPortal(nursery.StartSoon([&, i]() -> Co<void> {
        EXPECT_TRUE(Await(event.Wait()).ok());
        log.push_back(i);
        co_return;
      }));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(event.waiters(), 3u);
    event.Set();
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
}

TEST(EventTest, ACancelledWaitInSynchronousCodeReturns) {
  Event event;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(Await(event.Wait())));
    EXPECT_EQ(event.waiters(), 0u);
  });
}

TEST(EventTest, HandsOverToATaskAndBack) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Event ping;
    Event pong;
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await ping.Wait()).ok());
      log.push_back(1);
      pong.Set();
    });
    ping.Set();
    EXPECT_TRUE((co_await pong.Wait()).ok());
    log.push_back(2);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

}  // namespace
}  // namespace greenback
