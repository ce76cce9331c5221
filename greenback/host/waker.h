// The waker: the coroutine handle that Await() passes to an awaitable as its
// continuation. Internal to the portal manager.
#ifndef GREENBACK_HOST_WAKER_H_
#define GREENBACK_HOST_WAKER_H_

#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>

#include "greenback/host/waiter.h"

namespace greenback::internal {

class StopOnCancel;
class WakerLease;

// The promise of a waker. An awaitable that accepts any promise finds in it the
// task that waits.
class WakerPromise {
 public:
  WakerPromise();
  WakerPromise(const WakerPromise&) = delete;
  WakerPromise& operator=(const WakerPromise&) = delete;
  // Runs when the holder of the handle destroys it while it is lent, and when
  // an idle waker is deleted.
  ~WakerPromise();

  // Null: a coroutine outside of tasks waits.
  PortalTask* task() const { return waiter_->task; }

  // A stop is requested when the task is cancelled. For await_suspend(), once
  // for each wait.
  std::stop_token get_stop_token();

  std::coroutine_handle<WakerPromise> get_return_object() {
    return std::coroutine_handle<WakerPromise>::from_promise(*this);
  }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  std::suspend_always final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() const noexcept { std::terminate(); }

 private:
  friend class WakerLease;
  friend struct Fire;
  friend struct WakerCache;

  WakenWaiter* waiter_ = nullptr;
  WakerLease* lease_ = nullptr;               // null: idle
  std::unique_ptr<StopOnCancel> stop_;        // null: nothing has asked for it
  std::coroutine_handle<WakerPromise> next_;  // in the list of idle wakers
};

using WakerHandle = std::coroutine_handle<WakerPromise>;

// A waker that is borrowed for one Await(). It is a real coroutine, not two
// function pointers dressed up as a frame, which optimisers may see through. It
// does its work inside an awaiter's await_suspend, where it counts as suspended
// again, so that the next Await() may pass on the same handle at once.
//
// The thread that returns a waker recycles it, until the thread-local objects
// of the thread are destroyed; a lease may end later.
//
// A library may own the handle, and destroy it in place of resuming it. Then
// nothing will complete the wait, which ends as abandoned.
class WakerLease {
 public:
  // `waiter` fires when handle() is resumed.
  explicit WakerLease(WakenWaiter& waiter);
  WakerLease(const WakerLease&) = delete;
  WakerLease& operator=(const WakerLease&) = delete;
  ~WakerLease();

  WakerHandle handle() const { return handle_; }
  // Once the wait is over.
  bool is_destroyed() const { return handle_ == nullptr; }

 private:
  friend class WakerPromise;

  WakerHandle handle_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_WAKER_H_
