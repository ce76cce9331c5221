// The exceptions that a flow of control has in flight: what
// std::current_exception() and std::uncaught_exceptions() look at.
//
// The C++ ABI keeps both per thread. A switch that did not save them would show
// one task the exception of another: `throw;` would rethrow the other task's
// exception, and a destructor that asks whether it runs because of an exception
// would get the wrong answer. So each flow keeps its own state:
//
//   ExceptionState mine = *ThreadExceptionState();
//   *ThreadExceptionState() = {};            // the next flow starts with none
//   ...                                      // another flow runs
//   *ThreadExceptionState() = mine;          // perhaps on another thread
//
// An ExceptionState owns nothing: the exceptions belong to the frames that
// threw or caught them. Nothing here suspends, throws or allocates.
//
// Source: Itanium C++ ABI, Exception Handling, 2.2.2 (`__cxa_eh_globals`); the
// layout is the same in libstdc++ and libc++abi.
#ifndef GREENBACK_CONTEXT_EXCEPTION_STATE_H_
#define GREENBACK_CONTEXT_EXCEPTION_STATE_H_

namespace greenback::context {

struct ExceptionState {
  void* caught = nullptr;  // exceptions being handled, innermost first
  unsigned uncaught = 0;   // thrown and not caught yet
#if defined(__ARM_EABI_UNWINDER__)
  void* propagating = nullptr;
#endif
};

// The state of the running thread. Do not keep the pointer across a switch: the
// flow may be resumed on another thread. This is deliberately a call into
// another translation unit; the ABI's own accessor is declared `const`, so
// compilers reuse one thread's answer on another.
ExceptionState* ThreadExceptionState() noexcept;

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_EXCEPTION_STATE_H_
