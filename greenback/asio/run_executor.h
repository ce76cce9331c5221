// RunExecutor(): what to make Boost.Asio's I/O objects on, in a run.
//
//   greenback::Co<void> Client(boost::asio::ip::tcp::endpoint server) {
//     boost::asio::ip::tcp::socket socket(greenback::asio::RunExecutor());
//     co_await socket.async_connect(server, boost::asio::deferred);
//     ...
//   }
//
// The executor of the run's own io_context, which the run's loop polls between
// its tasks' steps, and waits in when no task is ready. Operations of such I/O
// objects complete without a detour over another thread. Include operation.h to
// await them. `co_await boost::asio::this_coro::executor` yields the same
// executor, and so does greenback::Await() of it.
//
// I/O objects must not outlive the run, and belong to its thread. So does the
// executor: a copy that another thread keeps could outlive the run. Asio's
// timers use the system's clock, whatever RunOptions::clock is.
//
// Asio can be given callbacks as well. They run on the run's thread between
// steps, in no task, so that they can set an Event and cannot Await(). An
// exception that a callback throws cancels the run, and Run() throws it. A run
// ends with its main task; callbacks of operations that are under way then are
// never called. stop() of the io_context neither ends the run nor has another
// effect: the loop restarts the io_context.
//
// From the first call on, the run polls Asio at every 64th step even if tasks
// are always ready (a few ns for each checkpoint).
//
// Never suspends. Call it anywhere on the thread of a run; elsewhere it is an
// error (std::logic_error, or a message and abort).
#ifndef GREENBACK_ASIO_RUN_EXECUTOR_H_
#define GREENBACK_ASIO_RUN_EXECUTOR_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <coroutine>

#include "greenback/awaitable.h"

namespace greenback {
namespace asio {

boost::asio::io_context::executor_type RunExecutor();

}  // namespace asio

template <>
struct AwaitableAdapter<boost::asio::this_coro::executor_t> {
  struct Awaiter {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    auto await_resume() const { return asio::RunExecutor(); }
  };
  static Awaiter Adapt(boost::asio::this_coro::executor_t) { return {}; }
};

}  // namespace greenback

#endif  // GREENBACK_ASIO_RUN_EXECUTOR_H_
