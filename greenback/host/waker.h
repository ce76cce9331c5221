// The waker: the coroutine handle that Await() passes to an awaitable as its
// continuation. Internal to the portal manager.
#ifndef GREENBACK_HOST_WAKER_H_
#define GREENBACK_HOST_WAKER_H_

#include <coroutine>

#include "greenback/host/portal_task.h"

namespace greenback::internal {

// A waker that is borrowed for one Await(). It is a real coroutine, not two
// function pointers dressed up as a frame, which optimisers may see through. It
// does its work inside an awaiter's await_suspend, where it counts as suspended
// again, so that the next Await() may pass on the same handle at once.
//
// The thread that returns a waker recycles it, until the thread-local objects
// of the thread are destroyed; a lease may end later.
class WakerLease {
 public:
  // `waiter` fires when handle() is resumed.
  explicit WakerLease(Waiter& waiter);
  WakerLease(const WakerLease&) = delete;
  WakerLease& operator=(const WakerLease&) = delete;
  ~WakerLease();

  std::coroutine_handle<> handle() const { return handle_; }

 private:
  std::coroutine_handle<> handle_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_WAKER_H_
