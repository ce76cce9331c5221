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

#include <coroutine>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/abandoned.h"  // IWYU pragma: export
#include "greenback/awaitable.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"
#include "greenback/host/waker.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

namespace internal {

// Where a host that is not greenback's is returned to, each return after a
// switch is predicted wrong: those out of Await() and those to the host, in
// pairs. So the switch belongs into the function that calls Await().
#define GREENBACK_AWAIT_INLINE inline __attribute__((always_inline))

// Hides from the optimiser who else knows of `object`. clang elides the frame
// of a coroutine that a plain function creates and destroys, although somebody
// else resumes it in between, and then drops the stores into it; see
// docs/principle.md.
template <class T>
inline __attribute__((always_inline)) void LetEscape(T& object) {
  if constexpr (!HoldsNoFrame<T>) {
    asm volatile("" : : "r"(std::addressof(object)) : "memory");
  }
}

// A result that can say that something could not be started.
template <class T>
inline constexpr bool kCarriesStatus =
    std::is_same_v<T, absl::Status> ||
    (std::is_constructible_v<T, absl::Status> &&
     std::is_convertible_v<absl::Status, T>);

// Throws StackExhausted, or prints its text and aborts.
[[noreturn]] void ReportStackExhausted(const absl::Status& status);

// Where the task is abandoned, Await() throws Abandoned. Not on top of another
// exception, where it gives `R` if that can say so, and never without
// exceptions, where it dies if `R` cannot.
[[noreturn]] void ThrowAbandoned();
bool MayThrowAbandoned() noexcept;
template <class R>
R AbandonedResult() {
  if constexpr (std::is_void_v<R>) {
#if defined(__cpp_exceptions)
    if (!MayThrowAbandoned()) return;
#endif
  } else if constexpr (kCarriesStatus<R>) {
    if (!MayThrowAbandoned()) return AbandonedStatus();
  } else if constexpr (HasAbandonedValue<R>) {
    if (!MayThrowAbandoned()) return AbandonedValue<R>::Make();
  }
  ThrowAbandoned();
}

// Calls what is to run on the stack of `waiter`, until the wait is over.
void CallUntilOver(FiberWaiter& waiter);

GREENBACK_AWAIT_INLINE void ParkUnlessOver(FiberWaiter& waiter) {
  if (!waiter.is_over()) [[likely]] {
    PortalAccess::Park(waiter);
    if (waiter.nested.function != nullptr) CallUntilOver(waiter);
  }
}

// From await_suspend to the moment when the wait is over.
template <class A>
GREENBACK_AWAIT_INLINE void SuspendUntilOver(AwaiterLvalue<A> awaiter,
                                             FiberWaiter& waiter) {
  if constexpr (ParksItself<A>) {
    if (awaiter.await_park(waiter)) ParkUnlessOver(waiter);
  } else {
    WakerLease waker(waiter);
    using Suspend = decltype(CallSuspend<A>(awaiter, waker.handle()));
    if constexpr (std::is_void_v<Suspend>) {
      CallSuspend<A>(awaiter, waker.handle());
    } else if constexpr (std::is_same_v<Suspend, bool>) {
      if (!CallSuspend<A>(awaiter, waker.handle())) return;
    } else {
      // A coroutine to go on with: it runs here, on top of the waiting frames,
      // until it suspends or is done.
      ResumeAndTransfer(CallSuspend<A>(awaiter, waker.handle()));
    }
    ParkUnlessOver(waiter);
  }
}

}  // namespace internal

namespace internal {

// StatusOr's argument for a result type; void and Status need no value.
template <class T>
struct TryResultOf {
  using type = absl::StatusOr<T>;
};
template <class T>
struct TryResultOf<T&> {
  using type = absl::StatusOr<std::reference_wrapper<T>>;
};
template <>
struct TryResultOf<void> {
  using type = absl::Status;
};
template <>
struct TryResultOf<absl::Status> {
  using type = absl::Status;
};
template <class T>
struct TryResultOf<NotAwaitable<T>> {
  using type = NotAwaitable<T>;
};

}  // namespace internal

// absl::StatusOr of what Await() gives; plain absl::Status for an awaitable
// that gives nothing or a Status, and a reference_wrapper for a reference.
template <class T>
using TryAwaitResult = typename internal::TryResultOf<AwaitResult<T>>::type;

namespace internal {

// The service of a host without which `co_await` of a T is refused.
template <class T>
inline constexpr const HostService* kServiceToAwait = kNeededService<
    std::remove_cvref_t<decltype(GetAwaiter(std::declval<T>()))>>;

// What is not the awaitable's own: as Await() reports it, ...
template <class T>
struct AwaitReports {
  using Result = AwaitResult<T>;

  static Result Abandoned() { return AbandonedResult<Result>(); }
  [[noreturn]] static Result Misused(const std::source_location& where) {
    ReportMisuse(where, kServiceToAwait<T>);
  }
  static Result NoStack(absl::Status status) {
    if constexpr (kCarriesStatus<Result>) {
      return status;
    } else {
      ReportStackExhausted(status);
    }
  }
  template <class A>
  GREENBACK_AWAIT_INLINE static Result Take(AwaiterLvalue<A> awaiter) {
    return CallResume<A>(awaiter);
  }
};

// ... and as TryAwait() does.
template <class T>
struct TryAwaitReports {
  using Result = TryAwaitResult<T>;

  static Result Abandoned() { return AbandonedStatus(); }
  static Result Misused(const std::source_location& where) {
    return absl::FailedPreconditionError(
        ExplainMisuse(where, kServiceToAwait<T>).message);
  }
  static Result NoStack(absl::Status status) { return status; }
  template <class A>
  static Result Take(AwaiterLvalue<A> awaiter) {
    if constexpr (std::is_void_v<AwaitResult<T>>) {
      CallResume<A>(awaiter);
      return absl::OkStatus();
    } else {
      return Result(CallResume<A>(awaiter));
    }
  }
};

template <class Reports, class T>
GREENBACK_AWAIT_INLINE typename Reports::Result AwaitAndReport(
    T&& awaitable, const std::source_location& where) {
  LetEscape(awaitable);
  using A = decltype(GetAwaiter(std::declval<T>()));
  PortalTask* const task = TaskToAwait<kServiceToAwait<T>>();
  if (task == nullptr) [[unlikely]] {
    if (IsAbandoned()) return Reports::Abandoned();
    return Reports::Misused(where);
  }
  auto&& awaiter = GetAwaiter(std::forward<T>(awaitable));
  LetEscape(awaiter);
  if (!CallReady<A>(awaiter)) {
    FiberWaiter waiter(*task);
    absl::Status reserved = PortalAccess::ReserveFiber(*task, &waiter);
    if (!reserved.ok()) return Reports::NoStack(std::move(reserved));
    SuspendUntilOver<A>(awaiter, waiter);
    if (waiter.is_abandoned()) [[unlikely]]
      return Reports::Abandoned();
  }
  return Reports::template Take<A>(awaiter);
}

// The exception that is being handled, if it says that an Await() was misused,
// abandoned, or found no stack; any other is rethrown.
absl::Status StatusOfOwnException();

}  // namespace internal

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
