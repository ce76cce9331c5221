// CalleePromise: base of the promises of coroutines that run when they are
// awaited, and then hand back to their awaiter. Internal to greenback's
// coroutine types.
//
// The awaiter calls RunCallee() in its await_suspend. When the coroutine
// reaches its end, or a co_yield, its own await_suspend returns HandBack(), and
// the awaiter resumes. Neither function grows the stack, whether the awaiter is
// a coroutine of greenback's, one of another library, or an Await().
#ifndef GREENBACK_HOST_CALLEE_PROMISE_H_
#define GREENBACK_HOST_CALLEE_PROMISE_H_

#include <concepts>
#include <coroutine>
#include <utility>

#include "greenback/host/home_awaiter.h"
#include "greenback/host/parked_start.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/transfer.h"

namespace greenback::internal {

class CalleePromise : public TransferringPromise {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  // Awaitables that are not greenback's own may resume their awaiter anywhere.
  template <class A>
  decltype(auto) await_transform(A&& awaitable) {
    return ComeHome(std::forward<A>(awaitable));
  }

  // Resumes the awaiter. An await_suspend of the coroutine returns the result.
  // The coroutine may be destroyed as soon as this is called.
  std::coroutine_handle<> HandBack() noexcept {
    if (awaited_by_root_) {
      PortalAccess::Wake(*root_);
      return std::noop_coroutine();
    }
    if constexpr (!kTailCalls) {
      if (StartMark::Completes(in_place_)) return std::noop_coroutine();
    }
    return TransferTo(continuation_);
  }

  // For an Await(): runs the coroutine, `self`, which hands back to `waiter`.
  void RunBelow(std::coroutine_handle<> self, FiberWaiter& waiter) {
    continuation_ = self;  // for is_awaited() alone
    root_ = &waiter;
    awaited_by_root_ = true;
    in_place_ = 0;
    ResumeAndTransfer(self);
  }

  // Whether the coroutine has been awaited, by a coroutine or an Await().
  bool is_awaited() const { return continuation_ != nullptr; }

  // The Await() at the root of this chain of coroutines, or null if it is not
  // known.
  FiberWaiter* root() const { return root_; }

  // For RunCallee(): lets `caller` resume when the coroutine hands back. `root`
  // is the caller's root().
  void set_continuation(std::coroutine_handle<> caller,
                        FiberWaiter* root = nullptr) {
    continuation_ = caller;
    root_ = root;
    in_place_ = 0;
  }

  // For RunCallee(): runs the coroutine, `self`, nested in an await_suspend of
  // `caller`. True: it has handed back, and `caller` continues without
  // suspending. False: `caller` suspends, and resumes when it hands back.
  bool RunInPlace(std::coroutine_handle<> self,
                  std::coroutine_handle<> caller) {
    set_continuation(caller);
    const StartMark mark;
    in_place_ = mark.id();
    ResumeAndTransfer(self);
    // Otherwise this coroutine may have been destroyed.
    if (!mark.has_completed()) return false;
    in_place_ = 0;
    return true;
  }

 private:
  std::coroutine_handle<> continuation_;
  FiberWaiter* root_ = nullptr;
  // The mark of an awaiter that runs the coroutine in place; 0: another awaiter
  // does.
  StartMark::Id in_place_ = 0;
  bool awaited_by_root_ = false;
};

// Runs `callee` until it hands back to `caller`. For an await_suspend of
// `caller`, which returns the result.
template <class Callee, Transferring Promise>
std::coroutine_handle<> RunCallee(std::coroutine_handle<Callee> callee,
                                  std::coroutine_handle<Promise> caller) {
  if constexpr (std::derived_from<Promise, CalleePromise>) {
    callee.promise().set_continuation(caller, caller.promise().root());
  } else {
    callee.promise().set_continuation(caller);
  }
  return TransferTo(callee);
}
// The same for a caller that is no coroutine of greenback's, and for Await().
template <class Callee>
auto RunCallee(std::coroutine_handle<Callee> callee,
               std::coroutine_handle<> caller) {
  if constexpr (kTailCalls) {
    callee.promise().set_continuation(caller);
    return std::coroutine_handle<>(callee);
  } else {
    return !callee.promise().RunInPlace(callee, caller);
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_CALLEE_PROMISE_H_
