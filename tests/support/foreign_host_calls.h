// The part of ForeignHostTest that is about a call which awaits: its result,
// its portal, its stack and its locals. Include foreign_host_suite.h.
#ifndef GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_CALLS_H_
#define GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_CALLS_H_

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"
#include "tests/support/foreign_host_fixture.h"

namespace greenback {

// Completes while it starts, and notes where on the stack that is.
struct CompletesInside {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    *lowest = std::min(*lowest, here);
    *highest = std::max(*highest, here);
    waiter.resume();
  }
  void await_resume() const noexcept {}
  uintptr_t* lowest;
  uintptr_t* highest;
};

template <class Host>
int AwaitDeep(Host& host, int depth) {
  if (depth > 0) return AwaitDeep(host, depth - 1) + 1;
  Await(host.Soon());
  return 0;
}

TYPED_TEST_P(ForeignHostTest, ValuesAreReturned) {
  int value = 0;
  const int* reference = nullptr;
  std::unique_ptr<int> moved;
  const auto body = [&]() -> typename TypeParam::Task {
    const auto get = [&] {
      Await(this->host_.Soon());
      return 42;
    };
    value = co_await WithPortalRunSync(get);
    const auto refer = [&]() -> int& {
      Await(this->host_.Soon());
      return value;
    };
    reference = &co_await WithPortalRunSync(refer);
    const auto make = [&](std::unique_ptr<int> argument) {
      Await(this->host_.Soon());
      return argument;
    };
    moved = co_await WithPortalRunSync(make, std::make_unique<int>(7));
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  EXPECT_EQ(value, 42);
  EXPECT_EQ(reference, &value);
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(*moved, 7);
}

TYPED_TEST_P(ForeignHostTest, ThePortalEndsWithTheCall) {
  std::vector<bool> has_portal;
  const auto body = [&]() -> typename TypeParam::Task {
    has_portal.push_back(HasPortal());
    const auto call = [&] {
      has_portal.push_back(HasPortal());
      Await(this->host_.Soon());
      has_portal.push_back(HasPortal());
    };
    co_await WithPortalRunSync(call);
    has_portal.push_back(HasPortal());
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  EXPECT_EQ(has_portal, (std::vector<bool>{false, true, true, false}));
}

TYPED_TEST_P(ForeignHostTest, ExceptionsPassBothWays) {
#if defined(__cpp_exceptions)
  std::vector<std::string> log;
  const auto fails = [&]() -> Co<void> {
    co_await this->host_.Soon();
    throw std::runtime_error("of the awaitable");
  };
  const auto call = [&] {
    try {
      Await(fails());
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
    Await(this->host_.Soon());
    throw std::runtime_error("of the function");
  };
  const auto body = [&]() -> typename TypeParam::Task {
    try {
      co_await WithPortalRunSync(call);
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  EXPECT_EQ(log,
            (std::vector<std::string>{"of the awaitable", "of the function"}));
#else
  GTEST_SKIP() << "without exceptions";
#endif
}

TYPED_TEST_P(ForeignHostTest, AHundredFramesMayWait) {
  int depth = 0;
  this->Call([&] { depth = AwaitDeep(this->host_, 100); });
  EXPECT_EQ(depth, 100);
}

TYPED_TEST_P(ForeignHostTest, TenThousandAwaitsDoNotGrowTheStack) {
  int soon = 0;
  int inside = 0;
  uintptr_t lowest = UINTPTR_MAX;
  uintptr_t highest = 0;
  this->Call([&] {
    for (; soon < 10'000; ++soon) Await(this->host_.Soon());
    for (; inside < 10'000; ++inside) {
      Await(CompletesInside{&lowest, &highest});
    }
  });
  EXPECT_EQ(soon, 10'000);
  EXPECT_EQ(inside, 10'000);
  EXPECT_LT(highest - lowest, 1024u) << "each began where the first did";
}

TYPED_TEST_P(ForeignHostTest, ACoIsAwaitedBelow) {
  std::vector<int> log;
  const auto inner = [&](int value) -> Co<int> {
    co_await this->host_.Soon();
    EXPECT_TRUE(HasPortal());
    Await(this->host_.Soon());
    co_return value;
  };
  const auto outer = [&]() -> Co<int> {
    co_return co_await inner(1) + Await(inner(2));
  };
  const auto body = [&]() -> typename TypeParam::Task {
    co_await WithPortalRunSync([&] { log.push_back(Await(outer())); });
    log.push_back(co_await WithPortalRun(outer));
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  EXPECT_EQ(log, (std::vector<int>{3, 3}));
}

TYPED_TEST_P(ForeignHostTest, LocalsAreTheCallsOwn) {
  static TaskLocal<int> local;
  std::vector<int> seen;
  const auto look_in_a_co = [&]() -> Co<void> {
    co_await this->host_.Soon();
    seen.push_back(local.Get());
  };
  const auto body = [&]() -> typename TypeParam::Task {
    co_await WithPortalRunSync([&] {
      local.Set(1);
      Await(this->host_.Soon());
      seen.push_back(local.Get());
      Await(look_in_a_co());
    });
    seen.push_back(local.Get());
    co_await WithPortalRunSync([&] { seen.push_back(local.Get()); });
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  EXPECT_EQ(seen, (std::vector<int>{1, 1, 0, 0}));
}

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_CALLS_H_
