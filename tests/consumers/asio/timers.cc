// Two coroutines of Boost.Asio's wait in a plain function.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>

#include "greenback/asio/asio.h"
#include "greenback/await.h"

// Plain code.
void WaitAndPrint(int milliseconds) {
  boost::asio::steady_timer timer(greenback::asio::CurrentExecutor(),
                                  std::chrono::milliseconds(milliseconds));
  greenback::Await(timer.async_wait(boost::asio::deferred));
  std::printf("after %d ms\n", milliseconds);
}

boost::asio::awaitable<void> Session(int milliseconds) {
  co_await greenback::asio::WithPortalRunSync(WaitAndPrint, milliseconds);
}

int main() {
  boost::asio::io_context io;
  for (int milliseconds : {20, 1}) {
    greenback::asio::CoSpawn(io, Session(milliseconds), boost::asio::detached);
  }
  io.run();
}
