// Portals in Boost.Asio's coroutines, boost::asio::awaitable<T>.
//
//   boost::asio::awaitable<void> Session(tcp::socket socket, Database& db) {
//     (void)co_await greenback::asio::EnsurePortal();
//     SocketStreambuf buffer(socket);   // synchronous code: it calls
//     std::iostream stream(&buffer);    // greenback::Await(async_read_some(
//     db.Dump(stream);                  //     ..., deferred)) in underflow()
//   }
//   ...
//   boost::asio::io_context io;
//   greenback::asio::CoSpawn(io, Session(std::move(socket), db),
//                            boost::asio::detached);
//   io.run();
//
// For programs that have a loop already. Everything else is Boost.Asio as it
// is: no other executor, context or completion tokens, and the same sockets and
// timers. A coroutine that opens a portal, wherever and by whatever code it was
// spawned, becomes a task of greenback's: its handlers then run as steps of the
// task, each on a pooled fiber, and Await() inside them suspends synchronous
// code. A coroutine that opens none is not touched.
//
// What Await() takes here: operations with the tokens deferred and
// as_tuple(deferred) (operation.h), another boost::asio::awaitable
// (awaitable.h), greenback::Co and whatever is awaitable (../awaitable.h). What
// needs a run (Sleep(), nurseries, cancel scopes, task trees) is refused with a
// PortalError that names both hosts, because Asio has no task tree.
//
// Cancellation: when the coroutine is cancelled through its cancellation slot,
// the operation that its synchronous code awaits is cancelled. That propagates
// as operation_aborted, or as kCancelled if the result is a Status. Asio's own
// rule holds as well: in a coroutine that is cancelled, every co_await throws
// operation_aborted, unless throw_if_cancelled(false) was awaited.
// Threads: those of the executor: one thread, a strand, or a thread_pool, where
// a coroutine, and the stack that it waits on, may resume on another thread
// after every wait. Functions that read thread-locals must then not be inlined:
// compilers keep the address of a thread-local in a register over an Await().
// Asio's coroutines read one when they are called, to allocate their frame. So
// on executors of several threads a coroutine that synchronous code awaits,
// Await(FetchRow(id)), must be noinline or in another file; or the whole
// program defines BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING. (Asio's
// operations and greenback::Co have no such need.) Resumed by: the coroutine's
// executor; by a post() if that would be in the middle of another task's step.
// Other coroutines: what a task spawns on this_coro::executor is a coroutine of
// its own, without a portal. (One that is spawned with plain co_spawn() on a
// bare executor of the same thread starts at once, inside its spawner's step,
// and until it first waits HasPortal() is its spawner's. CoSpawn() has no such
// exception.)
// Destruction: an execution context that is destroyed while coroutines wait in
// synchronous code unwinds them; see ../abandoned.h. It may be a static object,
// which is destroyed at exit. When exit() is called in a step, the frames of
// that step are not unwound, because they never return.
// Errors: misuse throws PortalError. Needs exceptions, as
// boost::asio::awaitable does. Boost 1.81 to 1.92: a coroutine becomes a task
// by what is private in Boost.Asio (internal/awaitable_thread.h says why). With
// a newer Boost EnsurePortal() does not compile, and says what to do.
#ifndef GREENBACK_ASIO_PORTAL_H_
#define GREENBACK_ASIO_PORTAL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <concepts>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/asio/awaitable.h"
#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/run_as_task.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/portal.h"
#include "greenback/task_local.h"

namespace greenback::asio {

// The running task; PortalError if there is none. For BestowPortal() by other
// tasks, which must use it on its executor and while the coroutine exists.
PortalTask& CurrentTask(
    std::source_location where = std::source_location::current());

// The executor on which to make I/O objects: what this_coro::executor is to a
// coroutine, for its synchronous code. It is that of the running task, be it
// Asio's or a run's; PortalError if there is none.
boost::asio::any_io_executor CurrentExecutor(
    std::source_location where = std::source_location::current());

// boost::asio::co_spawn() of a coroutine that is a task from the start: portals
// can be opened in it (and bestowed on it), and it has none yet. `executor`:
// an executor or an execution context. `awaitable`: a boost::asio::awaitable,
// or a function that returns one and lives until the coroutine has ended. In
// messages the task has the name of the calling function. It inherits the
// caller's task locals.
template <class ExecutorOrContext, class Awaitable, class CompletionToken>
auto CoSpawn(ExecutorOrContext&& executor, Awaitable&& awaitable,
             CompletionToken&& token,
             std::source_location where = std::source_location::current()) {
  using Given = std::remove_cvref_t<Awaitable>;
  if constexpr (internal::kIsBoostAwaitable<Given>) {
    return CoSpawn(
        std::forward<ExecutorOrContext>(executor),
        [awaitable = Given(std::forward<Awaitable>(awaitable))]() mutable {
          return std::move(awaitable);
        },
        std::forward<CompletionToken>(token), where);
  } else {
    static_assert(std::invocable<Given>,
                  "greenback::asio::CoSpawn(executor, awaitable, token): "
                  "awaitable must be a boost::asio::awaitable, or a function "
                  "without arguments that returns one");
    using Made = internal::MadeAwaitable<std::invoke_result_t<Given>>;
    return boost::asio::co_spawn(
        executor,
        internal::RunAsTask<typename Made::Result, typename Made::Executor>(
            Given(std::forward<Awaitable>(awaitable)), where.function_name(),
            greenback::internal::CurrentLocals()),
        std::forward<CompletionToken>(token));
  }
}

// co_await EnsurePortal() -> absl::Status: from now on, until it ends, the
// coroutine has a portal. Always a full checkpoint: a post() to its executor,
// and kCancelled when it is cancelled; the portal is opened in any case. (In a
// coroutine that was cancelled before, the co_await itself throws; see above.)
template <class Executor = boost::asio::any_io_executor>
boost::asio::awaitable<absl::Status, Executor> EnsurePortal(
    std::source_location where = std::source_location::current()) {
  static_assert(
      internal::kBoostIsTested<Executor>,
      "greenback::asio::EnsurePortal() has been tested with Boost 1.81 to "
      "1.92, "
      "and this one is newer: spawn the coroutine with "
      "greenback::asio::CoSpawn() and open its portals by WithPortalRun(), or "
      "define GREENBACK_ASIO_NEWEST_BOOST as this BOOST_VERSION to try it");
  co_await internal::BecomeTask<Executor>(where.function_name(),
                                          /*post=*/true);
  internal::CoroutineTask& task = *internal::CoroutineTask::Current();
  using Access = greenback::internal::PortalAccess;
  Access::Set(task, Access::Portal::kOpen);
  co_return task.FinishCheckpoint();
}

// The same as on other hosts. HasPortal(): whether Await() would be accepted.
// BestowPortal(): gives a portal to another task (or, from its next step on, to
// the running one).
using greenback::BestowPortal;
using greenback::HasPortal;

// co_await WithPortalRunSync(sync_fn, args...): calls sync_fn(args...) with a
// portal for the time of the call, and returns its result (for a reference, a
// std::reference_wrapper). Adds no checkpoint.
template <class Executor = boost::asio::any_io_executor, class Fn,
          class... Args>
auto WithPortalRunSync(Fn fn, Args... args) -> boost::asio::awaitable<
    typename internal::YieldsInAsio<std::invoke_result_t<Fn, Args...>>::T,
    Executor> {
  const bool& identity = co_await internal::FrameIdentity();
  internal::CoroutineTask* task = internal::RunningTaskOf(identity);
  if (task == nullptr) {
    co_await internal::BecomeTask<Executor>("WithPortalRunSync",
                                            /*post=*/false)
        .KeepSwitched(identity);
    task = internal::CoroutineTask::Current();
  }
  const greenback::internal::PortalForCall portal(*task);
  co_return std::invoke(std::move(fn), std::move(args)...);
}

// co_await WithPortalRun(async_fn, args...): the same for a function that
// returns a boost::asio::awaitable, a greenback::Co, or another awaitable.
template <class Executor = boost::asio::any_io_executor, class Fn,
          class... Args>
auto WithPortalRun(Fn fn, Args... args) -> boost::asio::awaitable<
    typename internal::MadeAwaitable<std::invoke_result_t<Fn, Args...>>::Result,
    Executor> {
  const bool& identity = co_await internal::FrameIdentity();
  internal::CoroutineTask* task = internal::RunningTaskOf(identity);
  if (task == nullptr) {
    co_await internal::BecomeTask<Executor>("WithPortalRun", /*post=*/false)
        .KeepSwitched(identity);
    task = internal::CoroutineTask::Current();
  }
  const greenback::internal::PortalForCall portal(*task);
  using Made = std::invoke_result_t<Fn, Args...>;
  if constexpr (internal::kIsBoostAwaitable<Made>) {
    co_return co_await std::invoke(std::move(fn), std::move(args)...);
  } else {
    co_return co_await AsAwaitable<Executor>(
        std::invoke(std::move(fn), std::move(args)...));
  }
}

}  // namespace greenback::asio

#endif  // GREENBACK_ASIO_PORTAL_H_
