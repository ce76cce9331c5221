// SuspendRace: resolves the race between a waiter suspending and its operation
// completing. Whichever comes second resumes the waiter. Internal.
//
//   // The waiter starts the operation, and suspends:
//   Start(operation);
//   if (!race.Suspend()) return Continue();  // it has completed already
//
//   // The completer, on any thread, perhaps inside Start():
//   if (race.Complete() == SuspendRace::State::kSuspended) handle.resume();
//
// The transitions, by the state that a function finds. "false": the other side
// came first, and the state stays as it is. "-": an error, which is asserted.
//
//                          kStarting    kSuspended   kLeft        kCompleted
//   the waiter
//     Suspend()            kSuspended   -            -            false
//     Leave()              kLeft        kLeft        -            false
//     Restart(initial)     -            initial      -            initial
//   the completer
//     Complete()           kCompleted   kCompleted   kCompleted   -
//     CompleteIfFirst()    kCompleted   false        -            -
//     CompleteInline()     kCompleted   -            -            -
//
// Threads: the calls of each side follow one another; the two sides may be on
// different threads. What the first side has written before its transition is
// visible to the second side after its own. The first side touches neither the
// waiter nor the race, which may live in the waiter, once its transition is
// done.
#ifndef GREENBACK_HOST_SUSPEND_RACE_H_
#define GREENBACK_HOST_SUSPEND_RACE_H_

#include <atomic>
#include <cassert>
#include <cstdint>

namespace greenback::internal {

// A test orders the steps of the two sides by an Atomic of its own.
template <template <class> class Atomic>
class BasicSuspendRace {
 public:
  enum class State : uint8_t {
    kStarting,   // the waiter has not suspended, nor the operation completed
    kSuspended,  // the waiter is suspended until the completer resumes it
    kLeft,       // the waiter has stopped waiting, and is not resumed
    kCompleted,  // the operation has completed
  };

  // `initial` is kStarting, or kSuspended for a waiter that is suspended before
  // it starts its operation.
  explicit BasicSuspendRace(State initial = State::kStarting)
      : state_(initial) {}
  BasicSuspendRace(const BasicSuspendRace&) = delete;
  BasicSuspendRace& operator=(const BasicSuspendRace&) = delete;

  State state() const { return state_.load(std::memory_order_acquire); }

  // The waiter suspends. True: the completer resumes it, perhaps before this
  // returns. False: the operation has completed, and the waiter continues.
  bool Suspend() {
    State found = state();
    if (found == State::kStarting && Advance(found, State::kSuspended)) {
      return true;
    }
    assert(found == State::kCompleted);
    return false;
  }

  // The waiter stops waiting. True: it is not resumed, and the completer will
  // find kLeft. False: the operation has completed.
  bool Leave() {
    State found = state();
    assert(found != State::kLeft);
    if (found != State::kCompleted && Advance(found, State::kLeft)) return true;
    assert(found == State::kCompleted);
    return false;
  }

  // As after construction: the waiter is about to start another operation, and
  // there is no completer yet.
  void Restart(State initial = State::kStarting) {
    [[maybe_unused]] const State found = state_.load(std::memory_order_relaxed);
    assert(found == State::kSuspended || found == State::kCompleted);
    state_.store(initial, std::memory_order_relaxed);
  }

  // The operation has completed. The result is the state until then. kStarting:
  // the waiter will continue without suspending. kSuspended: the caller resumes
  // it. kLeft: there is no waiter, and what it shared with the completer is the
  // caller's.
  State Complete() {
    const State found =
        state_.exchange(State::kCompleted, std::memory_order_acq_rel);
    assert(found != State::kCompleted);
    return found;
  }

  // Complete(), for a waiter that never leaves, where nobody asks for the state
  // afterwards: a suspended waiter costs a load alone. True: the waiter will
  // continue without suspending. False: it is suspended, and the caller resumes
  // it.
  bool CompleteIfFirst() {
    State found = state();
    if (found == State::kStarting && Advance(found, State::kCompleted)) {
      return true;
    }
    assert(found == State::kSuspended);
    return false;
  }

  // Complete(), for an operation that completes while it starts, on the
  // waiter's thread: it costs a plain store, and the waiter will continue
  // without suspending.
  void CompleteInline() {
    assert(state_.load(std::memory_order_relaxed) == State::kStarting);
    state_.store(State::kCompleted, std::memory_order_relaxed);
  }

 private:
  // False: `from` is now the state that the other side has set.
  bool Advance(State& from, State to) {
    return state_.compare_exchange_strong(from, to, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
  }

  Atomic<State> state_;
};

using SuspendRace = BasicSuspendRace<std::atomic>;

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_SUSPEND_RACE_H_
