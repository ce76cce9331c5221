// ForeignHostTest: what holds in the coroutines of every library that is no
// host of greenback's. Instantiate it with a Host, which has
//
//   Task                a coroutine type whose result is void
//   Start(body)         calls body(), a coroutine of that type, which runs
//                       until it first waits; returns a movable object that
//                       owns it
//   RunToEnd(running)   returns when it has ended
//   Soon()              an awaitable that completes in the library's own way,
//                       after its waiter has suspended
//   Cancel(running)     and Destroy(running), while it waits
//   kNoCancel, kNoDestroy, kNoHop
//                       null, or why it cannot be cancelled, destroyed while it
//                       waits, or resumed on another thread
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyLibrary, ForeignHostTest, MyHost);
#ifndef GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_
#define GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/await.h"
#include "greenback/from_callback.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"

namespace greenback {

template <class Host>
class ForeignHostTest : public testing::Test {
 protected:
  using Task = typename Host::Task;

  // Calls `fn` below a portal in a coroutine of the library, to its end.
  template <class Fn>
  void Call(Fn fn) {
    const auto body = [&]() -> Task { co_await WithPortalRunSync(fn); };
    auto running = host_.Start(body);
    host_.RunToEnd(running);
  }

  Host host_;
};
TYPED_TEST_SUITE_P(ForeignHostTest);

// Leaves a mark when it is destroyed, and how.
struct LeaveMark {
  std::vector<std::string>& log;
  std::string name;
  ~LeaveMark() {
    log.push_back(name +
                  (std::uncaught_exceptions() > 0 ? " unwound" : " left"));
  }
};

// Resumes its waiter inside Set().
class InlineEvent {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return event->is_set_; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      event->waiter_ = waiter;
    }
    void await_resume() const noexcept {}
    InlineEvent* event;
  };
  Awaiter operator co_await() { return {this}; }

  bool is_waited_for() const { return waiter_ != nullptr; }
  void Set() {
    is_set_ = true;
    if (waiter_) std::exchange(waiter_, nullptr).resume();
  }

 private:
  bool is_set_ = false;
  std::coroutine_handle<> waiter_;
};

// Resumes its waiter on a new thread, which its destructor joins. One that is
// awaited on the thread of another has to be destroyed after that.
class ThreadHop {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      ThreadHop& self = *hop;  // this may be destroyed before the assignment
      self.thread_ = std::thread([waiter] { waiter.resume(); });
    }
    void await_resume() const noexcept {}
    ThreadHop* hop;
  };
  ThreadHop() = default;
  ThreadHop(const ThreadHop&) = delete;
  ThreadHop& operator=(const ThreadHop&) = delete;
  ~ThreadHop() {
    if (thread_.joinable()) thread_.join();
  }
  Awaiter operator co_await() { return {this}; }

 private:
  std::thread thread_;
};

// Not std::this_thread::get_id() where it is used: compilers keep its value in
// functions that Await().
inline __attribute__((noinline)) std::thread::id IdOfThisThread() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

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

TYPED_TEST_P(ForeignHostTest, R17_ACallInsideAnotherIsATaskOfItsOwn) {
  InlineEvent first;
  InlineEvent second;
  std::vector<std::string> log;
  const auto inner = [&]() -> typename TypeParam::Task {
    co_await first;
    co_await WithPortalRunSync([&] {
      log.push_back("inner waits");
      Await(second);
      log.push_back("inner continues");
    });
  };
  const auto outer = [&]() -> typename TypeParam::Task {
    co_await WithPortalRunSync([&] {
      first.Set();  // resumes `inner` here, which waits
      EXPECT_TRUE(HasPortal());
      log.push_back("outer continues");
      second.Set();
      EXPECT_TRUE(HasPortal());
      Await(this->host_.Soon());
      log.push_back("outer ends");
    });
  };
  auto b = this->host_.Start(inner);
  auto a = this->host_.Start(outer);
  this->host_.RunToEnd(a);
  this->host_.RunToEnd(b);
  EXPECT_EQ(log, (std::vector<std::string>{"inner waits", "outer continues",
                                           "inner continues", "outer ends"}));
}

TYPED_TEST_P(ForeignHostTest, R19_DestroyedWhileItWaitsItIsUnwoundOnce) {
#if defined(__cpp_exceptions)
  if (TypeParam::kNoDestroy != nullptr) GTEST_SKIP() << TypeParam::kNoDestroy;
  InlineEvent event;
  std::vector<std::string> log;
  const auto wait = [&]() -> Co<void> {
    const LeaveMark mark{log, "co"};
    co_await event;
    log.push_back("not reached");
  };
  const auto body = [&]() -> typename TypeParam::Task {
    const LeaveMark coroutine_mark{log, "coroutine"};
    co_await WithPortalRunSync([&] {
      const LeaveMark call_mark{log, "call"};
      Await(wait());
      log.push_back("not reached");
    });
    log.push_back("not reached");
  };
  auto running = this->host_.Start(body);
  EXPECT_TRUE(event.is_waited_for());
  log.push_back("destroy");
  this->host_.Destroy(running);
  log.push_back("destroyed");
  EXPECT_EQ(log,
            (std::vector<std::string>{"destroy", "co unwound", "call unwound",
                                      "coroutine left", "destroyed"}));
#else
  GTEST_SKIP() << "frames are not unwound without exceptions";
#endif
}

TYPED_TEST_P(ForeignHostTest, R20_TheCompletersThreadContinuesTheCall) {
  if (TypeParam::kNoHop != nullptr) GTEST_SKIP() << TypeParam::kNoHop;
  const std::thread::id here = IdOfThisThread();
  std::vector<std::thread::id> ids;
  ThreadHop second;
  ThreadHop first;
  const auto hop_in_a_co = [&]() -> Co<void> {
    co_await second;
    ids.push_back(IdOfThisThread());
  };
  const auto body = [&]() -> typename TypeParam::Task {
    co_await WithPortalRunSync([&] {
      ids.push_back(IdOfThisThread());
      Await(first);
      ids.push_back(IdOfThisThread());
      Await(hop_in_a_co());
      ids.push_back(IdOfThisThread());
    });
    ids.push_back(IdOfThisThread());
  };
  auto running = this->host_.Start(body);
  this->host_.RunToEnd(running);
  ASSERT_EQ(ids.size(), 5u);
  EXPECT_EQ(ids[0], here);
  EXPECT_NE(ids[1], here);
  EXPECT_NE(ids[2], here);
  EXPECT_NE(ids[2], ids[1]);
  EXPECT_EQ(ids[3], ids[2]);
  EXPECT_EQ(ids[4], ids[2]);
}

TYPED_TEST_P(ForeignHostTest, R21_CancellationReachesWhatWaitsBelow) {
  if (TypeParam::kNoCancel != nullptr) GTEST_SKIP() << TypeParam::kNoCancel;
  int cancels = 0;
  std::vector<bool> completed;
  std::function<void(bool)> end;
  const auto operation = [&] {
    return FromCallback<bool>([&](auto done) { end = std::move(done); },
                              [&] {
                                ++cancels;
                                std::exchange(end, nullptr)(false);
                              });
  };
  const auto wait = [&]() -> Co<bool> { co_return co_await operation(); };
  const auto body = [&]() -> typename TypeParam::Task {
    co_await WithPortalRunSync([&] {
      completed.push_back(Await(operation()));
      completed.push_back(Await(wait()));
    });
  };
  auto running = this->host_.Start(body);
  EXPECT_EQ(cancels, 0);
  this->host_.Cancel(running);
  this->host_.RunToEnd(running);
  EXPECT_EQ(cancels, 2);
  EXPECT_EQ(completed, (std::vector<bool>{false, false}));
}

REGISTER_TYPED_TEST_SUITE_P(ForeignHostTest, ValuesAreReturned,
                            ThePortalEndsWithTheCall, ExceptionsPassBothWays,
                            AHundredFramesMayWait,
                            TenThousandAwaitsDoNotGrowTheStack,
                            ACoIsAwaitedBelow, LocalsAreTheCallsOwn,
                            R17_ACallInsideAnotherIsATaskOfItsOwn,
                            R19_DestroyedWhileItWaitsItIsUnwoundOnce,
                            R20_TheCompletersThreadContinuesTheCall,
                            R21_CancellationReachesWhatWaitsBelow);

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_
