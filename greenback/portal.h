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
// Use EnsurePortal() where any synchronous code that a task calls may await,
// and WithPortalRun() or WithPortalRunSync() for one call, or in a coroutine of
// another library. Boost.Asio's coroutines have functions of the same names in
// asio/portal.h. The headers in instrument/ open portals for whole trees of
// tasks.
//
// A portal belongs to one task: neither the tasks that it spawns nor the one
// that spawned it have it. It costs nothing until something is awaited through
// it.
#ifndef GREENBACK_PORTAL_H_
#define GREENBACK_PORTAL_H_

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/portal_awaiters.h"
#include "greenback/internal/portal_options_call.h"
#include "greenback/no_await_scope.h"  // IWYU pragma: export
#include "greenback/portal_options.h"  // IWYU pragma: export

namespace greenback {

// Whether Await() is allowed here: the running task has a usable portal, and is
// in no NoAwaitScope. False outside a task. Never fails or suspends.
bool HasPortal() noexcept;
// Whether it is allowed in `task`, now or as soon as `task` next runs.
bool HasPortal(const PortalTask& task) noexcept;

// Opens a portal for `task`. Another task may Await() as soon as it next runs.
// The running task may do so only after its next checkpoint; until then
// HasPortal() is false, and the error of Await() says why. Does nothing if the
// task has a portal. Call it on the thread that runs `task`. Never suspends.
void BestowPortal(PortalTask& task);

// co_await EnsurePortal() -> absl::Status: the running task has a portal from
// now on, until it ends (or until the WithPortalRun[Sync]() around it does).
// Returns OK, or kCancelled if the task's cancel scope is cancelled; the portal
// is open in both cases. Always a full checkpoint, a schedule point and a
// cancellation point, even if there is a portal already. Outside a task it
// throws PortalError.
inline auto EnsurePortal(
    std::source_location where = std::source_location::current()) {
  return internal::EnsurePortalAwaiter(where);
}

// co_await WithPortalRun(async_fn, args...): does what `co_await
// async_fn(args...)` does, with the same result or exception, and with a portal
// for this call. A portal that was open before stays open; otherwise it closes
// when the call ends, and so does one that is ensured inside the call. Adds no
// checkpoint. `async_fn` and `args` are kept by value until the call ends
// (std::ref for references), and are used up by it: awaiting the returned
// object a second time, or after it was moved from, is an AwaitableError.
template <class Fn, class... Args>
  requires(!internal::kIsPortalOptions<Fn>)
auto WithPortalRun(Fn&& async_fn, Args&&... args) {
  static_assert(std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
                "greenback::WithPortalRun(async_fn, args...): async_fn cannot "
                "be called with these arguments");
  if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
    using Made = std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>;
    static_assert(
        Awaitable<Made>,
        "greenback::WithPortalRun(async_fn, args...): async_fn returns "
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
// then a task of its own, on a fiber, with locals of its own, and the coroutine
// is suspended while the call waits. The completer of the awaitable continues
// the call at once, on the completer's thread, and the end of the call resumes
// the coroutine. When the coroutine, or the handle that an awaitable was to
// resume, is destroyed while the call waits, the call's frames are unwound: see
// abandoned.h. coroutine_library.h says how the executor and the cancellation
// of such a library reach the call. (In boost::asio::awaitable use those of
// asio/portal.h, which know its executor and its cancellation.) Such a call
// cannot await what needs a run, and WithPortalRun() can only await a Co or
// another awaitable of greenback's.
template <class Fn, class... Args>
  requires(!internal::kIsPortalOptions<Fn>)
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

// Both with a name and a stack size; see portal_options.h.
template <class Fn, class... Args>
auto WithPortalRun(const PortalOptions& options, Fn&& async_fn,
                   Args&&... args) {
  return WithPortalRun(internal::OptionsCall<std::decay_t<Fn>>(
                           options, std::forward<Fn>(async_fn)),
                       std::forward<Args>(args)...);
}
template <class Fn, class... Args>
auto WithPortalRunSync(const PortalOptions& options, Fn&& sync_fn,
                       Args&&... args) {
  return WithPortalRunSync(internal::OptionsCall<std::decay_t<Fn>>(
                               options, std::forward<Fn>(sync_fn)),
                           std::forward<Args>(args)...);
}

}  // namespace greenback

#endif  // GREENBACK_PORTAL_H_
