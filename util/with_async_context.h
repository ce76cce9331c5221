// WithAsyncContext(manager, body): runs synchronous code inside an asynchronous
// context manager (context_manager.h), exactly as Python's `async with` does.
//
//   int CountUsers(Pool& pool) {   // a plain function
//     return greenback::WithAsyncContext(
//         Lease(pool), [](Connection* c) { return c->Count("users"); });
//   }
//
// Awaits manager.Enter(), calls body(value) (or body(), if it takes nothing),
// awaits manager.Exit(), on whatever path the body ends, and returns the body's
// result.
//
// - Exit() sees the exception that the body throws, or the status that it
//   returns (as absl::Status or absl::StatusOr) and that is not OK. If Exit()
//   returns true, that failure does not propagate.
// - A failure of Enter() propagates; neither the body nor Exit() runs.
// - A failure of Exit() propagates instead of the body's result or failure. A
//   status includes the text of the body's failure. An exception propagates as
//   it is: Exit(), which has the body's, may nest it (std::throw_with_nested).
//   If it does not, the failure that has been replaced goes to the handler of
//   lost_failure.h.
//
// Returns, for a body that returns a T:
//   T                      by itself
//   std::optional<T>       if Exit() may suppress a failure: empty if it has
//   absl::StatusOr<...>    of either, if Enter(), Exit() or the body returns
//                          absl::Status or absl::StatusOr; T is then the value
//                          of the body's StatusOr
// For a body that returns nothing, or absl::Status: nothing, or absl::Status if
// Enter(), Exit() or the body returns a status; after a suppressed failure, as
// after success. In an optional or a StatusOr, a reference is a
// std::reference_wrapper.
//
// Use it if Exit() has to know about failures, or to fail itself. If not,
// AsyncContext (async_context.h) fits into the scope that is there.
//
// Suspends: when Enter() and Exit() do, and the body. All await through the
// portal of the running task, like Await().
// Cancellation: in a cancelled task, an operation that Exit() awaits is
// cancelled like any other; an Exit() that must wait nonetheless shields itself
// (CancelScope::set_shield).
// Ownership: manager, value and body live until Exit() is done. The body gets
// the value as an lvalue, or as an rvalue if that is what it takes. What the
// body returns as an rvalue reference is moved out of the value before Exit().
// Errors: see above; and those of Await(), which name the place of the call. If
// Await() is refused when Exit() is due (the body has taken the portal away),
// Exit() has failed, and does not run.
#ifndef GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_
#define GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_

#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "util/context_manager.h"  // IWYU pragma: export
#include "util/exit_reason.h"      // IWYU pragma: export
#include "util/internal/context_manager_traits.h"
#include "util/internal/run_with_context.h"

namespace greenback {

// `where` is named in errors, and by the handler of lost_failure.h.
template <class M, class Body>
decltype(auto) WithAsyncContext(
    M&& manager, Body&& body,
    std::source_location where = std::source_location::current()) {
  using Manager = std::remove_reference_t<M>;
  if constexpr (AsyncContextManager<Manager>) {
    if constexpr (internal::CheckBody<Manager, Body>()) {
      return internal::RunWith<Manager>(manager, std::forward<Body>(body),
                                        where);
    } else {
      return internal::NotAwaitable<Body>();
    }
  } else {
    internal::RefuseContextManager<Manager>();
    return internal::NotAwaitable<M>();
  }
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_
