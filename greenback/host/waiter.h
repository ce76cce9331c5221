// Waiter: a coroutine or a fiber that waits, as its host and whatever completes
// the wait see it. Internal.
//
// It lives in what waits: in an awaiter, or in the frame of an Await(). So
// nothing is allocated to wake it, and a task can wait in several places at
// once: a fiber in an Await(), and the coroutine that it awaits.
//
// The states, and the functions that lead from one to the next:
//
//   kRunning -> kParked     Park(), ParkUnshared()
//   kRunning -> kFired      Fire...(), Queue(): no need to park any more
//   kParked  -> kFired      Fire...(), Queue()
//   kParked  -> kRunning    Borrow(), Rerun(): a call on the waiting stack
//   kFired   -> kRunning    Resumed(): of a coroutine, for its next wait
//   any      -> kAbandoned  Abandon(): of a fiber, which is to be unwound
//
// A fiber that its awaiter has put into the host's queue by itself is resumed
// as kParked: nothing fires.
//
// Threads: Park(), Borrow() and Fire() settle who comes first between two
// threads, and who comes second resumes the waiter. The others are for a waiter
// that one thread alone knows of at the time; ...Unshared() is what a host of
// one thread calls in place of the function without it.
#ifndef GREENBACK_HOST_WAITER_H_
#define GREENBACK_HOST_WAITER_H_

#include <atomic>
#include <bit>
#include <cassert>
#include <coroutine>
#include <cstdint>
#include <cstring>

#include "greenback/context/switch.h"

namespace greenback {

class PortalTask;

namespace internal {

// Something that another thread has handed to the thread of a host, to be run
// there. Lives in what hands it over, so that this cannot fail. Set when it is
// posted, and not before.
struct Posted {
  enum class End { kRun, kDrop };

  Posted* next;
  // Called once, on the host's thread; `posted` is not touched afterwards.
  // kDrop: the host has ended.
  void (*run)(Posted& posted, End end);
};

// Its `next` also links the queue of a host.
class Waiter : public Posted {
 public:
  enum class Kind : uint8_t { kCoroutine, kFiber };
  enum class State : uint8_t { kRunning, kParked, kFired, kAbandoned };

  explicit Waiter(Kind kind) { Set(kind, State::kRunning); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  PortalTask* task;  // null: a coroutine outside of tasks
  // Of the coroutine; of a fiber, the waker that resumes it, if there is one.
  std::coroutine_handle<> handle;

  Kind kind() const { return kind_and_state_.kind; }

  // False: it has fired already, and goes on at once.
  bool Park() {
    State running = State::kRunning;
    return Atomic().compare_exchange_strong(running, State::kParked,
                                            std::memory_order_acq_rel);
  }
  void ParkUnshared() {
    assert(Is(State::kRunning));
    Atomic().store(State::kParked, std::memory_order_relaxed);
  }

  // The wait is over. True: it was parked, and the caller resumes it. Once for
  // each wait.
  bool Fire() {
    const State before =
        Atomic().exchange(State::kFired, std::memory_order_acq_rel);
    assert(before != State::kFired);
    return before == State::kParked;
  }
  bool FireUnshared() {
    const bool parked = Is(State::kParked);
    assert(parked || Is(State::kRunning));
    Atomic().store(State::kFired, std::memory_order_relaxed);
    return parked;
  }
  // For the thread that is on its way to park it.
  void FireWhileRunning() {
    assert(Is(State::kRunning));
    Atomic().store(State::kFired, std::memory_order_relaxed);
  }

  // The wait of a coroutine is over, and the caller puts it into the host's
  // queue, where it is found until Resumed(). On the host's thread.
  void Queue() {
    assert(kind() == Kind::kCoroutine);
    assert(!is_waiting() || is_parked());
    Set(Kind::kCoroutine, State::kFired);
  }
  void Resumed() {
    assert(!is_abandoned());
    kind_and_state_.state = State::kRunning;
  }

  // False: it is not parked. Else its stack is the caller's to run something
  // on.
  bool Borrow() {
    State parked = State::kParked;
    return Atomic().compare_exchange_strong(parked, State::kRunning,
                                            std::memory_order_acq_rel);
  }
  // It has been resumed to run something on its stack, and will park again.
  void Rerun() {
    assert(Is(State::kParked) || Is(State::kRunning));
    Atomic().store(State::kRunning, std::memory_order_relaxed);
  }

  // Its host has gone: it is resumed, and nothing was awaited to its end.
  void Abandon() {
    Atomic().store(State::kAbandoned, std::memory_order_release);
  }

  // There is nothing to wait for any more.
  bool is_over() const {
    return Atomic().load(std::memory_order_acquire) >= State::kFired;
  }
  // Once it is over.
  bool is_abandoned() const {
    return kind_and_state_.state == State::kAbandoned;
  }
  // For the host's thread: whether it waits, or has and is yet to resume; and
  // whether what it waits for is yet to come.
  bool is_waiting() const { return kind_and_state_.state != State::kRunning; }
  bool is_parked() const { return kind_and_state_.state == State::kParked; }

 private:
  struct KindAndState {
    Kind kind;
    State state;
    uint8_t unused[2];
  };

  // By one instruction, which takes four bytes: a constant of two would go by
  // way of a register.
  void Set(Kind kind, State state) {
    constexpr bool kLittle = std::endian::native == std::endian::little;
    const uint32_t all =
        uint32_t{static_cast<uint8_t>(kind)} << (kLittle ? 0 : 24) |
        uint32_t{static_cast<uint8_t>(state)} << (kLittle ? 8 : 16);
    static_assert(sizeof(all) == sizeof(kind_and_state_));
    std::memcpy(&kind_and_state_, &all, sizeof(all));
  }
  std::atomic_ref<State> Atomic() const {
    return std::atomic_ref<State>(kind_and_state_.state);
  }
  bool Is(State state) const {
    return Atomic().load(std::memory_order_relaxed) == state;
  }

  mutable KindAndState kind_and_state_;
};

// An Await() that waits. Its task knows of it from before anything is started,
// when no other thread can run a step of the task yet.
class FiberWaiter : public Waiter {
 public:
  explicit FiberWaiter(PortalTask& waiting);
  ~FiberWaiter();

  context::SavedContext context;  // while parked
  void* host_fiber = nullptr;     // the host's record of the fiber
  FiberWaiter* outer;             // the next one in the task

  // The rest is for the hosts that step_task.h serves.

  // Called once it has parked, in place of Park(): starts what it waits for,
  // which thus cannot complete before that. The waiter may be resumed, and be
  // gone, before this returns. False: nothing was started, and it is resumed.
  // Must not throw.
  bool (*start)(void* argument, FiberWaiter& waiter) = nullptr;
  void* start_argument;
  // Called on the waiting stack when that is resumed, which then waits again.
  void (*below)(void* argument) = nullptr;
  void* below_argument;
  // Set when it parks; may be null.
  bool* has_parked = nullptr;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_WAITER_H_
