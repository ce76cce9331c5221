// A Boost that is newer than all with which greenback has been tested.
#define GREENBACK_ASIO_NEWEST_BOOST 108000

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "greenback/asio/asio.h"
#include "greenback/await.h"

boost::asio::awaitable<void> Session() {
#ifdef MUST_NOT_COMPILE
  (void)co_await greenback::asio::EnsurePortal();
#endif
  co_await greenback::asio::WithPortalRunSync(
      [] { greenback::Await(boost::asio::post(boost::asio::deferred)); });
}

int main() {
  boost::asio::io_context io;
  greenback::asio::CoSpawn(io, Session(), boost::asio::detached);
  io.run();
}
