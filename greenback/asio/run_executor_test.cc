#include "greenback/asio/run_executor.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_options.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/sleep.h"
#include "gtest/gtest.h"

namespace greenback::asio {
namespace {

using ::boost::asio::steady_timer;
using Executor = ::boost::asio::io_context::executor_type;

static_assert(
    std::is_same_v<AwaitResult<decltype(boost::asio::this_coro::executor)>,
                   Executor>);

TEST(RunExecutorTest, IsTheSameThroughoutARun) {
  greenback::Run([]() -> Co<void> {
    const absl::Status opened = co_await EnsurePortal();
    EXPECT_TRUE(opened.ok()) << opened;
    const Executor executor = RunExecutor();
    EXPECT_TRUE(executor == RunExecutor());
    EXPECT_TRUE(executor == co_await boost::asio::this_coro::executor);
    EXPECT_TRUE(executor == Await(boost::asio::this_coro::executor));
  });
}

TEST(RunExecutorTest, EachRunHasItsOwn) {
  greenback::Run([]() -> Co<void> {
    const Executor executor = RunExecutor();
    bool same = true;
    std::thread([&] {
      greenback::Run([&]() -> Co<void> {
        same = executor == RunExecutor();
        co_return;
      });
    }).join();
    EXPECT_FALSE(same);
    co_return;
  });
}

// Callbacks run between steps, on the run's thread, in no task.
TEST(RunExecutorTest, CallbacksRunBetweenSteps) {
  const std::thread::id thread = std::this_thread::get_id();
  greenback::Run([&]() -> Co<void> {
    steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
    Event expired;
    bool same_executor = false;
    timer.async_wait([&](const boost::system::error_code& error) {
      EXPECT_FALSE(error);
      EXPECT_EQ(std::this_thread::get_id(), thread);
      EXPECT_FALSE(HasPortal());
      same_executor = timer.get_executor() == RunExecutor();
      expired.Set();
    });
    const absl::Status waited = co_await expired.Wait();
    EXPECT_TRUE(waited.ok()) << waited;
    EXPECT_TRUE(same_executor);
  });
}

#if defined(__cpp_exceptions)
// As with RunToken::RunSoon(), also when the run has ended.
TEST(RunExecutorTest, R33_WhatACallbackThrowsIsThrownByRun) {
  for (const bool at_the_end : {false, true}) {
    bool was_cancelled = false;
    bool went_on = false;
    int thrown = 0;
    try {
      greenback::Run([&]() -> Co<void> {
        boost::asio::post(RunExecutor(), [] { throw 7; });
        boost::asio::post(RunExecutor(), [&] { went_on = true; });
        if (at_the_end) co_return;
        was_cancelled = absl::IsCancelled(co_await SleepForever());
      });
    } catch (int value) {
      thrown = value;
    }
    EXPECT_EQ(thrown, 7);
    EXPECT_TRUE(went_on);
    EXPECT_EQ(was_cancelled, !at_the_end);
  }
}
#endif

// The run need neither become idle nor know of the operation.
TEST(RunExecutorTest, CallbacksAreNotStarvedByTasksThatNeverWait) {
  greenback::Run([]() -> Co<void> {
    const Executor executor = RunExecutor();
    bool called = false;
    boost::asio::post(executor, [&] { called = true; });
    while (!called) {
      const absl::Status status = co_await Checkpoint();
      EXPECT_TRUE(status.ok()) << status;
    }
    called = false;
    steady_timer timer(executor, std::chrono::milliseconds(1));
    timer.async_wait([&](const boost::system::error_code&) { called = true; });
    while (!called) {
      const absl::Status status = co_await Checkpoint();
      EXPECT_TRUE(status.ok()) << status;
    }
  });
}

TEST(RunExecutorTest, OperationsThatAreNotAwaitedDoNotKeepTheRun) {
  bool called = false;
  greenback::Run([&]() -> Co<void> {
    // Owned by its own operation: it is destroyed with the run.
    auto timer =
        std::make_shared<steady_timer>(RunExecutor(), std::chrono::hours(1));
    timer->async_wait(
        [&called, timer](const boost::system::error_code&) { called = true; });
    co_return;
  });
  EXPECT_FALSE(called);
}

// ------------------------------------------------- R44: the program stops it

struct CountsIoWaits : Instrument {
  int count = 0;
  void before_io_wait(absl::Duration) override { ++count; }
};

TEST(RunExecutorTest, R44_AStoppedContextStillWaits) {
  CountsIoWaits waits;
  RunOptions options;
  options.instruments.push_back(&waits);
  greenback::Run(options, [&]() -> Co<void> {
    RunExecutor().context().stop();
    waits.count = 0;
    EXPECT_TRUE((co_await Sleep(absl::Milliseconds(20))).ok());
    // One takes what is ready, one waits; a third, if that was woken early.
    EXPECT_LE(waits.count, 3);
  });
}

TEST(RunExecutorTest, R44_StopInACallbackStopsNothing) {
  int called = 0;
  greenback::Run([&]() -> Co<void> {
    const Executor executor = RunExecutor();
    Event done;
    for (int i = 0; i < 3; ++i) {
      boost::asio::post(executor, [&, executor] {
        executor.context().stop();
        if (++called == 3) done.Set();
      });
    }
    EXPECT_TRUE((co_await done.Wait()).ok());
    // From another thread, while the loop waits.
    std::thread other;
    Event woken;
    steady_timer timer(executor, std::chrono::milliseconds(1));
    timer.async_wait([&](const boost::system::error_code&) {
      other = std::thread([executor, &woken, token = CurrentRunToken()] {
        executor.context().stop();
        EXPECT_TRUE(token.RunSoon([&woken] { woken.Set(); }).ok());
      });
    });
    EXPECT_TRUE((co_await woken.Wait()).ok());
    other.join();
    // What RunSoon() has taken is called before the run ends.
    const RunToken token = CurrentRunToken();
    EXPECT_TRUE(token.RunSoon([executor] { executor.context().stop(); }).ok());
    EXPECT_TRUE(token.RunSoon([&called] { ++called; }).ok());
  });
  EXPECT_EQ(called, 4);
}

#if defined(__cpp_exceptions)
TEST(RunExecutorTest, OutsideARunItIsAnError) {
  std::string what;
  try {
    RunExecutor();
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_EQ(what,
            "greenback::asio::RunExecutor(): no task of a run is running on "
            "this thread; call it "
            "in code that greenback::Run() runs");
}
#else
TEST(RunExecutorTest, OutsideARunItIsAnError) {
  EXPECT_DEATH(RunExecutor(),
               "RunExecutor\\(\\): no task of a run is running on this thread");
}
#endif

}  // namespace
}  // namespace greenback::asio
