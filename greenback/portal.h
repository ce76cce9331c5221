// Portals: a task's permission to Await() in synchronous code.
//
//   greenback::Co<absl::Status> Import(Database& db) {
//     absl::Status opened = co_await greenback::EnsurePortal();
//     if (!opened.ok()) co_return opened;   // cancelled at the checkpoint
//     co_return db.Import();       // plain code; may call greenback::Await()
//   }
//
// or, for one call only:
//
//   Co<int> Count() { co_return co_await WithPortalRunSync(CountRows, table); }
//
// A portal is its task's alone: tasks that it spawns, and the one that spawned
// it, have none. It costs nothing until something is awaited through it.
#ifndef GREENBACK_PORTAL_H_
#define GREENBACK_PORTAL_H_

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/portal_awaiters.h"
#include "greenback/no_await_scope.h"  // IWYU pragma: export

namespace greenback {

// Whether Await() would be let through: the running task has a usable portal,
// and is in no NoAwaitScope. False outside a task. Never fails or suspends.
bool HasPortal() noexcept;
// Whether `task` has one, usable now or as soon as it next runs.
bool HasPortal(const PortalTask& task) noexcept;

// Gives `task` a portal. Another task may Await() as soon as it next runs; on
// the running task itself the portal is usable after the next checkpoint only,
// as HasPortal() and Await() say until then. Does nothing if there is one. Call
// it on the thread that runs `task`. Never suspends.
void BestowPortal(PortalTask& task);

// co_await EnsurePortal(): the running task has a portal from now on, until it
// ends (or until the WithPortalRun[Sync]() around it does). OK, or kCancelled
// when the task's cancel scope is cancelled; the portal is there in both cases.
// A full checkpoint, also when there is a portal already: a schedule point and
// a cancellation point. Outside a task: PortalError.
inline auto EnsurePortal(
    std::source_location where = std::source_location::current()) {
  return internal::EnsurePortalAwaiter(where);
}

// co_await WithPortalRun(async_fn, args...): gives what `co_await
// async_fn(args...)` gives, result or exception, with a portal that is there
// for this call: one that was there before stays, one that was not ends with
// the call, as does one that is ensured inside it. Adds no checkpoint.
// `async_fn` and `args` are kept by value until the call ends (std::ref for
// references), and used up by it: what this gives is awaited once, and again,
// or after it was moved from, is an AwaitableError.
template <class Fn, class... Args>
auto WithPortalRun(Fn&& async_fn, Args&&... args) {
  static_assert(std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
                "greenback::WithPortalRun(async_fn, args...): async_fn cannot "
                "be called with these arguments");
  if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
    using Made = std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>;
    static_assert(Awaitable<Made>,
                  "greenback::WithPortalRun(async_fn, args...): async_fn gives "
                  "nothing to co_await; use WithPortalRunSync()");
    if constexpr (Awaitable<Made>) {
      return internal::AsyncRun<std::decay_t<Fn>, std::decay_t<Args>...>(
          std::forward<Fn>(async_fn), std::forward<Args>(args)...);
    } else {
      return internal::NoAwaiter<Made>();
    }
  } else {
    return internal::NoAwaiter<Fn>();
  }
}

// co_await WithPortalRunSync(sync_fn, args...): the same for a plain function,
// which may Await(). In the runtime it costs a few nanoseconds over the call.
//
// Both also work in coroutines that no host of greenback's runs: those of a
// library that greenback has never heard of, and hand-written ones. The call is
// then a task of its own, on a fiber, and the coroutine is suspended while it
// waits; who completes what is awaited goes on with it, on its own thread, and
// in the end resumes the coroutine. (In boost::asio::awaitable use
// greenback::asio's, which know its executor and its cancellation.) There is no
// cancellation, and nothing that needs a run. What WithPortalRun() awaits there
// must be a Co, or another awaitable of greenback's. When the coroutine is
// destroyed while it waits, the frames are unwound: see abandoned.h.
template <class Fn, class... Args>
auto WithPortalRunSync(Fn&& sync_fn, Args&&... args) {
  static_assert(
      std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
      "greenback::WithPortalRunSync(sync_fn, args...): sync_fn cannot "
      "be called with these arguments");
  if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
    return internal::SyncRun<std::decay_t<Fn>, std::decay_t<Args>...>(
        std::forward<Fn>(sync_fn), std::forward<Args>(args)...);
  } else {
    return internal::NoAwaiter<Fn>();
  }
}

}  // namespace greenback

#endif  // GREENBACK_PORTAL_H_
