// Where the examples of greenback/asio stand.
#include "greenback/asio/asio.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <iostream>
#include <streambuf>
#include <string>
#include <utility>

#include "greenback/await.h"
#include "greenback/runtime/co.h"

using boost::asio::ip::tcp;

namespace awaitable {
struct Row {};
boost::asio::awaitable<Row> FetchRow(int id);
void InAFunction(int id) {
  // EXAMPLE greenback/asio/awaitable.h 1
}
// EXAMPLE greenback/asio/awaitable.h 2
}  // namespace awaitable

namespace operation {
class SocketStreambuf : public std::streambuf {
  int sync() override;
  tcp::socket socket_;
  std::string text_;
};
// EXAMPLE greenback/asio/operation.h 1
}  // namespace operation

namespace portal {
class SocketStreambuf : public std::streambuf {
 public:
  explicit SocketStreambuf(tcp::socket& socket);
};
struct Database {
  void Dump(std::ostream& stream);
};
// EXAMPLE greenback/asio/portal.h 1
void Example(tcp::socket socket, Database& db) {
  // EXAMPLE greenback/asio/portal.h 2
}
}  // namespace portal

namespace portal_executor {
using Io = boost::asio::io_context;
// EXAMPLE greenback/asio/portal_executor.h 1
Session Example();
}  // namespace portal_executor

namespace run_executor {
// EXAMPLE greenback/asio/run_executor.h 1
}  // namespace run_executor
