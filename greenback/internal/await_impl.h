// What Await() and TryAwait() do before and after their task parks. Internal to
// await.h, which documents what they promise.
#ifndef GREENBACK_INTERNAL_AWAIT_IMPL_H_
#define GREENBACK_INTERNAL_AWAIT_IMPL_H_

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/abandoned.h"
#include "greenback/awaitable.h"
#include "greenback/host/abandonment.h"
#include "greenback/host/library_awaiter.h"
#include "greenback/host/parked_start.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"
#include "greenback/host/waker.h"
#include "greenback/internal/awaitable_traits.h"
#include "greenback/internal/carries_status.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {

// A host with a loop of its own is switched to and from, so each call between
// the coroutine and the switch costs two mispredicted returns, one on either
// side of it. So all of it is inlined into the function that calls Await(); see
// docs/design.md.
#define GREENBACK_AWAIT_INLINE inline __attribute__((always_inline))

// Makes the optimiser assume that other code refers to `object`. Without it,
// clang elides the frame of a coroutine that a plain function creates and
// destroys, although other code resumes the coroutine in between, and then
// drops the stores into it; see docs/principle.md.
template <class T>
inline __attribute__((always_inline)) void LetEscape(T& object) {
  if constexpr (!HoldsNoFrame<T>) {
    asm volatile("" : : "r"(std::addressof(object)) : "memory");
  }
}

// Throws StackExhausted, or prints its text and aborts.
[[noreturn]] void ReportStackExhausted(const absl::Status& status);

// Makes the calls for which the stack of `waiter` was resumed, until the wait
// is over.
void CallUntilOver(FiberWaiter& waiter);

GREENBACK_AWAIT_INLINE void ParkUnlessOver(FiberWaiter& waiter) {
  if (!waiter.is_over()) [[likely]] {
    PortalAccess::Park(waiter);
    if (waiter.nested.function != nullptr) CallUntilOver(waiter);
  }
}

// The start of an awaiter whose Await() parks first; see parked_start.h.
template <class A>
struct AwaiterStart {
  AwaiterLvalue<A> awaiter;
  const WakerHandle waker;
  std::exception_ptr error;  // what await_suspend() has thrown

  // For FiberWaiter::start. The object may be destroyed as soon as
  // await_suspend() has begun.
  static bool Call(void* argument, FiberWaiter& waiter) {
    AwaiterStart& self = *static_cast<AwaiterStart*>(argument);
    return StartParked(
        waiter, [&self] { return CallSuspend<A>(self.awaiter, self.waker); },
        self.waker, self.error);
  }
};

// Parks, has the host start the awaiter then, and returns when the wait is
// over.
template <class A>
__attribute__((noinline)) void ParkAndStart(AwaiterLvalue<A> awaiter,
                                            WakerHandle waker,
                                            FiberWaiter& waiter) {
  AwaiterStart<A> start{awaiter, waker, nullptr};
  waiter.start = AwaiterStart<A>::Call;
  waiter.start_argument = &start;
  ParkUnlessOver(waiter);
  if (start.error) [[unlikely]]
    std::rethrow_exception(start.error);
}

// Suspends on `awaiter`, and returns when the wait is over.
template <class A>
GREENBACK_AWAIT_INLINE void SuspendUntilOver(AwaiterLvalue<A> awaiter,
                                             FiberWaiter& waiter) {
  if constexpr (ParksItself<A>) {
    if (awaiter.await_park(waiter)) ParkUnlessOver(waiter);
  } else {
    WakerLease waker(waiter);
    if (!HomeAwaiter<A> && PortalAccess::StartsParked(*waiter.task))
        [[unlikely]] {
      ParkAndStart<A>(awaiter, waker.handle(), waiter);
    } else {
      using Suspend = decltype(CallSuspend<A>(awaiter, waker.handle()));
      if constexpr (std::is_void_v<Suspend>) {
        CallSuspend<A>(awaiter, waker.handle());
      } else if constexpr (std::is_same_v<Suspend, bool>) {
        if (!CallSuspend<A>(awaiter, waker.handle())) return;
      } else {
        // The result is a coroutine to run next. It runs here, on the stack of
        // the waiting frames, until it suspends or ends.
        ResumeAndTransfer(CallSuspend<A>(awaiter, waker.handle()));
      }
      ParkUnlessOver(waiter);
    }
    bool is_abandoned = waker.is_destroyed();
    if constexpr (requires { awaiter.GreenbackIsDropped(); }) {
      is_abandoned = is_abandoned || awaiter.GreenbackIsDropped();
    }
    if (is_abandoned) [[unlikely]]
      AbandonTaskOf(waiter);
  }
}

// The result of a TryAwait() whose Await() would return a T.
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

// The service of a host without which awaiting a T is refused; null: none.
template <class T>
inline constexpr const HostService* kServiceToAwait = kNeededService<
    std::remove_cvref_t<decltype(GetAwaiter(std::declval<T>()))>>;

// How Await() reports what is not the awaitable's own, and returns its result.
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

// How TryAwait() does.
template <class T>
struct TryAwaitReports {
  using Result = typename TryResultOf<AwaitResult<T>>::type;

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
  using A = decltype(GetAwaiterInTask(std::declval<T>()));
  PortalTask* const task = TaskToAwait<kServiceToAwait<T>>();
  if (task == nullptr) [[unlikely]] {
    if (IsAbandoned()) return Reports::Abandoned();
    return Reports::Misused(where);
  }
  auto&& awaiter = GetAwaiterInTask(std::forward<T>(awaitable));
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

// For a handler: returns the exception as a status if it says that an Await()
// was misused or abandoned, or found no stack, and rethrows any other.
absl::Status StatusOfOwnException();

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_AWAIT_IMPL_H_
