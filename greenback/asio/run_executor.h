// RunExecutor(): what to make Boost.Asio's I/O objects on, in a run.
//
//   greenback::Co<void> Client(boost::asio::ip::tcp::endpoint server) {
//     boost::asio::ip::tcp::socket socket(greenback::asio::RunExecutor());
//     co_await socket.async_connect(server, boost::asio::deferred);
//     ...
//   }
//
// The executor of the run's own io_context: the one that the run's loop polls
// between its tasks' steps, and waits in when no task is ready. Operations of
// such I/O objects complete without a detour over another thread. To await them
// include operation.h. `co_await boost::asio::this_coro::executor` gives the
// same, and so does greenback::Await() of it.
//
// I/O objects must not outlive the run, and belong to its thread; so does the
// executor: another thread that holds a copy may do so beyond the run's end.
// Asio's timers go by the system's clock, whatever RunOptions::clock is.
//
// Callbacks may be given to Asio as well: they run on the run's thread between
// steps, in no task, so that they can set an Event, and cannot Await(). What
// one throws cancels the run, and is thrown by Run(). A run ends with its main
// task; operations that nobody awaits then end uncalled. To stop() the
// io_context does not end it, and does nothing else: the loop restarts it.
//
// From the first call on, the run looks after Asio at every 64th step also when
// tasks are always ready (a few ns for each checkpoint).
//
// Never suspends. Anywhere on the thread of a run; elsewhere an error
// (std::logic_error, or a message and abort).
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
