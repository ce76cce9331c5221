// Awaits a boost::asio::awaitable in synchronous code and in other coroutines,
// and everything else in a boost::asio::awaitable.
//
//   // Await() of one, in synchronous code of a coroutine with a portal:
//   Row row = greenback::Await(FetchRow(id));   // asio::awaitable<Row>
//   ...
//   // co_await of one, in a greenback::Co, on either host:
//   greenback::Co<Row> Cached(int id) { co_return co_await FetchRow(id); }
//
//   // Of a Co (or any awaitable of greenback's) in a boost::asio::awaitable,
//   // whose co_await takes nothing but Asio's own: by way of AsAwaitable().
//   boost::asio::awaitable<Row> Get(int id) {
//     co_return co_await greenback::asio::AsAwaitable(Cached(id));
//   }
//
// In a task of Asio's (portal.h), an awaitable that is awaited runs as part of
// the task, as if it were awaited natively: it has the task's portal, executor
// and cancellation. It starts at once, on the stack of the waiting task. (When
// a combinator awaits two at the same time, the second runs beside the task,
// without its portal.) In a task of a run it is spawned with co_spawn() on the
// run's RunExecutor(). There a cancelled scope is cancellation_type::all, and
// the awaitable ends with operation_aborted. In other coroutines it is a
// PortalError, because there is no executor to run it on.
//
// AsAwaitable(x) makes the coroutine that awaits it a task, without a portal.
// In the task, x resumes on the coroutine's executor and is cancelled along
// with the coroutine. An x that needs a run is refused, as in portal.h.
//
// Result, errors: those of the awaitable, unchanged. For a reference
// AsAwaitable() returns a std::reference_wrapper, because a
// boost::asio::awaitable cannot yield one. An awaitable that is dropped by its
// execution context counts as operation_aborted.
// Suspends: when the awaitable does.
// Ownership: an awaitable is awaited once, as an rvalue. AsAwaitable() keeps
// its argument.
#ifndef GREENBACK_ASIO_AWAITABLE_H_
#define GREENBACK_ASIO_AWAITABLE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/coroutine_wait.h"
#include "greenback/asio/internal/driver.h"
#include "greenback/awaitable.h"
#include "greenback/internal/outcome.h"

namespace greenback {
namespace asio {

// co_await AsAwaitable(x), in a coroutine of Asio's: awaits x.
template <class Executor = boost::asio::any_io_executor, class A>
auto AsAwaitable(A awaitable) -> boost::asio::awaitable<
    typename internal::YieldsInAsio<AwaitResult<A>>::T, Executor> {
  using Result = AwaitResult<A>;
  const bool& identity = co_await internal::FrameIdentity();
  if (internal::RunningTaskOf(identity) == nullptr) {
    co_await internal::BecomeTask<Executor>("AsAwaitable", /*post=*/false)
        .KeepSwitched(identity);
  }
  greenback::internal::Outcome<Result> outcome;
  internal::Driver driver = internal::Drive<A, Result>(awaitable, outcome);
  internal::CoroutineTask& task = *internal::CoroutineTask::Current();
  internal::DriverRun<Executor> run(task, driver, identity);
  auto start = [&run](internal::BaseFrame<Executor>* frame) {
    return run.Start(frame);
  };
  {
    const internal::DrivingScope driving(task);
    co_await start;
  }
  co_return outcome.Take();
}

}  // namespace asio

// co_await and Await() of a boost::asio::awaitable.
template <class T, class Executor>
struct AwaitableAdapter<boost::asio::awaitable<T, Executor>> {
  static auto Adapt(boost::asio::awaitable<T, Executor>&& awaitable) {
    return asio::internal::CoroutineAwaiter<T, Executor>(std::move(awaitable));
  }
};

}  // namespace greenback

#endif  // GREENBACK_ASIO_AWAITABLE_H_
