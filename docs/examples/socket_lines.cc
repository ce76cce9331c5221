// AsyncIter(): a plain function with a plain loop over the lines that come from
// a socket of Boost.Asio. Both ends of the connection are in this program.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "greenback/asio/operation.h"
#include "greenback/asio/run_executor.h"
#include "greenback/greenback.h"
#include "util/async_generator.h"
#include "util/async_iter.h"

using boost::asio::as_tuple;
using boost::asio::deferred;
using Socket = boost::asio::local::stream_protocol::socket;

// Until the other end closes.
greenback::AsyncGenerator<std::string> Lines(Socket& socket) {
  std::string received;
  for (;;) {
    auto [error, size] = co_await boost::asio::async_read_until(
        socket, boost::asio::dynamic_buffer(received), '\n',
        as_tuple(deferred));
    if (error) co_return;
    co_yield received.substr(0, size - 1);
    received.erase(0, size);
  }
}

// Plain code.
void PrintLines(Socket& socket) {
  int count = 0;
  for (const std::string& line : greenback::AsyncIter(Lines(socket))) {
    std::printf("%d: %s\n", ++count, line.c_str());
  }
  std::printf("%d lines\n", count);
}

greenback::Co<void> Reader(Socket socket) {
  co_await greenback::WithPortalRunSync(PrintLines, std::ref(socket));
}

// What is sent at a time is seldom a line.
constexpr std::string_view kPieces[] = {"apples\npe", "ars\n", "plums\nfi",
                                        "gs\n"};

greenback::Co<void> Writer(Socket socket) {
  for (std::string_view piece : kPieces) {
    auto [error, size] = co_await boost::asio::async_write(
        socket, boost::asio::buffer(piece), as_tuple(deferred));
    if (error) co_return;
  }
}

greenback::Co<absl::Status> Main() {
  co_return co_await greenback::OpenNursery(
      [](greenback::Nursery& nursery) -> greenback::Co<void> {
        Socket one(greenback::asio::RunExecutor());
        Socket other(greenback::asio::RunExecutor());
        boost::asio::local::connect_pair(one, other);
        nursery.StartSoon(Reader, std::move(one));
        nursery.StartSoon(Writer, std::move(other));
        co_return;
      });
}

int main() { return greenback::Run(Main).ok() ? 0 : 1; }
