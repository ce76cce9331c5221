// ComeHome(awaitable): lets a coroutine await an awaitable of another library,
// and resume where its task belongs. Internal to greenback's coroutine types.
//
// Greenback's own awaiters resume a task from its host's queue. Those of other
// libraries resume their continuation anywhere: on a thread of their own, or in
// the middle of another task's step. So they receive a waker, as they do from
// an Await(), and the task's host then resumes the coroutine. A coroutine that
// is in no task has no home, and continues where it is resumed.
#ifndef GREENBACK_HOST_HOME_AWAITER_H_
#define GREENBACK_HOST_HOME_AWAITER_H_

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/host/abandonment.h"
#include "greenback/host/library_awaiter.h"
#include "greenback/host/parked_start.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/step_task.h"
#include "greenback/host/transfer.h"
#include "greenback/host/waker.h"
#include "greenback/internal/awaitable_traits.h"

namespace greenback::internal {

template <class A>
class ForeignAwaiter : private ResumesAtHome, private LateStart {
  using Inner = decltype(GetAwaiterInTask(std::declval<A>()));

 public:
  explicit ForeignAwaiter(A&& awaitable)
      : inner_(GetAwaiterInTask(std::forward<A>(awaitable))) {}

  bool await_ready() const noexcept(kReadyIsNoexcept<Inner>) {
    return CallReady<Inner>(const_cast<AwaiterLvalue<Inner>>(inner_));
  }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) {
    PortalTask* const task = ThisThread().current_task;
    waiter_.emplace().task = task;
    waiter_->handle = caller;
    waker_.emplace(*waiter_);
    if (task == nullptr || PortalAccess::StartsParked(*task)) {
      bool starts_late = false;
      if constexpr (requires { caller.promise().root(); }) {
        starts_late = task != nullptr && caller.promise().root() != nullptr;
      }
      return SuspendParked(starts_late);
    }
    const std::coroutine_handle<> next = NextAfter(
        [this] { return CallSuspend<Inner>(inner_, waker_->handle()); },
        caller);
    if (next == caller) return TransferTo(caller);
    if (waiter_->Park()) return TransferTo(next);
    ResumeAndTransfer(next);  // the waiter has fired already
    return TransferTo(caller);
  }

  decltype(auto) await_resume() {
    using Result = decltype(CallResume<Inner>(inner_));
    if (waiter_) {
      waiter_->Resumed();
      if (error_) [[unlikely]]
        std::rethrow_exception(error_);
      if (waker_->is_destroyed()) [[unlikely]] {
        if (waiter_->task != nullptr) PortalAccess::Abandon(*waiter_->task);
        if constexpr (std::is_rvalue_reference_v<Result>) {
          ThrowAbandoned();
        } else {
          return AbandonedResult<Result>();
        }
      }
    }
    waker_.reset();
    return CallResume<Inner>(inner_);
  }

 private:
  // If the coroutine is destroyed when its wait is over, and before it has
  // resumed, or before the wait has started, its host has to forget it.
  struct HomeWaiter : WakenWaiter {
    HomeWaiter() : WakenWaiter(Kind::kWokenCoroutine) {}
    ~HomeWaiter() {
      if (task != nullptr && (is_over() || is_late)) [[unlikely]]
        PortalAccess::Withdraw(*this);
    }
    bool is_late = false;
  };

  // await_suspend() for a coroutine that the completer continues. Where an
  // Await() is about to park for the coroutine, the operation starts after
  // that, so that the completer continues the Await(), too. Not inlined: clang
  // 19 puts local variables of what it inlines into the frame of the coroutine,
  // which may be destroyed before this returns.
  __attribute__((noinline)) std::coroutine_handle<> SuspendParked(
      bool starts_late) {
    waiter_->ParkUnshared();
    if (starts_late) {
      LateStart::waiter = &*waiter_;
      LateStart::start = StartLate;
      waiter_->is_late = StepTask::StartLate(*this);
      if (waiter_->is_late) return std::noop_coroutine();
    }
    const std::coroutine_handle<> caller = waiter_->handle;
    if (StartNow()) return std::noop_coroutine();
    return TransferTo(caller);
  }
  static bool StartLate(LateStart& late) {
    ForeignAwaiter& self = static_cast<ForeignAwaiter&>(late);
    self.waiter_->is_late = false;
    return self.StartNow();
  }
  // Starts the operation. False: the caller continues the coroutine. True: the
  // completer does, and this object may have been destroyed.
  bool StartNow() {
    const WakerHandle waker = waker_->handle();
    return StartParked(
        *waiter_, [this, waker] { return CallSuspend<Inner>(inner_, waker); },
        waker, error_);
  }

  std::optional<HomeWaiter> waiter_;
  std::optional<WakerLease> waker_;
  std::exception_ptr error_;  // thrown by the start of the awaitable
  // The last member, so the first to be destroyed: an awaitable must not refer
  // to a waker that has been returned.
  Inner inner_;
};

#if !defined(__clang__)
// Refers to an awaiter that lives elsewhere. g++ 12 copies an awaiter that
// await_transform returns by reference. (clang does not, and it keeps more of
// the awaiter in registers without this class in between.)
template <class A>
class AwaiterRef {
  static_assert(std::is_reference_v<A>);

 public:
  explicit AwaiterRef(A awaiter) : awaiter_(std::addressof(awaiter)) {}
  bool await_ready() const noexcept(kReadyIsNoexcept<A>) {
    return CallReady<A>(*awaiter_);
  }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> handle) {
    return CallSuspend<A>(*awaiter_, handle);
  }
  __attribute__((always_inline)) decltype(auto) await_resume() {
    return CallResume<A>(*awaiter_);
  }

 private:
  std::remove_reference_t<A>* awaiter_;
};
#endif

// What a greenback coroutine awaits in place of `awaitable`.
template <class A>
decltype(auto) ComeHome(A&& awaitable) {
  using Inner = decltype(GetAwaiterInTask(std::declval<A>()));
  if constexpr (!CheckAwaitable<A>()) {
    return NoAwaiter<A>();
  } else if constexpr (!HomeAwaiter<Inner>) {
    return ForeignAwaiter<A>(std::forward<A>(awaitable));
#if !defined(__clang__)
  } else if constexpr (std::is_reference_v<Inner>) {
    return AwaiterRef<Inner>(GetAwaiterInTask(std::forward<A>(awaitable)));
#endif
  } else {
    return GetAwaiterInTask(std::forward<A>(awaitable));
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_HOME_AWAITER_H_
