// CalleePromise: base of the promises of coroutines that run when others await
// them, and then hand back. Internal to greenback's coroutine types.
//
// Who awaits such a coroutine calls RunCallee() in its await_suspend; when the
// coroutine has come to where its awaiter goes on (its end, a co_yield), its
// own await_suspend returns HandBack(). Neither grows the stack, whoever
// awaits: a coroutine of greenback's, one of another library, or Await().
#ifndef GREENBACK_HOST_CALLEE_PROMISE_H_
#define GREENBACK_HOST_CALLEE_PROMISE_H_

#include <atomic>
#include <concepts>
#include <coroutine>
#include <utility>

#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_task.h"
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
    if (point_ != nullptr) {
      PortalAccess::Wake(*point_);
      return std::noop_coroutine();
    }
    if constexpr (!kTailCalls) {
      Phase in_place = Phase::kInPlace;
      if (phase_.load(std::memory_order_relaxed) == in_place &&
          phase_.compare_exchange_strong(in_place, Phase::kDone,
                                         std::memory_order_acq_rel)) {
        return std::noop_coroutine();
      }
    }
    return TransferTo(continuation_);
  }

  // For an Await() at `point`: runs the coroutine, `self`, which hands back to
  // that.
  void RunBelow(std::coroutine_handle<> self, FiberWaiter& point) {
    continuation_ = self;  // for is_awaited() alone
    point_ = &point;
    root_ = &point;
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
    phase_.store(Phase::kInPlace, std::memory_order_relaxed);
    ResumeAndTransfer(self);
    Phase in_place = Phase::kInPlace;
    return !phase_.compare_exchange_strong(in_place, Phase::kDetached,
                                           std::memory_order_acq_rel);
  }

 private:
  enum class Phase : unsigned char { kDetached, kInPlace, kDone };

  std::coroutine_handle<> continuation_;
  FiberWaiter* point_ = nullptr;  // of the Await(), where that is the awaiter
  FiberWaiter* root_ = nullptr;
  std::atomic<Phase> phase_{Phase::kDetached};
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
