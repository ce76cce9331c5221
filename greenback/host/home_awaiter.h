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
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/transfer.h"
#include "greenback/host/waker.h"

namespace greenback::internal {

template <class A>
class ForeignAwaiter : private ResumesAtHome {
  using Inner = decltype(GetAwaiter(std::declval<A>()));

 public:
  explicit ForeignAwaiter(A&& awaitable)
      : inner_(GetAwaiter(std::forward<A>(awaitable))) {}

  bool await_ready() const noexcept(kReadyIsNoexcept<Inner>) {
    return CallReady<Inner>(const_cast<AwaiterLvalue<Inner>>(inner_));
  }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) {
    waiter_.emplace().task = ThisThread().current_task;
    waiter_->handle = caller;
    waker_.emplace(*waiter_);
    const std::coroutine_handle<> next = Suspend(waker_->handle(), caller);
    if (next == caller) return TransferTo(caller);
    if (waiter_->Park()) return TransferTo(next);
    ResumeAndTransfer(next);  // the waiter has fired already
    return TransferTo(caller);
  }

  decltype(auto) await_resume() {
    if (waiter_) waiter_->Resumed();
    waker_.reset();
    return CallResume<Inner>(inner_);
  }

 private:
  // If the coroutine is destroyed when its wait is over, and before it has
  // resumed, its host has to forget it.
  struct HomeWaiter : Waiter {
    HomeWaiter() : Waiter(Kind::kCoroutine) {}
    ~HomeWaiter() {
      if (is_over() && task != nullptr) [[unlikely]]
        PortalAccess::Withdraw(*this);
    }
  };

  // Suspends on the awaitable. Returns the coroutine that the awaitable wants
  // to run next, which is `caller` if it has completed already.
  std::coroutine_handle<> Suspend(std::coroutine_handle<> continuation,
                                  std::coroutine_handle<> caller) {
    using Result = decltype(CallSuspend<Inner>(inner_, continuation));
    if constexpr (std::is_void_v<Result>) {
      CallSuspend<Inner>(inner_, continuation);
      return std::noop_coroutine();
    } else if constexpr (std::is_same_v<Result, bool>) {
      return CallSuspend<Inner>(inner_, continuation) ? std::noop_coroutine()
                                                      : caller;
    } else {
      return CallSuspend<Inner>(inner_, continuation);
    }
  }

  std::optional<HomeWaiter> waiter_;
  std::optional<WakerLease> waker_;
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
  using Inner = decltype(GetAwaiter(std::declval<A>()));
  if constexpr (!CheckAwaitable<A>()) {
    return NoAwaiter<A>();
  } else if constexpr (!HomeAwaiter<Inner>) {
    return ForeignAwaiter<A>(std::forward<A>(awaitable));
#if !defined(__clang__)
  } else if constexpr (std::is_reference_v<Inner>) {
    return AwaiterRef<Inner>(GetAwaiter(std::forward<A>(awaitable)));
#endif
  } else {
    return GetAwaiter(std::forward<A>(awaitable));
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_HOME_AWAITER_H_
