// The Asio half of the reactor, for the files that start Asio operations.
#ifndef GREENBACK_RUNTIME_REACTOR_CONTEXT_H_
#define GREENBACK_RUNTIME_REACTOR_CONTEXT_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>

namespace greenback::internal {

// Where the handler is kept that ends Reactor::Drain().
struct alignas(std::max_align_t) DrainEndPlace {
  char bytes[128];
};

class ReactorContext {
 public:
  DrainEndPlace drain_end;
  boost::asio::io_context io;
  boost::asio::steady_timer timer{io};
  // A run waits for tasks, not for Asio to run out of work.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      io.get_executor()};
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_REACTOR_CONTEXT_H_
