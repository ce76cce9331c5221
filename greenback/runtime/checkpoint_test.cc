#include "greenback/runtime/checkpoint.h"

#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

// Returns whether another task ran while `wait` did.
template <class Wait>
bool LetsOthersRun(Wait wait) {
  bool others_ran = false;
  bool ran_when_back = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      others_ran = true;
      co_return;
    });
    co_await wait();
    ran_when_back = others_ran;
  });
  return ran_when_back;
}

// --------------------------------------------------------------- Checkpoint()

TEST(CheckpointTest, IsASchedulePoint) {
  EXPECT_TRUE(LetsOthersRun(
      []() -> Co<void> { EXPECT_TRUE((co_await Checkpoint()).ok()); }));
}

TEST(CheckpointTest, IsASchedulePointWhenCancelled) {
  EXPECT_TRUE(LetsOthersRun([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  }));
}

TEST(CheckpointTest, IsACancellationPoint) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    EXPECT_TRUE((co_await Checkpoint()).ok());
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(CheckpointTest, NoticesACancellationWhileItWaits) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      scope.Cancel();
      co_return;
    });
    EXPECT_TRUE(absl::IsCancelled(co_await Checkpoint()));
  });
}

TEST(CheckpointTest, TasksTakeTurns) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 1; i <= 3; ++i) {
      nursery.StartSoon([&log, i]() -> Co<void> {
        for (int round = 0; round < 3; ++round) {
          log.push_back(i);
          EXPECT_TRUE((co_await Checkpoint()).ok());
        }
      });
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 1, 2, 3, 1, 2, 3));
}

TEST(CheckpointTest, TasksTakeTurnsInSynchronousCode) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 1; i <= 3; ++i) {
      BestowPortal(nursery.StartSoon([&log, i]() -> Co<void> {
        for (int round = 0; round < 3; ++round) {
          log.push_back(i);
          EXPECT_TRUE(Await(Checkpoint()).ok());
        }
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 1, 2, 3, 1, 2, 3));
}

TEST(CheckpointTest, NativeAndSynchronousTasksTakeTurns) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 1; i <= 4; ++i) {
      BestowPortal(nursery.StartSoon([&log, i]() -> Co<void> {
        for (int round = 0; round < 2; ++round) {
          log.push_back(i);
          if (i % 2 == 0) {
            EXPECT_TRUE(Await(Checkpoint()).ok());
          } else {
            EXPECT_TRUE((co_await Checkpoint()).ok());
          }
        }
      }));
    }
    co_return;
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4, 1, 2, 3, 4));
}

TEST(CheckpointTest, WhatBecomesReadyLaterRunsLater) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      nursery.StartSoon([&]() -> Co<void> {
        log.push_back(4);
        co_return;
      });
      co_return;
    });
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(2);
      co_return;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    log.push_back(3);
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 4));
}

TEST(CheckpointTest, AMillionLeaveNothingBehind) {
  greenback::Run([]() -> Co<void> {
    int count = 0;
    for (int i = 0; i < 1'000'000; ++i) {
      if ((co_await Checkpoint()).ok()) ++count;
    }
    EXPECT_EQ(count, 1'000'000);
  });
}

// ---------------------------------------------------- CheckpointIfCancelled()

TEST(CheckpointIfCancelledTest, IsNoSchedulePoint) {
  EXPECT_FALSE(LetsOthersRun([]() -> Co<void> {
    EXPECT_TRUE((co_await CheckpointIfCancelled()).ok());
  }));
}

TEST(CheckpointIfCancelledTest, IsASchedulePointWhenCancelled) {
  EXPECT_TRUE(LetsOthersRun([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(co_await CheckpointIfCancelled()));
    EXPECT_TRUE(scope.cancelled_caught());
  }));
}

TEST(CheckpointIfCancelledTest, WorksInSynchronousCode) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_TRUE(Await(CheckpointIfCancelled()).ok());
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled(Await(CheckpointIfCancelled())));
  });
}

// ------------------------------------------------- CancelShieldedCheckpoint()

TEST(CancelShieldedCheckpointTest, IsASchedulePoint) {
  EXPECT_TRUE(
      LetsOthersRun([]() -> Co<void> { co_await CancelShieldedCheckpoint(); }));
}

TEST(CancelShieldedCheckpointTest, IsNoCancellationPoint) {
  static_assert(
      std::is_void_v<AwaitResult<decltype(CancelShieldedCheckpoint())>>);
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    co_await CancelShieldedCheckpoint();
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

TEST(CancelShieldedCheckpointTest, WorksInSynchronousCode) {
  EXPECT_TRUE(LetsOthersRun([]() -> Co<void> {
    co_await WithPortalRunSync([] { Await(CancelShieldedCheckpoint()); });
  }));
}

}  // namespace
}  // namespace greenback
