// Starting an operation whose waiter has parked already. Internal.
//
// An operation that completes on another thread while its waiter is on the way
// to park would find it running, and the waiter would continue on the thread
// that started the operation. A waiter that parks first is always continued by
// the completer, on the completer's thread, as a native coroutine is: that is
// suspended before its await_suspend() is called. Hosts whose tasks return to a
// queue or to an executor do not need this.
//
// The operation is started in no task: the task may be running on another
// thread before the function that starts it has returned.
#ifndef GREENBACK_HOST_PARKED_START_H_
#define GREENBACK_HOST_PARKED_START_H_

#include <coroutine>
#include <cstdint>
#include <exception>
#include <utility>

#include "greenback/host/thread_state.h"
#include "greenback/host/transfer.h"
#include "greenback/host/waiter.h"
#include "greenback/internal/awaitable_traits.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {

// Marks, for as long as it exists, that this thread is starting something, and
// can itself continue the waiter when that returns. Lives on the stack. What is
// started keeps its id, which may outlive it: another thread may complete it.
class StartMark {
 public:
  // Not 0, and of no other mark that exists.
  using Id = uintptr_t;

  StartMark() : state_(ThisThread()), outer_(state_.starting) {
    state_.starting = this;
  }
  StartMark(const StartMark&) = delete;
  StartMark& operator=(const StartMark&) = delete;
  ~StartMark() { state_.starting = outer_; }

  Id id() const { return reinterpret_cast<Id>(this); }

  // What was started with the mark `id`, 0 if there was none, is over. True:
  // this thread is still starting it, and continues it after that. (So a loop
  // of things that complete while they start does not grow the stack.) False:
  // the caller continues it.
  static bool Completes(Id id) noexcept {
    if (id == 0) return false;
    for (StartMark* found = ThisThread().starting; found != nullptr;
         found = found->outer_) {
      if (found->id() == id) {
        found->has_completed_ = true;
        return true;
      }
    }
    return false;
  }

  // Whether Completes() has returned true.
  bool has_completed() const { return has_completed_; }

 protected:
  // A caller that starts something stays on its thread meanwhile.
  ThreadState& state_;

 private:
  StartMark* const outer_;
  bool has_completed_ = false;
};

// Marks the start of an operation whose waiter has parked, and keeps this
// thread in no task meanwhile. The waiter may be continued and destroyed.
class ParkedStart : public StartMark {
 public:
  explicit ParkedStart(WakenWaiter& waiter)
      : task_(std::exchange(state_.current_task, nullptr)) {
    waiter.start_mark = id();
  }
  ~ParkedStart() { state_.current_task = task_; }

 private:
  PortalTask* const task_;
};

// Calls start(), which starts the operation of `waiter`, which is parked, and
// returns whether it has. False: the caller continues `waiter`. True: the
// completer does, or has done so, and `waiter` may have been destroyed.
template <class Start>
bool StartParked(WakenWaiter& waiter, Start start) {
  const ParkedStart parked(waiter);
  return start() && !parked.has_completed();
}

// The same for an awaiter: suspend() is its await_suspend(), which receives
// `waker`. If that throws, `error` is set, and the caller continues `waiter`.
template <class Suspend>
bool StartParked(WakenWaiter& waiter, Suspend suspend,
                 std::coroutine_handle<> waker, std::exception_ptr& error) {
  return StartParked(waiter, [&] {
    std::coroutine_handle<> next;
    GREENBACK_TRY { next = NextAfter(suspend, waker); }
    GREENBACK_CATCH_ALL {
      error = std::current_exception();
      return false;
    }
    if (next == waker) return false;
    // As part of the start: it may complete the operation.
    ResumeAndTransfer(next);
    return true;
  });
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_PARKED_START_H_
