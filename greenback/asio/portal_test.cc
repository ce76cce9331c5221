#include "greenback/asio/portal.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "greenback/await.h"
#include "greenback/runtime/co.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using boost::asio::awaitable;
using boost::asio::deferred;
using boost::asio::detached;
using boost::asio::io_context;
using boost::asio::use_awaitable;

awaitable<int> PostTwice(int value) {
  co_await boost::asio::post(use_awaitable);
  co_await boost::asio::post(use_awaitable);
  co_return value;
}

Co<int> PostInCo(io_context& io, int value) {
  co_await boost::asio::post(io, deferred);
  co_return value;
}

TEST(AsioPortalTest, EnsurePortalInAPlainCoSpawn) {
  io_context io;
  std::vector<int> log;
  auto body = [&]() -> awaitable<void> {
    EXPECT_FALSE(HasPortal());
    EXPECT_TRUE((co_await asio::EnsurePortal()).ok());
    EXPECT_TRUE(HasPortal());
    Await(boost::asio::post(io, deferred));
    log.push_back(1);
    log.push_back(Await(PostTwice(2)));
    log.push_back(Await(PostInCo(io, 3)));
    log.push_back(co_await PostTwice(4));
    EXPECT_TRUE(HasPortal());
    log.push_back(co_await asio::AsAwaitable(PostInCo(io, 5)));
    log.push_back(Await(PostTwice(6)));
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_FALSE(HasPortal());
}

TEST(AsioPortalTest, WhatIsAwaitedHasThePortal) {
  io_context io;
  int result = 0;
  auto inner = [&]() -> awaitable<int> {
    EXPECT_TRUE(HasPortal());
    co_await boost::asio::post(use_awaitable);
    EXPECT_TRUE(HasPortal());
    const int value = Await(PostTwice(20));
    co_await boost::asio::post(use_awaitable);
    EXPECT_TRUE(HasPortal());
    co_return value + Await(PostTwice(1));
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::EnsurePortal();
    result = Await(inner()) + co_await inner();
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, CoSpawnAndCalls) {
  io_context io;
  int result = 0;
  auto sync = [&](int value) {
    EXPECT_TRUE(HasPortal());
    return Await(PostTwice(value)) + Await(PostInCo(io, 1));
  };
  auto body = [&]() -> awaitable<int> {
    EXPECT_FALSE(HasPortal());
    const int value = co_await asio::WithPortalRunSync(sync, 40);
    EXPECT_FALSE(HasPortal());
    co_return value + co_await asio::WithPortalRun([&]() -> awaitable<int> {
      EXPECT_TRUE(HasPortal());
      co_return Await(PostTwice(1));
    });
  };
  asio::CoSpawn(io, body(), [&](std::exception_ptr error, int value) {
    EXPECT_FALSE(error);
    EXPECT_FALSE(HasPortal());
    result = value;
  });
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, P03_ChildrenHaveNone) {
  io_context io;
  int children = 0;
  auto child = [&]() -> awaitable<void> {
    EXPECT_FALSE(HasPortal());
    co_await boost::asio::post(use_awaitable);
    EXPECT_FALSE(HasPortal());
    co_await asio::EnsurePortal();
    EXPECT_EQ(Await(PostTwice(3)), 3);
    ++children;
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::EnsurePortal();
    boost::asio::co_spawn(co_await boost::asio::this_coro::executor, child(),
                          detached);
    asio::CoSpawn(co_await boost::asio::this_coro::executor, child(), detached);
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(Await(PostTwice(1)), 1);
    co_await boost::asio::co_spawn(co_await boost::asio::this_coro::executor,
                                   child(), use_awaitable);
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(Await(PostTwice(2)), 2);
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(children, 3);
}

}  // namespace
}  // namespace greenback
