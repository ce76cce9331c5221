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
//                        kStarting   kSuspended  kLeft       kCompleted  (*)
//   the waiter
//     Suspend()          kSuspended  -           -           false       false
//     SuspendUnshared()  kSuspended  -           -           -           -
//     Leave()            kLeft       kLeft       -           false       -
//     Restart(initial)   initial     initial     -           initial     -
//   the completer
//     Complete()         kCompleted  kCompleted  kCompleted  -      kCompleted
//     CompleteInline()   kCompleted  -           -           -           -
//     CompleteUnshared() kCompleted  kCompleted  -           -           -
//   the host, for the waiter
//     Borrow()           false       kStarting   false       false       false
//     Abandon()          (*), whatever the state was
//
// (*) kAbandoned.
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

enum class SuspendRaceState : uint8_t {
  kStarting,   // the waiter has not suspended, nor the operation completed
  kSuspended,  // the waiter is suspended until the completer resumes it
  kLeft,       // the waiter has stopped waiting, and is not resumed
  kCompleted,  // the operation has completed
  kAbandoned,  // the host has ended; the waiter is resumed, to be unwound
};

// A test orders the steps of the two sides by an AtomicRef of its own.
template <template <class> class AtomicRef>
class BasicSuspendRace {
 public:
  using State = SuspendRaceState;

  // `initial` is kStarting, or kSuspended for a waiter that is suspended before
  // it starts its operation.
  explicit BasicSuspendRace(State initial = State::kStarting)
      : state_(initial) {}
  BasicSuspendRace(const BasicSuspendRace&) = delete;
  BasicSuspendRace& operator=(const BasicSuspendRace&) = delete;

  State state() const { return Shared().load(std::memory_order_acquire); }
  // The state, where no other thread changes it.
  State unshared_state() const { return state_; }

  // The waiter suspends. True: the completer resumes it, perhaps before this
  // returns. False: the operation has completed, and the waiter continues.
  bool Suspend() {
    State found = state();
    if (found == State::kStarting && Advance(found, State::kSuspended)) {
      return true;
    }
    assert(found >= State::kCompleted);
    return false;
  }

  // Suspend(), where no other thread has access to the race: a plain store.
  void SuspendUnshared() {
    assert(unshared_state() == State::kStarting);
    state_ = State::kSuspended;
  }

  // The waiter stops waiting. True: it is not resumed, and the completer will
  // find kLeft. False: the operation has completed.
  bool Leave() {
    State found = state();
    assert(found != State::kLeft && found != State::kAbandoned);
    if (found != State::kCompleted && Advance(found, State::kLeft)) return true;
    assert(found == State::kCompleted);
    return false;
  }

  // As after construction: the waiter is about to start another operation, and
  // there is no completer yet.
  void Restart(State initial = State::kStarting) {
    assert(unshared_state() != State::kLeft &&
           unshared_state() != State::kAbandoned);
    state_ = initial;
  }

  // The operation has completed. The result is the state until then. kStarting:
  // the waiter will continue without suspending. kSuspended: the caller resumes
  // it. kLeft: there is no waiter, and what it shared with the completer is the
  // caller's.
  State Complete() {
    const State found =
        Shared().exchange(State::kCompleted, std::memory_order_acq_rel);
    assert(found != State::kCompleted);
    return found;
  }

  // Complete(), for an operation that completes while it starts, on the
  // waiter's thread: it costs a plain store, and the waiter will continue
  // without suspending.
  void CompleteInline() {
    assert(unshared_state() == State::kStarting);
    state_ = State::kCompleted;
  }

  // Complete(), where no other thread has access to the race: a plain store.
  State CompleteUnshared() {
    const State found = unshared_state();
    assert(found == State::kStarting || found == State::kSuspended);
    state_ = State::kCompleted;
    return found;
  }

  // The stack of a suspended waiter is about to run something else. True: the
  // caller resumes the waiter for that, and the waiter will suspend once more.
  // False: it is not suspended.
  bool Borrow() {
    State found = State::kSuspended;
    return Advance(found, State::kStarting);
  }

  // There will be no completer any more, and the caller resumes the waiter.
  void Abandon() {
    Shared().store(State::kAbandoned, std::memory_order_release);
  }

 private:
  // A plain member, so that the optimiser sees through what one thread does.
  AtomicRef<State> Shared() const { return AtomicRef<State>(state_); }
  // False: `from` is now the state that the other side has set.
  bool Advance(State& from, State to) {
    return Shared().compare_exchange_strong(from, to, std::memory_order_acq_rel,
                                            std::memory_order_acquire);
  }

  mutable State state_;
};

using SuspendRace = BasicSuspendRace<std::atomic_ref>;

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_SUSPEND_RACE_H_
