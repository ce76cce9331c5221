#include "greenback/asio/portal_executor.h"

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution/relationship.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>

#include "greenback/asio/asio.h"
#include "greenback/from_callback.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

namespace execution = boost::asio::execution;

using boost::asio::any_io_executor;
using boost::asio::awaitable;
using boost::asio::deferred;
using boost::asio::detached;
using boost::asio::io_context;
using boost::asio::thread_pool;
using boost::asio::use_awaitable;

// What the copies of a CountingExecutor share.
struct Counts {
  std::atomic<int> tracked = 0;  // copies that track outstanding work
  std::atomic<int> executed = 0;
  // Called in execute(), with a copy's properties, before the function is
  // passed on.
  std::function<void()> on_execute;
  bool in_place = false;  // unless it must not block
};

// An executor that only this test knows, with all the properties that
// any_io_executor can pass on.
class CountingExecutor {
 public:
  CountingExecutor(io_context& io, Counts& counts)
      : io_(&io), counts_(&counts) {}
  CountingExecutor(const CountingExecutor& other) noexcept
      : CountingExecutor(other, other.properties_) {}
  CountingExecutor& operator=(const CountingExecutor&) = delete;
  ~CountingExecutor() {
    if (properties_.tracked) --counts_->tracked;
  }

  bool operator==(const CountingExecutor& other) const noexcept {
    return io_ == other.io_ && properties_ == other.properties_;
  }

  boost::asio::execution_context& query(execution::context_t) const noexcept {
    return *io_;
  }
  execution::blocking_t query(execution::blocking_t) const noexcept {
    if (properties_.never_blocks) return execution::blocking.never;
    return execution::blocking.possibly;
  }
  execution::outstanding_work_t query(
      execution::outstanding_work_t) const noexcept {
    if (properties_.tracked) return execution::outstanding_work.tracked;
    return execution::outstanding_work.untracked;
  }
  execution::relationship_t query(execution::relationship_t) const noexcept {
    if (properties_.continues) return execution::relationship.continuation;
    return execution::relationship.fork;
  }

  CountingExecutor require(execution::blocking_t::never_t) const {
    return With(&Properties::never_blocks, true);
  }
  CountingExecutor require(execution::blocking_t::possibly_t) const {
    return With(&Properties::never_blocks, false);
  }
  CountingExecutor require(execution::outstanding_work_t::tracked_t) const {
    return With(&Properties::tracked, true);
  }
  CountingExecutor require(execution::outstanding_work_t::untracked_t) const {
    return With(&Properties::tracked, false);
  }
  CountingExecutor require(execution::relationship_t::continuation_t) const {
    return With(&Properties::continues, true);
  }
  CountingExecutor require(execution::relationship_t::fork_t) const {
    return With(&Properties::continues, false);
  }

  template <class Fn>
  void execute(Fn&& fn) const {
    if (counts_->on_execute) counts_->on_execute();
    if (counts_->in_place && !properties_.never_blocks) {
      std::decay_t<Fn>(std::forward<Fn>(fn))();
    } else {
      boost::asio::post(*io_, std::forward<Fn>(fn));
    }
    ++counts_->executed;
  }

 private:
  struct Properties {
    bool never_blocks = false;
    bool tracked = false;
    bool continues = false;
    bool operator==(const Properties&) const noexcept = default;
  };

  CountingExecutor(const CountingExecutor& other,
                   const Properties& properties) noexcept
      : io_(other.io_), counts_(other.counts_), properties_(properties) {
    if (properties_.tracked) ++counts_->tracked;
  }
  CountingExecutor With(bool Properties::* property, bool value) const {
    Properties properties = properties_;
    properties.*property = value;
    return CountingExecutor(*this, properties);
  }

  io_context* io_;
  Counts* counts_;
  Properties properties_;
};

// An operation that passes the executor of its handler to `take`, and completes
// when `complete` is called.
template <class CompletionToken>
auto Operation(std::function<void(const any_io_executor&)> take,
               std::function<void()>& complete, CompletionToken&& token) {
  return boost::asio::async_initiate<CompletionToken, void()>(
      [&complete, take = std::move(take)](auto handler) {
        const auto executor = boost::asio::get_associated_executor(
            handler, boost::asio::system_executor());
        complete = [executor, shared = std::make_shared<decltype(handler)>(
                                  std::move(handler))] {
          executor.execute([shared] { std::move (*shared)(); });
        };
        take(executor);
      },
      token);
}

// ---------------------------------------------- every property, every executor

// Whether `given` does what `native` does for each property that
// any_io_executor passes on.
void ExpectSameProperties(const any_io_executor& native,
                          const any_io_executor& given) {
  const auto same = [&](const char* what, const any_io_executor& a,
                        const any_io_executor& b) {
    SCOPED_TRACE(what);
    EXPECT_EQ(boost::asio::query(a, execution::blocking),
              boost::asio::query(b, execution::blocking));
    EXPECT_EQ(boost::asio::query(a, execution::outstanding_work),
              boost::asio::query(b, execution::outstanding_work));
    EXPECT_EQ(boost::asio::query(a, execution::relationship),
              boost::asio::query(b, execution::relationship));
    EXPECT_EQ(&boost::asio::query(a, execution::context),
              &boost::asio::query(b, execution::context));
  };
  const auto require = [&](const char* what, const auto& property) {
    same(what, boost::asio::require(native, property),
         boost::asio::require(given, property));
  };
  const auto prefer = [&](const char* what, const auto& property) {
    const any_io_executor a = boost::asio::prefer(native, property);
    const any_io_executor b = boost::asio::prefer(given, property);
    same(what, a, b);
    same("and never blocking",
         boost::asio::require(a, execution::blocking.never),
         boost::asio::require(b, execution::blocking.never));
    same("and possibly blocking",
         boost::asio::prefer(a, execution::blocking.possibly),
         boost::asio::prefer(b, execution::blocking.possibly));
  };
  same("as it is", native, given);
  require("never blocking", execution::blocking.never);
  prefer("possibly blocking", execution::blocking.possibly);
  prefer("tracked", execution::outstanding_work.tracked);
  prefer("untracked", execution::outstanding_work.untracked);
  prefer("fork", execution::relationship.fork);
  prefer("continuation", execution::relationship.continuation);
}

// The executors of the coroutine's handlers and of its awaitables, of its own
// code, and of its synchronous code.
void ExpectSamePropertiesInPortal(const any_io_executor& native,
                                  std::function<void()> run) {
  bool ended = false;
  std::function<void()> complete;
  const auto take = [&](const any_io_executor& given) {
    ExpectSameProperties(native, given);
    boost::asio::post(given, [&] { std::exchange(complete, nullptr)(); });
  };
  const auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    ExpectSameProperties(native, co_await boost::asio::this_coro::executor);
    ExpectSameProperties(native, asio::CurrentExecutor());
    co_await Operation(take, complete, use_awaitable);
    Await(Operation(take, complete, deferred));
    const auto inner = [&]() -> awaitable<void> {
      co_await Operation(take, complete, use_awaitable);
    };
    Await(inner());
    co_await inner();
    ended = true;
  };
  boost::asio::co_spawn(native, body(), detached);
  run();
  EXPECT_TRUE(ended);
}

TEST(PortalExecutorTest, R26_KnownExecutorsKeepTheirProperties) {
  io_context io;
  ExpectSamePropertiesInPortal(io.get_executor(), [&] { io.run(); });
  thread_pool pool(1);
  ExpectSamePropertiesInPortal(pool.get_executor(), [&] { pool.join(); });
}

TEST(PortalExecutorTest, R26_UnknownExecutorsKeepTheirProperties) {
  {
    SCOPED_TRACE("strand<thread_pool::executor_type>");
    thread_pool pool(1);
    ExpectSamePropertiesInPortal(boost::asio::make_strand(pool),
                                 [&] { pool.join(); });
  }
  {
    SCOPED_TRACE("strand<any_io_executor>");
    io_context io;
    ExpectSamePropertiesInPortal(
        boost::asio::make_strand(any_io_executor(io.get_executor())),
        [&] { io.run(); });
  }
  {
    SCOPED_TRACE("an io_context's that tracks outstanding work");
    io_context io;
    ExpectSamePropertiesInPortal(
        boost::asio::require(io.get_executor(),
                             execution::outstanding_work.tracked),
        [&] { io.poll(); });
  }
  {
    SCOPED_TRACE("CountingExecutor");
    io_context io;
    Counts counts;
    ExpectSamePropertiesInPortal(CountingExecutor(io, counts),
                                 [&] { io.run(); });
    EXPECT_EQ(counts.tracked, 0);
  }
}

template <class Executor>
void ExpectSamePropertiesWrapped(const Executor& executor) {
  ExpectSameProperties(executor, asio::PortalExecutor<Executor>(executor));
}

TEST(PortalExecutorTest, R26_APortalExecutorOfTheProgramsOwnKeepsThemToo) {
  io_context io;
  thread_pool pool(1);
  Counts counts;
  ExpectSamePropertiesWrapped(io.get_executor());
  ExpectSamePropertiesWrapped(pool.get_executor());
  ExpectSamePropertiesWrapped(boost::asio::make_strand(pool));
  ExpectSamePropertiesWrapped(CountingExecutor(io, counts));
  // Of these executors, some properties can only be preferred.
  ExpectSamePropertiesWrapped(any_io_executor(pool.get_executor()));
  ExpectSamePropertiesWrapped(
      boost::asio::make_strand(any_io_executor(io.get_executor())));
  EXPECT_EQ(counts.tracked, 0);
}

// ------------------------------------------------------------ outstanding work

// Does what every operation of Asio's does for the executor of its handler.
using Work = boost::asio::executor_work_guard<any_io_executor>;

TEST(PortalExecutorTest, R26_HoldingAHandlersExecutorKeepsTheContextRunning) {
  for (const bool await : {false, true}) {
    for (const bool erased : {false, true}) {
      io_context io;
      std::optional<Work> work;
      std::function<void()> complete;
      bool ended = false;
      const auto take = [&](const any_io_executor& executor) {
        work.emplace(executor);
      };
      const auto body = [&]() -> awaitable<void> {
        (void)co_await asio::EnsurePortal();
        if (await) {
          Await(Operation(take, complete, deferred));
        } else {
          co_await Operation(take, complete, use_awaitable);
        }
        ended = true;
      };
      any_io_executor executor = boost::asio::make_strand(io);
      if (erased) {
        executor = boost::asio::make_strand(any_io_executor(io.get_executor()));
      }
      boost::asio::co_spawn(executor, body(), detached);
      io.poll();
      ASSERT_TRUE(complete);
      complete();
      complete = nullptr;
      io.poll();
      EXPECT_TRUE(ended);
      EXPECT_FALSE(io.stopped());
      work.reset();
      io.poll();
      EXPECT_TRUE(io.stopped());
    }
  }
}

TEST(PortalExecutorTest, R26_OperationsTrackTheWorkOfAnUnknownExecutor) {
  io_context io;
  Counts counts;
  io_context other;
  boost::asio::steady_timer timer(other,
                                  boost::asio::steady_timer::time_point::max());
  int before = -1;
  const auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    before = counts.tracked;
    for (int i = 0; i < 2; ++i) {
      boost::system::error_code error;
      std::tie(error) =
          Await(timer.async_wait(boost::asio::as_tuple(deferred)));
      EXPECT_EQ(error, boost::asio::error::operation_aborted);
    }
  };
  boost::asio::co_spawn(CountingExecutor(io, counts), body(), detached);
  for (int i = 0; i < 2; ++i) {
    io.restart();
    io.poll();
    EXPECT_EQ(counts.tracked, before + 1);
    timer.cancel();
    other.restart();
    other.run();
  }
  io.restart();
  io.run();
  EXPECT_EQ(counts.tracked, 0);
}

// With an executor that cannot track its work, join() would return: the other
// thread leaves it enough time for that.
TEST(PortalExecutorTest, R26_APoolsJoinWaitsForOtherThreads) {
  for (const bool strand : {false, true}) {
    thread_pool pool(1);
    std::optional<Work> work;
    std::function<void()> complete;
    std::binary_semaphore started(0);
    std::binary_semaphore ended(0);
    const auto take = [&](const any_io_executor& executor) {
      work.emplace(executor);
      started.release();
    };
    const auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      Await(Operation(take, complete, deferred));
    };
    any_io_executor executor = pool.get_executor();
    if (strand) executor = boost::asio::make_strand(pool);
    boost::asio::co_spawn(executor, body(),
                          [&](std::exception_ptr) { ended.release(); });
    std::atomic<bool> joined = false;
    std::atomic<bool> released = false;
    std::thread other([&] {
      started.acquire();
      std::exchange(complete, nullptr)();
      ended.acquire();
      for (int i = 0; i < 20'000 && !joined; ++i) std::this_thread::yield();
      released = true;
      work.reset();
    });
    pool.join();
    EXPECT_TRUE(released);
    joined = true;
    other.join();
  }
}

TEST(PortalExecutorTest, R26_AThreadThatWillWakeATaskHoldsItsWork) {
  io_context io;
  Counts counts;
  int before = -1;
  std::function<void()> complete;
  const auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    before = counts.tracked;
    Await(FromCallback<>([&](auto done) { complete = [done] { done(); }; }));
  };
  boost::asio::co_spawn(CountingExecutor(io, counts), body(), detached);
  io.poll();
  ASSERT_TRUE(complete);
  int meanwhile = -1;
  counts.on_execute = [&] { meanwhile = counts.tracked; };
  std::thread([&] { complete(); }).join();
  counts.on_execute = nullptr;
  EXPECT_EQ(meanwhile, before + 1);
  EXPECT_EQ(counts.tracked, before);
  io.restart();
  io.run();
  EXPECT_EQ(counts.tracked, 0);
}

// ------------------------------------------- what ends the task in execute()

TEST(PortalExecutorTest, R30_AnExecutorThatRunsTheLastStepInPlaceIsStillThere) {
  io_context io;
  bool ended = false;
  std::function<void()> complete;
  auto counts = std::make_unique<Counts>();
  counts->in_place = true;
  const auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    Await(FromCallback<>([&](auto done) { complete = [done] { done(); }; }));
    ended = true;
  };
  boost::asio::co_spawn(CountingExecutor(io, *counts), body(), detached);
  io.run();
  ASSERT_TRUE(complete);
  const int executed = counts->executed;
  complete();
  EXPECT_TRUE(ended);
  EXPECT_GT(counts->executed, executed);
  io.restart();
  io.run();
  EXPECT_EQ(counts->tracked, 0);
}

// The task has ended by then: nothing of it may be used to pass the exception
// on.
TEST(PortalExecutorTest, R30_WhatACompletionHandlerThrowsPropagatesOutOfRun) {
  for (const bool strand : {false, true}) {
    io_context io;
    std::function<void()> complete;
    const auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      Await(FromCallback<>([&](auto done) { complete = [done] { done(); }; }));
    };
    any_io_executor executor = io.get_executor();
    if (strand) executor = boost::asio::make_strand(io);
    boost::asio::co_spawn(executor, body(), [](std::exception_ptr) {
      throw std::runtime_error("of the handler");
    });
    io.poll();
    ASSERT_TRUE(complete);
    io.restart();
    boost::asio::post(executor, [&] { complete(); });
    EXPECT_THROW(io.run(), std::runtime_error);
    io.run();
  }
}

}  // namespace
}  // namespace greenback
