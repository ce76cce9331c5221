// Waiter: a coroutine or a fiber that waits, as its host and whatever completes
// the wait see it. Internal.
//
// It lives in what waits: in an awaiter, or in the frame of an Await(). So
// nothing is allocated to wake it, and a task can wait in several places at
// once: a fiber in an Await(), and the coroutine that it awaits.
//
// Its SuspendRace has the states, and decides whether the waiter or the
// completer resumes it. The functions here have the names that hosts use:
//
//   Park()    Suspend()   the stack, or the coroutine, is about to be left
//   Fire()    Complete()  the wait is over
//
// A fiber that its awaiter has put into the host's queue itself is resumed
// while it is parked: nothing fires.
//
// Threads: as for SuspendRace. The ...Unshared() functions are for a waiter to
// which one thread alone has access at the time.
#ifndef GREENBACK_HOST_WAITER_H_
#define GREENBACK_HOST_WAITER_H_

#include <cassert>
#include <coroutine>
#include <cstdint>

#include "greenback/context/switch.h"
#include "greenback/host/posted.h"
#include "greenback/host/suspend_race.h"

namespace greenback {

class PortalTask;

namespace internal {

// As a Posted it is in the queue of its host, or on its way to the host's
// thread.
class Waiter : public Posted {
 public:
  // kWokenCoroutine and kFiber: a WakenWaiter.
  enum class Kind : uint8_t { kCoroutine, kWokenCoroutine, kFiber };
  explicit Waiter(Kind kind) : kind_(kind) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  PortalTask* task;  // null: a coroutine outside of tasks
  // Of the coroutine; of a fiber, the waker that resumes it, if there is one.
  std::coroutine_handle<> handle;

  Kind kind() const { return kind_; }

  // False: it has fired already, and the caller continues at once.
  bool Park() { return race_.Suspend(); }
  void ParkUnshared() { race_.SuspendUnshared(); }

  // The wait is over. True: it was parked, and the caller resumes it. Once for
  // each wait.
  bool Fire() { return race_.Complete() == SuspendRace::State::kSuspended; }
  bool FireUnshared() {
    return race_.CompleteUnshared() == SuspendRace::State::kSuspended;
  }
  // For the thread that is about to park it.
  void FireInline() { race_.CompleteInline(); }

  // The wait of a coroutine is over, and the caller puts it into the host's
  // queue, where it is found until Resumed(). On the host's thread.
  void Queue() {
    assert(kind() != Kind::kFiber);
    race_.CompleteUnshared();
  }
  // It has been resumed, and may wait again.
  void Resumed() { race_.Restart(); }

  // False: it is not parked. Else its stack is the caller's to run something
  // on: the caller resumes it, and it parks again after that.
  bool Borrow() { return race_.Borrow(); }

  // Its host has ended: the caller resumes it, and its wait never ends.
  void Abandon() { race_.Abandon(); }

  // There is nothing to wait for any more.
  bool is_over() const {
    return race_.state() >= SuspendRace::State::kCompleted;
  }
  // Once it is over.
  bool is_abandoned() const {
    return race_.unshared_state() == SuspendRace::State::kAbandoned;
  }
  // For the host's thread: whether it waits, or its wait is over and it is yet
  // to be resumed.
  bool is_waiting() const {
    return race_.unshared_state() != SuspendRace::State::kStarting;
  }
  // For the host's thread: whether its wait is not over yet.
  bool is_parked() const {
    return race_.unshared_state() == SuspendRace::State::kSuspended;
  }

 private:
  const Kind kind_;
  SuspendRace race_;
};

// A waiter that a waker fires, in an await of anything but greenback's own.
class WakenWaiter : public Waiter {
 public:
  using Waiter::Waiter;

  // The id of the StartMark of its operation; 0: it was not parked before the
  // start. See parked_start.h.
  uintptr_t start_mark = 0;
};

// A call to be made, on a fiber in most places. Without a function: none.
struct FiberCall {
  void (*function)(void* argument) = nullptr;
  void* argument;

  explicit operator bool() const { return function != nullptr; }
  void CallIfSet() const {
    if (function != nullptr) function(argument);
  }
};

// An Await() that waits. Its task knows of it from before anything is started,
// when no other thread can run a step of the task yet.
class FiberWaiter : public WakenWaiter {
 public:
  explicit FiberWaiter(PortalTask& waiting);
  ~FiberWaiter();

  context::SavedContext context;  // while parked
  void* host_fiber = nullptr;     // the host's record of the fiber
  FiberWaiter* outer;             // the next one in the task

  // The rest is for StepTask and its hosts.

  // If set, the host calls it once the waiter has parked, in place of Park(),
  // to start the operation, which thus cannot complete before that. The waiter
  // may be resumed and destroyed before this returns. False: nothing was
  // started, and the host resumes the waiter. Must not throw.
  bool (*start)(void* argument, FiberWaiter& waiter) = nullptr;
  void* start_argument;
  // If set when the waiter is resumed, it is called on the waiting stack, and
  // the waiter parks again.
  FiberCall nested;
  // Becomes true when the waiter parks; may be null.
  bool* has_parked = nullptr;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_WAITER_H_
