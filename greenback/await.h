// Await(awaitable): waits for an awaitable in a plain, synchronous function.
//
//   // A streambuf, a callback of SQLite, an operator[], a destructor ...
//   int Reader::underflow() {
//     absl::StatusOr<Page> page = greenback::Await(FetchPage(next_));
//     ...
//   }
//
// The calling stack, from this call up to the coroutine that runs the task,
// stays as it is on its fiber, and the thread continues with other tasks. When
// the awaitable completes, Await() returns its result or throws its exception.
//
// Use it where a function cannot be a coroutine; where it can, `co_await` is
// cheaper. The task must have a portal (portal.h). Waiting in the middle of a
// synchronous function is a decision, because other tasks run meanwhile: what
// the callers hold (locks, iterators, half-made changes) stays held. Where that
// would be wrong, NoAwaitScope refuses it.
//
// Suspends: when the awaitable does, and only then. An awaitable that is ready,
// or that completes while it starts, costs no switch. Await(Checkpoint()) is
// exactly one checkpoint.
// Cancellation: reaches the awaitable as if it were awaited natively.
// Resumed by: the task's host, on a thread of the task. The completer of the
// awaitable, on whatever thread, only reports that it is done.
// Ownership: the awaitable lives until the end of the caller's full expression,
// but its awaiter only until Await() returns. So if await_resume() returns an
// rvalue reference, Await() returns a value that is moved from there. An lvalue
// reference is returned as it is, and must not refer to the awaiter.
// Errors: those of the awaitable pass through. Misuse (no task, no portal,
// inside a NoAwaitScope) throws PortalError; without exceptions it prints the
// text and aborts. If the stack pool is at its limits, Await() returns
// ResourceExhausted where the result can carry a status, and throws
// StackExhausted elsewhere. In all these cases nothing has been started, and
// the awaitable is destroyed as usual. TryAwait() returns both as a status.
// When the host is destroyed before the task has ended, the frames are unwound:
// see abandoned.h.
#ifndef GREENBACK_AWAIT_H_
#define GREENBACK_AWAIT_H_

#include <source_location>
#include <utility>

#include "greenback/abandoned.h"  // IWYU pragma: export
#include "greenback/awaitable.h"
#include "greenback/internal/await_impl.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

// The result of TryAwait() of a T: the absl::StatusOr of Await()'s result. It
// is a plain absl::Status where that is void or a Status, and holds a
// std::reference_wrapper where that is a reference.
template <class T>
using TryAwaitResult = typename internal::TryResultOf<AwaitResult<T>>::type;

// Suspends the task until `awaitable` has completed, and returns its result;
// see above.
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

// Await() for callers that can return an error, and for frames through which
// nothing may be thrown, such as those of C. It throws no error of greenback's
// own, but returns it: FailedPrecondition, with the text of the error, where
// Await() would refuse; ResourceExhausted when there is no stack left;
// Cancelled when the host was destroyed (see abandoned.h). This includes such
// errors that come from awaits inside the awaitable. The awaitable's own
// exceptions are still thrown.
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
