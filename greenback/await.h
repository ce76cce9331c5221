// Await(awaitable): waits for an awaitable in a plain, synchronous function.
//
//   // A streambuf, a callback of SQLite, an operator[], a destructor ...
//   int Reader::underflow() {
//     absl::StatusOr<Page> page = greenback::Await(FetchPage(next_));
//     ...
//   }
//
// The calling stack, from here up to the coroutine that runs the task, is left
// standing on its fiber, and the thread goes on with other tasks; when the
// awaitable completes, Await() returns its result or throws its exception.
//
// Use it where a function cannot be a coroutine. Where it can, `co_await` is
// cheaper. The task must have a portal (portal.h); to wait in the middle of a
// synchronous function is a decision, since other tasks run meanwhile: what the
// frames above hold (locks, iterators, half-made changes) stays held.
// NoAwaitScope refuses it where that would be wrong.
//
// Suspends: when the awaitable does, and not otherwise: an awaitable that is
// ready, or completes while it starts, costs no switch. Await(Checkpoint()) is
// exactly one checkpoint.
// Cancellation: reaches the awaitable as if it was awaited natively.
// Resumed by: the task's host, on a thread of the task; whoever completes the
// awaitable, on whatever thread, only says that it is done.
// Ownership: the awaitable lives until the end of the caller's full expression,
// but its awaiter only until Await() returns. So what an await_resume() gives
// as an rvalue reference is returned as a value, moved from there. An lvalue
// reference is returned as it is, and must not refer to the awaiter.
// Errors: those of the awaitable pass through. Misuse (no task, no portal,
// below a NoAwaitScope) throws PortalError, and without exceptions prints its
// text and aborts; a stack pool at its limits gives ResourceExhausted where the
// result can carry a status, throws StackExhausted elsewhere. In all these
// cases nothing has been started and the awaitable is destroyed as usual.
// TryAwait() gives both as a status. When the host is destroyed before the task
// has ended, the frames are unwound: see abandoned.h.
#ifndef GREENBACK_AWAIT_H_
#define GREENBACK_AWAIT_H_

#include <source_location>
#include <utility>

#include "greenback/abandoned.h"  // IWYU pragma: export
#include "greenback/awaitable.h"
#include "greenback/internal/await_impl.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

// absl::StatusOr of what Await() gives; plain absl::Status for an awaitable
// that gives nothing or a Status, and a reference_wrapper for a reference.
template <class T>
using TryAwaitResult = typename internal::TryResultOf<AwaitResult<T>>::type;

template <class T>
GREENBACK_AWAIT_INLINE AwaitResult<T> Await(
    T&& awaitable,
    std::source_location where = std::source_location::current()) {
  if constexpr (internal::CheckAwaitable<T>()) {
    return internal::AwaitAndReport<internal::AwaitReports<T>>(
        std::forward<T>(awaitable), where);
  } else {
    return {};
  }
}

// Await() for callers that have a way out, and for frames through which nothing
// may be thrown, those of C among them. Nothing of greenback's own is: a status
// says FailedPrecondition, with the text of the error, where Await() would
// refuse; ResourceExhausted when there is no stack left; Cancelled when the
// host has gone (see abandoned.h). That holds for what the awaitable does
// inside, too. The awaitable's own exceptions are still thrown.
template <class T>
TryAwaitResult<T> TryAwait(T&& awaitable, std::source_location where =
                                              std::source_location::current()) {
  if constexpr (internal::CheckAwaitable<T>()) {
    GREENBACK_TRY {
      return internal::AwaitAndReport<internal::TryAwaitReports<T>>(
          std::forward<T>(awaitable), where);
    }
    GREENBACK_CATCH_ALL { return internal::StatusOfOwnException(); }
  } else {
    return {};
  }
}

}  // namespace greenback

#endif  // GREENBACK_AWAIT_H_
