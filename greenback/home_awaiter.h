// ComeHome(awaitable): awaits something of another library natively, and goes
// on where the task belongs. Internal to greenback's coroutine types.
//
// Greenback's own awaiters resume a task from its host's queue. Others resume
// their continuation where they please: on a thread of theirs, or in the middle
// of another task's step. So they are given a waker, as Await() gives them one,
// and the task's host then resumes the coroutine. Outside a task there is no
// home, and the coroutine goes on where it is resumed.
#ifndef GREENBACK_HOME_AWAITER_H_
#define GREENBACK_HOME_AWAITER_H_

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/portal_task.h"
#include "greenback/transfer.h"
#include "greenback/waker.h"

namespace greenback::internal {

template <class A>
class ForeignAwaiter {
  using Inner = decltype(GetAwaiter(std::declval<A>()));

 public:
  static constexpr bool kGreenbackHomeAwaiter = true;

  explicit ForeignAwaiter(A&& awaitable)
      : inner_(GetAwaiter(std::forward<A>(awaitable))) {}

  bool await_ready() { return static_cast<bool>(inner_.await_ready()); }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) {
    point_.emplace(ThisThread().current_task);
    point_->node.handle = caller;
    point_->node.point = nullptr;  // a coroutine waits here, not a fiber
    waker_.emplace(*point_);
    const std::coroutine_handle<> next = Suspend(waker_->handle(), caller);
    if (next == caller) return TransferTo(caller);
    ParkPoint::State running = ParkPoint::kRunning;
    if (point_->state.compare_exchange_strong(running, ParkPoint::kParked,
                                              std::memory_order_acq_rel)) {
      return TransferTo(next);
    }
    ResumeAndTransfer(next);  // has fired already
    return TransferTo(caller);
  }

  decltype(auto) await_resume() {
    waker_.reset();
    return inner_.await_resume();
  }

 private:
  // Suspends on the awaitable. Gives what it wants to run next: `caller` when
  // it is done already.
  std::coroutine_handle<> Suspend(std::coroutine_handle<> continuation,
                                  std::coroutine_handle<> caller) {
    using Result = decltype(inner_.await_suspend(continuation));
    if constexpr (std::is_void_v<Result>) {
      inner_.await_suspend(continuation);
      return std::noop_coroutine();
    } else if constexpr (std::is_same_v<Result, bool>) {
      return inner_.await_suspend(continuation) ? std::noop_coroutine()
                                                : caller;
    } else {
      return inner_.await_suspend(continuation);
    }
  }

  std::optional<ParkPoint> point_;
  std::optional<WakerLease> waker_;
  Inner inner_;  // goes first: nobody uses a waker that has been given back
};

// Stands for an awaiter that is somewhere else. g++ 12 copies an awaiter that
// await_transform hands on by reference.
template <class Awaiter>
class AwaiterRef {
 public:
  explicit AwaiterRef(Awaiter& awaiter) : awaiter_(&awaiter) {}
  bool await_ready() { return static_cast<bool>(awaiter_->await_ready()); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> handle) {
    return awaiter_->await_suspend(handle);
  }
  decltype(auto) await_resume() { return awaiter_->await_resume(); }

 private:
  Awaiter* awaiter_;
};

// What a greenback coroutine awaits in place of `awaitable`.
template <class A>
auto ComeHome(A&& awaitable) {
  using Inner = decltype(GetAwaiter(std::declval<A>()));
  if constexpr (!CheckAwaitable<A>()) {
    return NoAwaiter<A>();
  } else if constexpr (!HomeAwaiter<Inner>) {
    return ForeignAwaiter<A>(std::forward<A>(awaitable));
  } else if constexpr (std::is_reference_v<Inner>) {
    return AwaiterRef(GetAwaiter(std::forward<A>(awaitable)));
  } else {
    return GetAwaiter(std::forward<A>(awaitable));
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOME_AWAITER_H_
