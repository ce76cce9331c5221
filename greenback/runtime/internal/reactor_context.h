// The Asio half of the reactor, for the files that start Asio operations.
#ifndef GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_
#define GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <thread>
#include <utility>

#include "greenback/host/host_io.h"
#include "greenback/host/posted.h"
#include "greenback/runtime/internal/reactor.h"

namespace greenback::internal {

// Memory for a handler that is posted at most once at a time, so that posting
// it cannot fail.
struct alignas(std::max_align_t) HandlerPlace {
  char bytes[128];
};

// What the loop offers as a HostIo, too.
class ReactorContext final : public HostIo {
 public:
  explicit ReactorContext(Reactor& reactor) : reactor_(reactor) {}

  boost::asio::io_context& context() noexcept override { return io; }
  void OperationStarted() noexcept override { reactor_.OperationStarted(); }
  void OperationEnded() noexcept override { reactor_.OperationEnded(); }
  void KeepPolling() noexcept override { reactor_.KeepPolling(); }
  bool OnThisThread() const noexcept override {
    return std::this_thread::get_id() == thread_;
  }
  void Post(Posted& posted) noexcept override { reactor_.Post(posted); }
  void Post(std::function<void()> fn) override { reactor_.Post(std::move(fn)); }

  HandlerPlace drain_end;   // ends Reactor::Drain()
  HandlerPlace run_posted;  // calls Reactor::RunPosted()
  boost::asio::io_context io;
  boost::asio::steady_timer timer{io};
  // A run ends when its tasks end, not when Asio runs out of work.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      io.get_executor()};

 private:
  Reactor& reactor_;
  const std::thread::id thread_ = std::this_thread::get_id();
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_REACTOR_CONTEXT_H_
