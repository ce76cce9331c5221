// Overflow of a fiber's stack, reported by name, and what is left of it.
//
// A fiber that runs over its stack hits the guard below it, which kills the
// process as any wild access does. With the report on, a line says first what
// happened:
//
//   greenback: fiber stack overflow in task "import", stack size 1048576
//   bytes; raise RunOptions::stack_size
//
// Code with a recursion of its own can ask instead of overflowing:
//
//   if (greenback::StackRemaining() < 64 << 10) return TooDeeplyNested();
#ifndef GREENBACK_CONTEXT_STACK_OVERFLOW_H_
#define GREENBACK_CONTEXT_STACK_OVERFLOW_H_

#include <cstddef>

namespace greenback {

// Bytes of the running stack, a fiber's or the thread's own, that are in use
// above the caller / left below it. Cheap after the first call on a stack.
// Callable from anywhere; never suspends.
size_t StackUsage() noexcept;
size_t StackRemaining() noexcept;

namespace context {

// Turns the report on for the calling thread: the process gets a handler of
// SIGSEGV and SIGBUS once, and the thread an alternate signal stack if it has
// none. Faults that are no overflow of a fiber go to the handler that was there
// before, or die as before. RunOnFiber() and all hosts call it; a later call
// costs a look at a thread-local flag.
void ReportStackOverflows() noexcept;

// Who runs on this thread, and how to give it more stack, for the report.
// Called in a signal handler: must be async-signal-safe. A null task means
// none. One describer a process: the last one set.
struct RunningTask {
  const char* name = nullptr;
  const char* advice = nullptr;  // "raise RunOptions::stack_size"
};
using DescribeRunningTask = RunningTask (*)();
void SetDescribeRunningTask(DescribeRunningTask describe) noexcept;

}  // namespace context
}  // namespace greenback

#endif  // GREENBACK_CONTEXT_STACK_OVERFLOW_H_
