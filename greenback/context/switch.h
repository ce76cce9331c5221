// The switch: suspends one flow of control and resumes another, in the same
// thread.
//
//   SavedContext loop, fiber;
//   fiber = SavedContext::Create(stack, [](void* argument) {
//     ...                                   // on `stack`
//     FinalSwitch(*static_cast<SavedContext*>(argument));
//   }, &loop);
//   Switch(/*from=*/loop, /*to=*/fiber);    // returns when `fiber` ends
//
// Portals are built on this layer; use RunOnFiber() or Await() unless you write
// a host of your own.
//
// A flow keeps its registers, its floating-point control words, its exceptions
// in flight (exception_state.h), and its records in sanitizers. It does not
// keep thread-locals: after a switch a flow may be on another thread, and must
// read them through functions that are not inlined.
//
// Threads: a flow runs on one thread at a time, and may be resumed on any.
// Between the moment when other threads can see that a flow waits and the
// moment when it has left its stack, they must not resume it: pass the
// announcement to SwitchThen(), which makes it from the other side.
// Errors: none; resuming a context that is not saved is undefined behaviour,
// and asserted in debug builds.
#ifndef GREENBACK_CONTEXT_SWITCH_H_
#define GREENBACK_CONTEXT_SWITCH_H_

#include <cassert>

#include "greenback/context/exception_state.h"
#include "greenback/context/internal/jump.h"
#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/stack_pool.h"

namespace greenback::context {

namespace internal {
struct Jump;
}

// A suspended flow of control. Owns nothing: the stack must exist until the
// flow has ended. A flow that is never resumed leaks what its frames own (and,
// under sanitizers, their records of it).
class SavedContext {
 public:
  SavedContext() = default;

  // A flow that calls entry(argument) on `stack` when it is first resumed, with
  // no exception in flight. `entry` must not return or throw: it ends with
  // FinalSwitch(). Backtraces end at it.
  static SavedContext Create(const Stack& stack, void (*entry)(void*),
                             void* argument);

  // Whether a flow is saved here.
  explicit operator bool() const { return place_ != nullptr; }

 private:
  friend struct internal::Jump;

  internal::Place* place_ = nullptr;
  [[no_unique_address]] sanitizer::FlowState sanitizer_;
};

namespace internal {

// What one side of a jump passes to the other. Lives on the stack of the side
// that leaves, so it is read before that side may be resumed. Written by Go().
struct Jump : Place {
  SavedContext* from;
  void (*left)(void*);  // null: nothing is called
  void* argument;
  ExceptionState* exceptions;  // the thread's
  ControlWords control;

  // `last`: it will not return.
  GREENBACK_SWITCHES_INLINE void Go(SavedContext& here, SavedContext& to,
                                    bool last, void (*then)(void*),
                                    void* then_argument);
  GREENBACK_SWITCHES_INLINE static void Arrive(void* fake_stack, Jump& jump);
};

// Inline, as are Switch() and SwitchThen(): see jump.h.
void Jump::Go(SavedContext& here, SavedContext& to, bool last,
              void (*then)(void*), void* then_argument) {
  from = &here;
  left = then;
  if (then != nullptr) argument = then_argument;
  // Kept on the stack, not in `here`: no other flow needs them. Member by
  // member, as they are written: one read of both would wait for the writes.
  exceptions = ThreadExceptionState();
  void* const caught = exceptions->caught;
  const unsigned uncaught = exceptions->uncaught;
#if defined(__ARM_EABI_UNWINDER__)
  void* const propagating = exceptions->propagating;
#endif
  control.Save();
  Place* const there = to.place_;
  assert(there && "greenback: switch to a context that is not saved");
  to.place_ = nullptr;
  void* const fake_stack =
      sanitizer::BeforeJump(here.sanitizer_, to.sanitizer_, last);

  Jump& other = static_cast<Jump&>(*JumpTo(there, this));

  control.Load(other.control);
  // From now on this flow runs on the other side's thread.
  other.exceptions->caught = caught;
  other.exceptions->uncaught = uncaught;
#if defined(__ARM_EABI_UNWINDER__)
  other.exceptions->propagating = propagating;
#endif
  Arrive(fake_stack, other);
}

void Jump::Arrive(void* fake_stack, Jump& jump) {
  jump.from->place_ = &jump;
  sanitizer::AfterJump(fake_stack, jump.from->sanitizer_);
  // Last, since this call may release the other side's stack.
  if (jump.left) jump.left(jump.argument);
}

}  // namespace internal

// Saves the running flow in `from` and resumes `to`, which is then empty.
// Returns when a flow switches to `from`, perhaps on another thread.
GREENBACK_SWITCHES_INLINE void Switch(SavedContext& from, SavedContext& to) {
  internal::Jump jump;
  jump.Go(from, to, /*last=*/false, nullptr, nullptr);
}

// The same; `left(argument)` is called on the side of `to`, before anything
// else there, at the moment when `from` is saved and may be resumed by any
// thread. It must not throw or switch.
GREENBACK_SWITCHES_INLINE void SwitchThen(SavedContext& from, SavedContext& to,
                                          void (*left)(void*), void* argument) {
  internal::Jump jump;
  jump.Go(from, to, /*last=*/false, left, argument);
}

// Ends the running flow and resumes `to`. `left(argument)`, if given, is called
// on that side, when the stack of the ended flow may be returned to its pool.
[[noreturn]] void FinalSwitch(SavedContext& to, void (*left)(void*) = nullptr,
                              void* argument = nullptr);

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_SWITCH_H_
