// The part of ForeignHostTest that is about what else happens while a call
// waits: another coroutine runs inside it (R17), its frames are destroyed
// (R19), another thread completes what it awaits (R20), or it is cancelled
// (R21). Include foreign_host_suite.h.
#ifndef GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_COMPLETIONS_H_
#define GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_COMPLETIONS_H_

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/await.h"
#include "greenback/from_callback.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "gtest/gtest.h"
#include "tests/support/foreign_host_fixture.h"
#include "tests/support/inline_event.h"
#include "tests/support/leave_mark.h"
#include "tests/support/this_thread.h"
#include "tests/support/thread_hop.h"

namespace greenback {

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

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_COMPLETIONS_H_
