// Reports the overflow of a fiber's stack by the name of the task, and measures
// how much of a stack is left.
//
// A fiber that overflows its stack hits the guard below it, which kills the
// process as any invalid access does. With the report on, a line is printed
// before that:
//
//   greenback: fiber stack overflow in task "import", stack size 1048576
//   bytes; raise RunOptions::stack_size
//
// A frame larger than the guard (64 KiB; StackPoolOptions::guard_size) may step
// over it and write to another fiber's stack. Code compiled with
// -fstack-clash-protection does not: every overflow there hits the guard.
//
// Recursive code can check instead of overflowing:
//
//   if (greenback::StackRemaining() < 64 << 10) return TooDeeplyNested();
#ifndef GREENBACK_CONTEXT_STACK_OVERFLOW_H_
#define GREENBACK_CONTEXT_STACK_OVERFLOW_H_

#include <cstddef>

namespace greenback {

// Bytes of the running stack, a fiber's or the thread's own, that are in use,
// and that are left, seen from the caller. For a fiber, both together are the
// size that was requested plus a page, in which the fiber begins. Cheap after
// the first call on a stack. Callable from anywhere; never suspends.
size_t StackUsage() noexcept;
size_t StackRemaining() noexcept;

namespace context {

// Turns the report on for the calling thread: the process gets a handler of
// SIGSEGV and SIGBUS once, and the thread an alternate signal stack if it has
// none. RunOnFiber() and all hosts call it; a later call only reads a
// thread-local flag.
//
// The program's own action for these signals, as it was before the first call,
// stays in force, for faults of all kinds and for signals that are sent: its
// handler is called with the mask and on the stack that its flags ask for
// (SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART), may leave by siglongjmp()
// or raise the signal again, and a signal that is ignored stays ignored. After
// a report the same happens as for any other fault. The differences:
//  - sigaction() returns greenback's handler as the present one.
//  - After an overflow, a handler with SA_ONSTACK is called on greenback's
//    alternate stack (64 KiB) where the thread has no other.
//  - An ignored signal interrupts system calls that are never restarted, such
//    as poll(), with EINTR.
//  - On processors other than x86-64 and aarch64 a handler without SA_ONSTACK
//    is called on the alternate stack.
// A handler that the program installs later replaces greenback's, and with it
// the report; it may forward faults to the handler that sigaction() returned.
void ReportStackOverflows() noexcept;

// The task that runs on this thread, and how to give it more stack, for the
// report. `describe` is called in a signal handler, so it must be
// async-signal-safe. A null name means that no task runs. A process has one
// such function: the last one that was set.
struct RunningTask {
  const char* name = nullptr;
  const char* advice = nullptr;  // "raise RunOptions::stack_size"
};
using DescribeRunningTask = RunningTask (*)();
void SetDescribeRunningTask(DescribeRunningTask describe) noexcept;

}  // namespace context
}  // namespace greenback

#endif  // GREENBACK_CONTEXT_STACK_OVERFLOW_H_
