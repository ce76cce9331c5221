// Awaits Boost.Asio's operations: whatever an asynchronous function of Asio
// returns for the completion token `deferred` or `as_tuple(deferred)`.
//
//   using boost::asio::as_tuple;
//   using boost::asio::deferred;
//
//   greenback::Co<std::string> ReadLine(boost::asio::ip::tcp::socket& socket) {
//     std::string text;
//     co_await boost::asio::async_read_until(
//         socket, boost::asio::dynamic_buffer(text), '\n', deferred);
//     co_return text;
//   }
//
//   // The same in a function that cannot be a coroutine, through a portal.
//   int SocketStreambuf::sync() {
//     auto [error, written] = greenback::Await(boost::asio::async_write(
//         socket_, boost::asio::buffer(text_), as_tuple(deferred)));
//     ...
//   }
//
// Include this header, and `co_await` and Await() take them: sockets, timers,
// signals, pipes, resolvers, post(), composed operations, chains made with
// `op | deferred(fn)`, and experimental::make_parallel_group(), which is how to
// write `timeout || operation`. run_executor.h says on which executor to make
// I/O objects. A coroutine of Asio's own (boost::asio::awaitable) co_awaits
// with Asio's tokens; in its synchronous code these are for Await().
//
// Result: what a coroutine of Asio's receives for `use_awaitable`. For the
// completion signature (error_code, T...) or (exception_ptr, T...) that is
// nothing, the T, or a std::tuple<T...>, and the error is thrown (an error_code
// as boost::system::system_error). For any other signature it is the values, in
// the same way. With as_tuple(deferred) it is the tuple, and nothing is thrown.
// Without exceptions as_tuple(deferred) is the token to use, because there an
// error with plain `deferred` prints a message and aborts.
//
// Suspends: until the operation has completed. An operation that completes
// inside its initiation, as deferred.values() does and no I/O, does not
// suspend.
//
// Cancellation: a cancellation point. When the task's cancel scope is
// cancelled, before or during the operation, `cancellation_type::all` of Asio's
// is emitted to the operation, and the wait continues until the operation has
// ended. If it then reports `operation_aborted`, that propagates as any other
// error would, and the scope's cancelled_caught() is true. An operation that
// has succeeded already, or that cannot be cancelled, yields its result; so
// does one that Asio has no memory to cancel. A chain is cancelled at the link
// that is under way; what `fn` starts next is not.
//
// Threads: in a task of a run, the handler is bound to the run's thread. So the
// operation may belong to another io_context or a thread_pool: its completion,
// and each step of a composed operation, runs on the run's thread. The
// cancellation is emitted there, too, which is safe for all I/O objects of
// Asio's. It is not safe where steps run elsewhere nevertheless: for a handler
// that the program has bound with bind_executor(), or for the members of a
// parallel_group on other threads if they are composed operations. To cancel
// these is a data race in Asio; make their I/O objects on RunExecutor(). In a
// task of Asio's (portal.h) the same holds for the coroutine's executor. In
// other coroutines the handler has no executor of its own and runs where the
// I/O object's executor says.
//
// Resumed by: the task's host, on the task's thread.
//
// Ownership: an operation that is awaited as an rvalue is moved from; an lvalue
// is copied, and can be awaited again. I/O objects and buffers must live until
// the wait has ended. When the awaiting coroutine is destroyed first, the
// operation continues and its result is dropped. Each operation allocates one
// small object, besides what Asio allocates.
//
// Errors: an exception of the initiation propagates from the await. A handler
// that is destroyed without being called (because its io_context is destroyed)
// counts as an error operation_aborted, also for signatures without an error.
#ifndef GREENBACK_ASIO_OPERATION_H_
#define GREENBACK_ASIO_OPERATION_H_

#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <utility>

#include "greenback/abandoned.h"
#include "greenback/asio/internal/operation_awaiter.h"
#include "greenback/asio/internal/post_awaiter.h"
#include "greenback/awaitable.h"

namespace greenback {

template <asio::internal::DeferredOperation T>
struct AwaitableAdapter<T> {
  static auto Adapt(T& operation) {
    return asio::internal::OperationAwaiter<T&>(operation);
  }
  static auto Adapt(const T& operation) {
    return asio::internal::OperationAwaiter<const T&>(operation);
  }
  static auto Adapt(T&& operation) {
    return asio::internal::OperationAwaiter<T>(std::move(operation));
  }
};

// post(deferred) is a checkpoint.
template <>
struct AwaitableAdapter<asio::internal::DeferredPost> {
  static auto Adapt(const asio::internal::DeferredPost& post) {
    return asio::internal::PostAwaiter(post);
  }
};

// What as_tuple(deferred) yields in a destructor while its task is abandoned.
template <>
struct AbandonedValue<boost::system::error_code> {
  static boost::system::error_code Make() {
    return boost::asio::error::operation_aborted;
  }
};

}  // namespace greenback

#endif  // GREENBACK_ASIO_OPERATION_H_
