// What works with a Boost that is newer than all with which greenback has been
// tested: everything but EnsurePortal(), which does not compile
// (ensure_portal_newer_boost.cc).
#define GREENBACK_ASIO_NEWEST_BOOST 108000

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "greenback/asio/asio.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using boost::asio::awaitable;
using boost::asio::deferred;
using boost::asio::detached;

// Not inlined: see "Threads" in portal.h.
__attribute__((noinline)) awaitable<int> PostTwice(int value) {
  co_await boost::asio::post(boost::asio::use_awaitable);
  co_await boost::asio::post(boost::asio::use_awaitable);
  co_return value;
}

TEST(AsioNewerBoostTest, ACoroutineThatCoSpawnSpawnsMayOpenPortals) {
  static_assert(!asio::internal::kBoostIsTested<boost::asio::any_io_executor>);
  boost::asio::io_context io;
  int sum = 0;
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync([&] {
      Await(boost::asio::post(io, deferred));
      sum += Await(PostTwice(1));
    });
    co_await asio::WithPortalRun([&]() -> awaitable<void> {
      co_await boost::asio::post(boost::asio::use_awaitable);
      sum += Await(PostTwice(10));
    });
    EXPECT_FALSE(HasPortal());
    sum += co_await asio::AsAwaitable([]() -> Co<int> { co_return 100; }());
  };
  asio::CoSpawn(io, body(), detached);
  io.run();
  EXPECT_EQ(sum, 111);
}

TEST(AsioNewerBoostTest, SoMayOneThatAsioSpawns) {
  boost::asio::io_context io;
  int result = 0;
  auto body = [&]() -> awaitable<void> {
    result =
        co_await asio::WithPortalRunSync([] { return Await(PostTwice(1)); });
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(result, 1);
}

}  // namespace
}  // namespace greenback
