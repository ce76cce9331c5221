// The exceptions that a flow of control has in flight: what
// std::current_exception() and std::uncaught_exceptions() look at.
//
// The C++ ABI keeps both per thread. A switch that leaves them alone shows one
// task the exception of another: `throw;` rethrows a stranger's, and a
// destructor that asks whether it runs because of an exception is told wrong.
// So each flow takes its state along:
//
//   ExceptionState mine = *ThreadExceptionState();
//   *ThreadExceptionState() = {};            // whoever runs now has none
//   ...                                      // run somebody else
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

// The running thread's. Do not keep the pointer across a switch: the flow may
// go on on another thread. This is a call into another translation unit on
// purpose; the ABI's own accessor is declared `const`, so that compilers use
// one thread's answer on another.
ExceptionState* ThreadExceptionState() noexcept;

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_EXCEPTION_STATE_H_
