// The Asio half of the reactor, for the files that start Asio operations.
#ifndef GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_
#define GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>

namespace greenback::internal {

// Memory for a handler that is posted at most once at a time, so that posting
// it cannot fail.
struct alignas(std::max_align_t) HandlerPlace {
  char bytes[128];
};

class ReactorContext {
 public:
  HandlerPlace drain_end;   // ends Reactor::Drain()
  HandlerPlace run_posted;  // calls Reactor::RunPosted()
  boost::asio::io_context io;
  boost::asio::steady_timer timer{io};
  // A run ends when its tasks end, not when Asio runs out of work.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      io.get_executor()};
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_
