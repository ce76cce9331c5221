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
// For programs that have a loop already: everything else is Boost.Asio as it
// is. No other executor, no other context, no other completion tokens, and the
// same sockets and timers. A coroutine that opens a portal, wherever and by
// whomever it was spawned, becomes a task to greenback: its handlers then run
// as steps of the task, each on a pooled fiber, and below them greenback's
// Await() suspends synchronous code. One that opens none is not touched.
//
// What Await() takes here: operations with the tokens deferred and
// as_tuple(deferred) (operation.h), another boost::asio::awaitable
// (awaitable.h), greenback::Co and whatever is awaitable (../awaitable.h). What
// needs a run (Sleep(), nurseries, cancel scopes, task trees) is refused with a
// PortalError that names both hosts: Asio has no task tree.
//
// Cancellation: what Asio's cancellation slots tell the coroutine reaches what
// it awaits in synchronous code. It comes out as the operation's
// operation_aborted, or as kCancelled where a Status says so. Asio's own rule
// holds as well: in a coroutine that is cancelled, every co_await throws
// operation_aborted, unless throw_if_cancelled(false) was awaited.
// Threads: whatever the executor gives: one thread, a strand, or a thread_pool,
// where a coroutine, and the stack that it waits on, may go on on another
// thread after every wait. Thread-locals are then read by functions that are
// not inlined, or not at all: compilers keep the address of a thread-local in a
// register over an Await(). Asio's coroutines read one when they are called,
// to allocate their frame. So on executors of several threads a coroutine that
// synchronous code awaits, Await(FetchRow(id)), has to be noinline, or in
// another file; or the whole program defines
// BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING. (Operations of Asio's, and
// greenback::Co, have no such need.)
// Resumed by: the coroutine's executor. In the middle of another task's step it
// is posted.
// Other coroutines: what a task spawns on this_coro::executor is a coroutine of
// its own, without a portal. (One that is spawned with plain co_spawn() on a
// bare executor of the same thread starts at once, inside its spawner's step,
// and until it first waits HasPortal() is its spawner's; CoSpawn() has no such
// exception.)
// Destruction: an execution context that is destroyed while coroutines wait in
// synchronous code unwinds them: see ../abandoned.h. It may be a static object,
// whose destructor runs at exit. When exit() is called in a step, the frames of
// that step are not unwound, as they never return.
// Errors: misuse throws PortalError. These need exceptions, as
// boost::asio::awaitable does, and Boost 1.81 (awaitable_thread.h says why).
#ifndef GREENBACK_ASIO_PORTAL_H_
#define GREENBACK_ASIO_PORTAL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <concepts>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/asio/awaitable.h"
#include "greenback/asio/internal/asio_task.h"
#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/portal_executor.h"
#include "greenback/awaitable.h"
#include "greenback/host/portal_task.h"
#include "greenback/portal.h"
#include "greenback/task_local.h"

namespace greenback {
namespace internal {

template <class T>
inline constexpr bool kIsAsioAwaitable = false;
template <class T, class Executor>
inline constexpr bool kIsAsioAwaitable<boost::asio::awaitable<T, Executor>> =
    true;

// What co_await gives for what an async_fn has returned, and the executor of
// who may await it.
template <class Made>
struct AsioMade {
  using Result = typename AsioGives<AwaitResult<Made>>::T;
  using Executor = boost::asio::any_io_executor;
};
template <class T, class AwaitableExecutor>
struct AsioMade<boost::asio::awaitable<T, AwaitableExecutor>> {
  using Result = T;
  using Executor = AwaitableExecutor;
};

// The last thing in a task: what runs after it in the same step is none of it.
class AsioTaskEnd {
 public:
  explicit AsioTaskEnd(AsioTask& task) : task_(task) {}
  AsioTaskEnd(const AsioTaskEnd&) = delete;
  AsioTaskEnd& operator=(const AsioTaskEnd&) = delete;
  ~AsioTaskEnd();

 private:
  AsioTask& task_;
};

template <class T, class Executor, class Make>
boost::asio::awaitable<T, Executor> RunAsTask(Make make, const char* name,
                                              std::shared_ptr<Locals> locals) {
  co_await BecomeTask<Executor>(name, /*post=*/false, std::move(locals))
      .KeepSwitched(co_await AsioIdentity());
  AsioTaskEnd end(*AsioTask::Current());
  co_return co_await std::move(make)();
}

}  // namespace internal

namespace asio {

// The running task; PortalError outside one. For BestowPortal() by others, who
// must use it on its executor, and while the coroutine is there.
PortalTask& CurrentTask(
    std::source_location where = std::source_location::current());

// What this_coro::executor is to a coroutine, for the synchronous code below
// it: where to make I/O objects. Of the running task, of Asio's or of a run;
// PortalError where there is none.
boost::asio::any_io_executor CurrentExecutor(
    std::source_location where = std::source_location::current());

// boost::asio::co_spawn() of a coroutine that is a task from the start: portals
// can be opened in it (and bestowed on it), and it has none yet. `executor`:
// an executor or an execution context. `awaitable`: a boost::asio::awaitable,
// or a function that gives one and lives until the coroutine has ended. In
// messages the task has the name of the calling function. It inherits the
// caller's task locals.
template <class ExecutorOrContext, class Awaitable, class CompletionToken>
auto CoSpawn(ExecutorOrContext&& executor, Awaitable&& awaitable,
             CompletionToken&& token,
             std::source_location where = std::source_location::current()) {
  using Given = std::remove_cvref_t<Awaitable>;
  if constexpr (internal::kIsAsioAwaitable<Given>) {
    using Made = internal::AsioMade<Given>;
    auto make = [awaitable =
                     Given(std::forward<Awaitable>(awaitable))]() mutable {
      return std::move(awaitable);
    };
    return boost::asio::co_spawn(
        executor,
        internal::RunAsTask<typename Made::Result, typename Made::Executor>(
            std::move(make), where.function_name(), internal::CurrentLocals()),
        std::forward<CompletionToken>(token));
  } else {
    static_assert(std::invocable<Given>,
                  "greenback::asio::CoSpawn(executor, awaitable, token): "
                  "awaitable must be a boost::asio::awaitable, or a function "
                  "without arguments that gives one");
    using Made = internal::AsioMade<std::invoke_result_t<Given>>;
    return boost::asio::co_spawn(
        executor,
        internal::RunAsTask<typename Made::Result, typename Made::Executor>(
            Given(std::forward<Awaitable>(awaitable)), where.function_name(),
            internal::CurrentLocals()),
        std::forward<CompletionToken>(token));
  }
}

// co_await EnsurePortal() -> absl::Status: the coroutine has a portal from now
// on, until it ends. Always a full checkpoint: a post() to its executor, and
// kCancelled when it is cancelled; the portal is there all the same. (In a
// coroutine that is cancelled before, the co_await itself throws; see above.)
template <class Executor = boost::asio::any_io_executor>
boost::asio::awaitable<absl::Status, Executor> EnsurePortal(
    std::source_location where = std::source_location::current()) {
  co_await internal::BecomeTask<Executor>(where.function_name(),
                                          /*post=*/true);
  internal::AsioTask& task = *internal::AsioTask::Current();
  internal::PortalAccess::Set(task, internal::PortalAccess::Portal::kOpen);
  co_return task.FinishCheckpoint();
}

// As everywhere: whether Await() would be let through, and a portal for
// another task (or, from its next step on, for the running one).
using greenback::BestowPortal;
using greenback::HasPortal;

// co_await WithPortalRunSync(sync_fn, args...): gives what sync_fn(args...)
// gives (for a reference, a std::reference_wrapper), with a portal for the time
// of the call. Adds no checkpoint.
template <class Executor = boost::asio::any_io_executor, class Fn,
          class... Args>
auto WithPortalRunSync(Fn fn, Args... args) -> boost::asio::awaitable<
    typename internal::AsioGives<std::invoke_result_t<Fn, Args...>>::T,
    Executor> {
  const bool& identity = co_await internal::AsioIdentity();
  internal::AsioTask* task = internal::RunningTaskOf(identity);
  if (task == nullptr) {
    co_await internal::BecomeTask<Executor>("WithPortalRunSync",
                                            /*post=*/false)
        .KeepSwitched(identity);
    task = internal::AsioTask::Current();
  }
  const internal::PortalForCall portal(*task);
  co_return std::invoke(std::move(fn), std::move(args)...);
}

// co_await WithPortalRun(async_fn, args...): the same for what gives a
// boost::asio::awaitable, a greenback::Co, or another awaitable.
template <class Executor = boost::asio::any_io_executor, class Fn,
          class... Args>
auto WithPortalRun(Fn fn, Args... args) -> boost::asio::awaitable<
    typename internal::AsioMade<std::invoke_result_t<Fn, Args...>>::Result,
    Executor> {
  const bool& identity = co_await internal::AsioIdentity();
  internal::AsioTask* task = internal::RunningTaskOf(identity);
  if (task == nullptr) {
    co_await internal::BecomeTask<Executor>("WithPortalRun", /*post=*/false)
        .KeepSwitched(identity);
    task = internal::AsioTask::Current();
  }
  const internal::PortalForCall portal(*task);
  if constexpr (internal::kIsAsioAwaitable<std::invoke_result_t<Fn, Args...>>) {
    co_return co_await std::invoke(std::move(fn), std::move(args)...);
  } else {
    co_return co_await AsAwaitable<Executor>(
        std::invoke(std::move(fn), std::move(args)...));
  }
}

}  // namespace asio
}  // namespace greenback

#endif  // GREENBACK_ASIO_PORTAL_H_
