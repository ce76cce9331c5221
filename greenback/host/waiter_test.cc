#include "greenback/host/waiter.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

struct TestWaiter : Waiter {
  TestWaiter() : Waiter(Kind::kCoroutine) {}
};

TEST(WaiterTest, WhatFiresFirstNeedNotPark) {
  TestWaiter waiter;
  EXPECT_FALSE(waiter.is_over());
  EXPECT_FALSE(waiter.Fire());
  EXPECT_TRUE(waiter.is_over());
  EXPECT_FALSE(waiter.Park());
  EXPECT_TRUE(waiter.is_over());
}

TEST(WaiterTest, WhatParksFirstIsResumedByWhatFires) {
  TestWaiter waiter;
  EXPECT_TRUE(waiter.Park());
  EXPECT_TRUE(waiter.is_parked());
  EXPECT_FALSE(waiter.is_over());
  EXPECT_TRUE(waiter.Fire());
  EXPECT_TRUE(waiter.is_over());
}

TEST(WaiterTest, OnOneThreadItIsTheSame) {
  TestWaiter first;
  EXPECT_FALSE(first.FireUnshared());
  EXPECT_FALSE(first.Park());

  TestWaiter second;
  second.ParkUnshared();
  EXPECT_TRUE(second.FireUnshared());

  TestWaiter third;
  third.FireInline();
  EXPECT_TRUE(third.is_over());
  EXPECT_FALSE(third.Park());
}

TEST(WaiterTest, ACoroutineIsQueuedAndResumedAgainAndAgain) {
  TestWaiter waiter;
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(waiter.is_waiting());
    waiter.Queue();
    EXPECT_TRUE(waiter.is_waiting());
    EXPECT_FALSE(waiter.is_parked());
    waiter.Resumed();
    waiter.ParkUnshared();
    EXPECT_TRUE(waiter.is_waiting());
    EXPECT_TRUE(waiter.is_parked());
    waiter.Queue();
    EXPECT_FALSE(waiter.is_parked());
    waiter.Resumed();
  }
}

TEST(WaiterTest, OnlyAParkedStackIsBorrowed) {
  TestWaiter waiter;
  EXPECT_FALSE(waiter.Borrow());
  EXPECT_TRUE(waiter.Park());
  EXPECT_TRUE(waiter.Borrow());
  EXPECT_FALSE(waiter.Borrow());
  waiter.Resumed();
  EXPECT_TRUE(waiter.Park());  // and waits once more
  waiter.Resumed();
  EXPECT_FALSE(waiter.Fire());
  EXPECT_FALSE(waiter.Borrow());
}

TEST(WaiterTest, WhatIsAbandonedIsOverInAnyState) {
  TestWaiter running;
  running.Abandon();
  TestWaiter parked;
  EXPECT_TRUE(parked.Park());
  parked.Abandon();
  TestWaiter fired;
  EXPECT_FALSE(fired.Fire());
  fired.Abandon();
  for (TestWaiter* const waiter : {&running, &parked, &fired}) {
    EXPECT_TRUE(waiter->is_abandoned());
    EXPECT_TRUE(waiter->is_over());
    EXPECT_FALSE(waiter->Borrow());
    EXPECT_FALSE(waiter->Park());
    EXPECT_FALSE(waiter->Fire());
  }
}

// Exactly one of the two calls says that it came second.
TEST(WaiterTest, OfTwoThreadsOneResumesIt) {
  for (int i = 0; i < 200; ++i) {
    TestWaiter waiter;
    std::atomic<int> ready = 0;
    const auto meet = [&] {
      ++ready;
      while (ready != 2) std::this_thread::yield();
    };
    bool fired_second = false;
    std::thread completer([&] {
      meet();
      fired_second = waiter.Fire();
    });
    meet();
    const bool parked_second = !waiter.Park();
    completer.join();
    EXPECT_NE(fired_second, parked_second);
    EXPECT_TRUE(waiter.is_over());
  }
}

TEST(WaiterDeathTest, AWaitEndsOnce) {
  TestWaiter waiter;
  EXPECT_FALSE(waiter.Fire());
  EXPECT_DEBUG_DEATH((void)waiter.Fire(), "suspend_race.h.*ssert");
  EXPECT_DEBUG_DEATH((void)waiter.FireUnshared(), "suspend_race.h.*ssert");
  EXPECT_DEBUG_DEATH(waiter.Queue(), "suspend_race.h.*ssert");
}

}  // namespace
}  // namespace greenback::internal
