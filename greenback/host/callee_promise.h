// CalleePromise: base of the promises of coroutines that run when others await
// them, and then hand back. Internal to greenback's coroutine types.
//
// Who awaits such a coroutine calls RunCallee() in its await_suspend; when the
// coroutine has come to where its awaiter goes on (its end, a co_yield), its
// own await_suspend returns HandBack(). Neither grows the stack, whoever
// awaits: a coroutine of greenback's, one of another library, or Await().
#ifndef GREENBACK_HOST_CALLEE_PROMISE_H_
#define GREENBACK_HOST_CALLEE_PROMISE_H_

#include <concepts>
#include <coroutine>
#include <utility>

#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/suspend_race.h"
#include "greenback/host/transfer.h"

namespace greenback::internal {

class CalleePromise : public TransferringPromise {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  // Awaitables that are not greenback's own may resume from anywhere.
  template <class A>
  decltype(auto) await_transform(A&& awaitable) {
    return ComeHome(std::forward<A>(awaitable));
  }

  // The awaiter goes on: what an await_suspend of the coroutine returns. The
  // coroutine may be destroyed as soon as this is called.
  std::coroutine_handle<> HandBack() noexcept {
    if (awaited_by_root_) {
      PortalAccess::Wake(*root_);
      return std::noop_coroutine();
    }
    if constexpr (!kTailCalls) {
      if (race_.CompleteIfFirst()) return std::noop_coroutine();
    }
    return TransferTo(continuation_);
  }

  // For an Await() at `point`: runs the coroutine, `self`, which hands back to
  // that.
  void RunBelow(std::coroutine_handle<> self, FiberWaiter& point) {
    continuation_ = self;  // for is_awaited() alone
    root_ = &point;
    awaited_by_root_ = true;
    ResumeAndTransfer(self);
  }

  // Whether the coroutine has been awaited, by whomever.
  bool is_awaited() const { return continuation_ != nullptr; }

  // Of the Await() that waits for this coroutine alone, or for one that waits
  // for it, and so on; null: not known.
  FiberWaiter* root() const { return root_; }

  // For RunCallee(): `caller` goes on when the coroutine hands back.
  void set_continuation(std::coroutine_handle<> caller,
                        FiberWaiter* root = nullptr) {
    continuation_ = caller;
    root_ = root;
  }

  // For RunCallee(): runs the coroutine, `self`, on top of an await_suspend of
  // `caller`, which goes on by itself if that is enough: then the result is
  // true.
  bool RunInPlace(std::coroutine_handle<> self,
                  std::coroutine_handle<> caller) {
    set_continuation(caller);
    race_.Restart();
    ResumeAndTransfer(self);
    if (race_.Suspend()) return false;
    race_.Restart(SuspendRace::State::kSuspended);
    return true;
  }

 private:
  std::coroutine_handle<> continuation_;
  FiberWaiter* root_ = nullptr;
  // Of an awaiter that runs the coroutine in place; all others are suspended
  // before it runs.
  SuspendRace race_{SuspendRace::State::kSuspended};
  bool awaited_by_root_ = false;
};

// Runs `callee` until it hands back to `caller`: for an await_suspend, which
// returns what this returns.
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
// For a coroutine that greenback does not know, and for Await().
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
