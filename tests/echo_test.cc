// A server and a hundred clients in one run, over loopback sockets of
// Boost.Asio. Each connection is a plain function that loops over what it
// receives, half of the clients are plain functions that wait deep inside other
// plain functions, and the rest are coroutines.

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <istream>
#include <ostream>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/asio/operation.h"
#include "greenback/asio/run_executor.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/process_resources.h"
#include "util/async_generator.h"
#include "util/async_iter.h"

namespace {

using ::boost::asio::as_tuple;
using ::boost::asio::buffer;
using ::boost::asio::deferred;
using ::boost::asio::ip::tcp;
using ::boost::system::error_code;
using ::greenback::AsyncGenerator;
using ::greenback::AsyncIter;
using ::greenback::Await;
using ::greenback::Co;
using ::greenback::Nursery;
using ::greenback::asio::RunExecutor;

constexpr auto kQuiet = as_tuple(deferred);
constexpr int kClients = 100;
constexpr int kLines = 20;

// Counts the tasks that are inside it.
class Inside {
 public:
  explicit Inside(int& count) : count_(count) { ++count_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { --count_; }

 private:
  int& count_;
};

struct Counts {
  int connections = 0;  // open now
  int accepted = 0;
  int finished = 0;   // by their client
  int cancelled = 0;  // by the end of the server
  int clients = 0;    // that have got what they wanted
  // Half of the connections are finished, and all clients are satisfied.
  greenback::Event settled;

  void Note() {
    if (finished == kClients / 2 && clients == kClients) settled.Set();
  }
};

// --------------------------------------------------------------------- server

// Yields what the socket receives until it ends, for the reason `end`.
AsyncGenerator<std::string_view> Received(tcp::socket& socket,
                                          error_code& end) {
  std::array<char, 256> text;
  for (;;) {
    auto [error, size] = co_await socket.async_read_some(buffer(text), kQuiet);
    if (error) {
      end = error;
      co_return;
    }
    co_yield std::string_view(text.data(), size);
  }
}

void Echo(tcp::socket& socket, Counts& counts) {
  Inside inside(counts.connections);
  error_code end;
  for (std::string_view text : AsyncIter(Received(socket, end))) {
    auto [error, written] =
        Await(boost::asio::async_write(socket, buffer(text), kQuiet));
    EXPECT_FALSE(error) << error;
    EXPECT_EQ(written, text.size());
  }
  ++(end == boost::asio::error::operation_aborted ? counts.cancelled
                                                  : counts.finished);
  counts.Note();
}

Co<void> Serve(tcp::socket socket, Counts& counts) {
  co_await greenback::WithPortalRunSync(Echo, std::ref(socket),
                                        std::ref(counts));
}

// One task a connection, until the nursery is cancelled.
Co<absl::Status> RunServer(tcp::acceptor& acceptor, Counts& counts,
                           Nursery*& server) {
  co_return co_await greenback::OpenNursery(
      [&](Nursery& nursery) -> Co<absl::Status> {
        server = &nursery;
        for (;;) {
          auto [error, socket] = co_await acceptor.async_accept(kQuiet);
          if (error) break;
          ++counts.accepted;
          nursery.StartSoon(Serve, std::move(socket), std::ref(counts));
        }
        co_return co_await greenback::CheckpointIfCancelled();
      });
}

// -------------------------------------------------------------------- clients

std::string Line(int client, int number) {
  return absl::StrCat("client ", client, ", line ", number, "\n");
}

Co<void> NativeClient(tcp::endpoint server, int client, Counts& counts) {
  tcp::socket socket(RunExecutor());
  auto [error] = co_await socket.async_connect(server, kQuiet);
  EXPECT_FALSE(error) << error;
  std::string received;
  for (int i = 0; i < kLines; ++i) {
    const std::string line = Line(client, i);
    auto [write_error, written] =
        co_await boost::asio::async_write(socket, buffer(line), kQuiet);
    EXPECT_FALSE(write_error) << write_error;
    auto [read_error, size] = co_await boost::asio::async_read_until(
        socket, boost::asio::dynamic_buffer(received), '\n', kQuiet);
    EXPECT_FALSE(read_error) << read_error;
    EXPECT_EQ(received.substr(0, size), line);
    received.erase(0, size);
  }
  ++counts.clients;
  counts.Note();
  if (client % 4 == 0) {  // stays until the server closes the connection
    auto [end, size] = co_await boost::asio::async_read_until(
        socket, boost::asio::dynamic_buffer(received), '\n', kQuiet);
    EXPECT_EQ(end, boost::asio::error::eof);
  }
}

// A stream of the standard library on a socket: its functions know nothing of
// coroutines.
class SocketStreambuf final : public std::streambuf {
 public:
  explicit SocketStreambuf(tcp::socket& socket) : socket_(socket) {}

 protected:
  int_type underflow() override {
    auto [error, size] = Await(socket_.async_read_some(buffer(in_), kQuiet));
    if (error) return traits_type::eof();
    setg(in_.data(), in_.data(), in_.data() + size);
    return traits_type::to_int_type(in_[0]);
  }
  int_type overflow(int_type letter) override {
    if (traits_type::eq_int_type(letter, traits_type::eof())) return 0;
    out_.push_back(traits_type::to_char_type(letter));
    return letter;
  }
  int sync() override {
    auto [error, size] =
        Await(boost::asio::async_write(socket_, buffer(out_), kQuiet));
    out_.clear();
    return error ? -1 : 0;
  }

 private:
  tcp::socket& socket_;
  std::array<char, 16> in_;
  std::string out_;
};

void Talk(std::istream& in, std::ostream& out, int client) {
  for (int i = 0; i < kLines; ++i) {
    out << Line(client, i) << std::flush;
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line + "\n", Line(client, i));
  }
}

void SynchronousClient(tcp::endpoint server, int client, Counts& counts) {
  tcp::socket socket(RunExecutor());
  auto [error] = Await(socket.async_connect(server, kQuiet));
  EXPECT_FALSE(error) << error;
  SocketStreambuf streambuf(socket);
  std::istream in(&streambuf);
  std::ostream out(&streambuf);
  Talk(in, out, client);
  ++counts.clients;
  counts.Note();
  if (client % 4 == 1) {  // stays, likewise
    std::string nothing;
    std::getline(in, nothing);
    EXPECT_TRUE(in.eof());
  }
}

Co<void> RunClient(tcp::endpoint server, int client, Counts& counts) {
  if (client % 2 == 0) {
    co_await NativeClient(server, client, counts);
  } else {
    co_await greenback::WithPortalRunSync(SynchronousClient, server, client,
                                          std::ref(counts));
  }
}

Co<void> ServeHundredClients(Counts& counts) {
  tcp::acceptor acceptor(
      RunExecutor(), tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  const absl::Status status = co_await greenback::OpenNursery(
      [&](Nursery& everybody) -> Co<absl::Status> {
        Nursery* server = nullptr;
        everybody.StartSoon(RunServer, std::ref(acceptor), std::ref(counts),
                            std::ref(server));
        for (int client = 0; client < kClients; ++client) {
          everybody.StartSoon(RunClient, acceptor.local_endpoint(), client,
                              std::ref(counts));
        }
        absl::Status settled = co_await counts.settled.Wait();
        EXPECT_EQ(counts.connections, kClients / 2);
        server->cancel_scope().Cancel();
        co_return settled;
      });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(EchoTest, P22_AServerWithAHundredClientsLeavesNothing) {
  const int descriptors = greenback::CountDescriptors();
  for (int i = 0; i < 2; ++i) {
    Counts counts;
    greenback::Run(ServeHundredClients, std::ref(counts));
    EXPECT_EQ(counts.accepted, kClients);
    EXPECT_EQ(counts.finished, kClients / 2);
    EXPECT_EQ(counts.cancelled, kClients / 2);
    EXPECT_EQ(counts.connections, 0);
    EXPECT_EQ(greenback::CountDescriptors(), descriptors);
  }
}

}  // namespace
