// A Boost that is newer than all with which greenback has been tested.
#define GREENBACK_ASIO_NEWEST_BOOST 108000

#include <boost/asio/awaitable.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "greenback/asio/asio.h"
#include "greenback/await.h"
#include "greenback/runtime/co.h"

greenback::Co<int> Compute() { co_return 1; }

boost::asio::awaitable<void> Session() {
#ifdef MUST_NOT_COMPILE
  (void)co_await greenback::asio::EnsurePortal();
#endif
  co_await greenback::asio::WithPortalRunSync(
      [] { greenback::Await(Compute()); });
}

int main() {
  boost::asio::io_context io;
  greenback::asio::CoSpawn(io, Session(), boost::asio::detached);
  io.run();
}
