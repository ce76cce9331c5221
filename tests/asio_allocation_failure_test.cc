// Memory may run out at any allocation that greenback makes with Boost.Asio;
// see allocation_failures.h.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>
#include <string>

#include "absl/time/time.h"
#include "greenback/asio/asio.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/allocation_failures.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

namespace net = boost::asio;

// Waits for a timer of its own, and returns text that needs memory.
net::awaitable<std::string> TextAfterATimer() {
  net::steady_timer timer(co_await net::this_coro::executor,
                          std::chrono::microseconds(10));
  co_await timer.async_wait(net::use_awaitable);
  co_return std::string(100, 'x');
}

// ------------------------------------------------------------- in a run

TEST(AsioAllocationFailureTest, R33_OperationsInARunSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    greenback::Run([&]() -> Co<void> {
      const Counted counted;
      (void)co_await EnsurePortal();
      net::steady_timer timer(asio::RunExecutor());
      timer.expires_after(std::chrono::microseconds(10));
      Await(timer.async_wait(net::deferred));
      timer.expires_after(std::chrono::microseconds(10));
      co_await timer.async_wait(net::deferred);
      Await(net::post(net::deferred));
      co_await net::post(net::deferred);
      ++done;
      CancelScope scope = MoveOnAfter(absl::Microseconds(10));
      timer.expires_after(std::chrono::hours(1));
      auto [error] = Await(timer.async_wait(net::as_tuple(net::deferred)));
      if (error == net::error::operation_aborted) ++done;
    });
    GREENBACK_EXPECT_DONE(done == 2);
  });
}

// Asio has room for a timer already: where it has none for one that a coroutine
// of its own starts, it leaves that coroutine's cancellation with a pointer to
// the timer, which is destroyed (Boost 1.81).
TEST(AsioAllocationFailureTest, R33_AwaitablesInARunSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    greenback::Run([&]() -> Co<void> {
      const Counted counted;
      (void)co_await EnsurePortal();
      net::steady_timer first(asio::RunExecutor());
      first.expires_after(std::chrono::microseconds(1));
      Await(first.async_wait(net::deferred));
      if (Await(TextAfterATimer()).size() == 100) ++done;
      if ((co_await TextAfterATimer()).size() == 100) ++done;
    });
    GREENBACK_EXPECT_DONE(done == 2);
  });
}

// ------------------------------------------------- in an io_context

// Runs the coroutine that `make()` returns, as a task with a portal.
template <class Make>
void RunAsioTask(Make make) {
  net::io_context io;
  net::cancellation_signal signal;
  std::exception_ptr error;
  asio::CoSpawn(
      io,
      [&]() -> net::awaitable<void> {
        const Counted counted;
        (void)co_await asio::EnsurePortal();
        co_await make();
      },
      net::bind_cancellation_slot(
          signal.slot(), [&](std::exception_ptr ended) { error = ended; }));
  io.run();
  if (error) std::rethrow_exception(error);
}

TEST(AsioAllocationFailureTest, R33_OperationsInATaskOfAsiosSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    RunAsioTask([&]() -> net::awaitable<void> {
      net::steady_timer timer(asio::CurrentExecutor());
      timer.expires_after(std::chrono::microseconds(10));
      Await(timer.async_wait(net::deferred));
      Await(net::post(net::deferred));
      ++done;
      co_return;
    });
    GREENBACK_EXPECT_DONE(done == 1);
  });
}

// An exception of an initiation propagates through Asio's thread of coroutines.
// The destructors that run then allocate memory, to keep the frames for reuse.
TEST(AsioAllocationFailureTest, R33_AwaitablesInATaskOfAsiosSurviveIt) {
  FailEachAllocation(
      [] {
        int done = 0;
        RunAsioTask([&]() -> net::awaitable<void> {
          const Counted counted;
          if (Await(TextAfterATimer()).size() == 100) ++done;
          co_return;
        });
        GREENBACK_EXPECT_DONE(done == 1);
      },
      /*all_that_follow=*/false);
}

}  // namespace
}  // namespace greenback
