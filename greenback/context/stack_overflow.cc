#include "greenback/context/stack_overflow.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "greenback/context/stack_pool.h"

namespace greenback {
namespace context {
namespace {

std::atomic<DescribeRunningTask> describe_running_task{nullptr};

// The program's own action for a signal, which greenback's handler has
// replaced.
struct PreviousAction {
  struct sigaction action = {};
  // SA_RESETHAND: its handler has been called, and the default is in force.
  std::atomic<bool> was_reset{false};
};
constinit PreviousAction previous_segv;
constinit PreviousAction previous_bus;

// A thread's share of the report. It has no destructor, so that fibers can be
// resumed in the destructors of other thread-locals.
struct ThreadSignals {
  bool is_ready = false;
  void* stack = nullptr;   // greenback's alternate stack, if there is one
  int moving = 0;          // the signal that Move() has raised again
  siginfo_t info = {};     // as it came at first
  stack_t alternate = {};  // what is switched off meanwhile
};
thread_local constinit ThreadSignals thread_signals;

// A line put together without anything that is unsafe in a signal handler.
class Line {
 public:
  Line& operator<<(const char* text) { return Append(text, std::strlen(text)); }
  Line& Append(const char* text, size_t length) {
    const size_t room = sizeof(text_) - 1 - size_;
    const size_t taken = length < room ? length : room;
    std::memcpy(text_ + size_, text, taken);
    size_ += taken;
    return *this;
  }
  Line& operator<<(size_t number) {
    char digits[24];
    char* first = digits + sizeof(digits) - 1;
    *first = '\0';
    do {
      *--first = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << first;
  }
  void WriteToStderr() {
    text_[size_++] = '\n';
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text_, size_);
  }

 private:
  char text_[512];
  size_t size_ = 0;
};

constexpr size_t kMostOfAName = 300;

void Report(const StackBounds& bounds) {
  RunningTask task;
  if (DescribeRunningTask describe = describe_running_task.load()) {
    task = describe();
  }
  Line line;
  line << "greenback: fiber stack overflow in ";
  if (task.name) {
    // A name may be a function's; what follows has to fit behind it.
    line << "task \"";
    line.Append(task.name, strnlen(task.name, kMostOfAName)) << "\"";
  } else {
    line << "no task";
  }
  line << ", stack size " << bounds.stack_size << " bytes; "
       << (task.advice ? task.advice : "raise StackPoolOptions::stack_size");
  line.WriteToStderr();
}

void HandleFault(int signal, siginfo_t* info, void* context);

// Installs HandleFault() in place of `previous`. The kernel then blocks the
// signals, and restarts the system calls, that it did before; HandleFault()
// does the rest.
void Install(int signal, const struct sigaction& previous) {
  struct sigaction action = previous;
  action.sa_sigaction = HandleFault;
  action.sa_flags &= ~(SA_RESETHAND | SA_NODEFER);
  action.sa_flags |= SA_SIGINFO | SA_ONSTACK;
  // What is ignored interrupts nothing.
  if (previous.sa_handler == SIG_IGN) action.sa_flags |= SA_RESTART;
  sigaction(signal, &action, nullptr);
}

void Unblock(int signal) {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
}

// The default action for a signal that is being handled. The process ends at
// the fault, which happens again when the handler returns; or `now`.
void Die(int signal, bool now) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  if (!now) return;
  raise(signal);
  Unblock(signal);
}

bool IsOn(const stack_t& alternate) {
  const char* const here = static_cast<const char*>(__builtin_frame_address(0));
  const char* const limit = static_cast<const char*>(alternate.ss_sp);
  return !(alternate.ss_flags & SS_DISABLE) && here >= limit &&
         here < limit + alternate.ss_size;
}

// Switches the thread's alternate stack off, while this runs on it. The kernel
// refuses that if the stack pointer is on it, so during the system call the
// stack pointer is that of the interrupted code.
bool SwitchOffAlternateStack([[maybe_unused]] const ucontext_t& interrupted) {
  [[maybe_unused]] const stack_t none = {
      .ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
#if defined(__x86_64__)
  // Below the red zone.
  long long stack_pointer = interrupted.uc_mcontext.gregs[REG_RSP] - 128;
  long result = SYS_sigaltstack;
  asm volatile(
      "xchgq %%rsp, %[stack_pointer]\n\t"
      "syscall\n\t"
      "xchgq %%rsp, %[stack_pointer]"
      : "+a"(result), [stack_pointer] "+r"(stack_pointer)
      : "D"(&none), "S"(nullptr)
      : "rcx", "r11", "cc", "memory");
  return result == 0;
#elif defined(__aarch64__)
  register const void* result asm("x0") = &none;
  register const void* old asm("x1") = nullptr;
  register long number asm("x8") = SYS_sigaltstack;
  asm volatile(
      "mov x9, sp\n\t"
      "mov sp, %[stack_pointer]\n\t"
      "svc #0\n\t"
      "mov sp, x9"
      : "+r"(result)
      : "r"(old), "r"(number), [stack_pointer] "r"(interrupted.uc_mcontext.sp)
      : "x9", "cc", "memory");
  return result == nullptr;
#else
  return false;
#endif
}

// Has the kernel deliver the signal once more, on the stack that it interrupted
// and not on the alternate one, which is off until HandleFault() is entered
// again. That the kernel makes the frame there leaves the previous handler free
// to do all that it could without greenback: to use much stack, to leave by
// siglongjmp(), to stay. False: it cannot be done.
bool Move(int signal, const siginfo_t& info, ucontext_t& interrupted) {
  // A signal that ends a sigsuspend() may be blocked again afterwards.
  if (sigismember(&interrupted.uc_sigmask, signal) == 1) return false;
  // Not when the interrupted code runs on it itself.
  if (!SwitchOffAlternateStack(interrupted)) return false;
  thread_signals.moving = signal;
  thread_signals.info = info;
  thread_signals.alternate = interrupted.uc_stack;
  interrupted.uc_stack.ss_flags = SS_DISABLE;
  raise(signal);  // delivered when this handler returns, fault or not
  return true;
}

// Reports an overflow, and then does what the kernel would have done if the
// program's own action were still installed.
void HandleFault(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  PreviousAction& previous = signal == SIGSEGV ? previous_segv : previous_bus;
  const struct sigaction& action = previous.action;
  const bool ignores = action.sa_handler == SIG_IGN;
  bool is_default = ignores || action.sa_handler == SIG_DFL ||
                    previous.was_reset.load(std::memory_order_relaxed);

  struct sigaction installed;
  sigaction(signal, nullptr, &installed);
  // Otherwise a handler that was installed later passes the signal on. It would
  // have called the previous handler itself, just so.
  const bool is_installed = installed.sa_sigaction == HandleFault;
  if (is_installed && !(installed.sa_flags & SA_SIGINFO)) {
    // The program has removed it by signal() and put it back, which loses the
    // flags. There is no `info`; a fault happens again.
    Install(signal, action);
    if (is_default) {
      if (!ignores) raise(signal);
      errno = error;
      return;
    }
    action.sa_handler(signal);
    return;
  }

  ucontext_t& interrupted = *static_cast<ucontext_t*>(context);
  ThreadSignals& thread = thread_signals;
  const bool moved = thread.moving == signal;
  if (moved) {
    thread.moving = 0;
    *info = thread.info;
    sigaltstack(&thread.alternate, nullptr);
    interrupted.uc_stack = thread.alternate;
  }
  // By kill(), raise() and the like: there is no address.
  const bool sent = info->si_code <= 0;
  if (sent && ignores) {
    errno = error;
    return;
  }
  StackBounds bounds;
  const char* const address = static_cast<const char*>(info->si_addr);
  const bool overflow =
      !sent && !moved && FindStack(address, bounds) && address < bounds.limit;
  if (overflow) Report(bounds);

  if (is_installed && !is_default) {
    // The program does not know of greenback's alternate stack. But after an
    // overflow there is no other for its handler to run on.
    const bool wants_alternate =
        (action.sa_flags & SA_ONSTACK) &&
        (overflow || interrupted.uc_stack.ss_sp != thread.stack);
    if (!wants_alternate && !moved && IsOn(interrupted.uc_stack) &&
        Move(signal, *info, interrupted)) {
      errno = error;
      return;
    }
    if (action.sa_flags & SA_RESETHAND) {
      // Of two threads, one calls the handler.
      is_default = previous.was_reset.exchange(true, std::memory_order_relaxed);
    }
    if ((action.sa_flags & SA_NODEFER) && !is_default &&
        !sigismember(&action.sa_mask, signal)) {
      Unblock(signal);
    }
  }
  // What was sent has no instruction that runs again, and a later handler may
  // not return there.
  if (is_default) Die(signal, /*now=*/sent || !is_installed);
  errno = error;
  if (is_default) return;
  if (action.sa_flags & SA_SIGINFO) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

// ------------------------------------------------------------ alternate stack

// The kernel's frame takes up to 11 KiB with AVX-512 and AMX state. A handler
// of the program's may run here, too.
constexpr size_t kAlternateSize = 64 << 10;
constexpr size_t kAlternateGuard = 64 << 10;  // whatever the size of a page

void UnmapAlternateStack(void* stack) {
  munmap(static_cast<char*>(stack) - kAlternateGuard,
         kAlternateGuard + kAlternateSize);
}

// At the end of the thread, after the destructors of thread-locals.
void FreeAlternateStack(void* stack) {
  stack_t present;
  if (sigaltstack(nullptr, &present) == 0 && present.ss_sp == stack) {
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  UnmapAlternateStack(stack);
  // A destructor that runs even later may resume a fiber.
  thread_signals = {};
}

// A signal cannot be delivered on a stack that has overflowed. Where this
// fails, overflows are not reported, but the guards hold.
void MakeAlternateStack() {
  stack_t present;
  if (sigaltstack(nullptr, &present) != 0 || !(present.ss_flags & SS_DISABLE)) {
    return;  // a sanitizer's, or the program's own
  }
  static pthread_key_t at_thread_exit;
  static const bool has_key =
      pthread_key_create(&at_thread_exit, FreeAlternateStack) == 0;
  if (!has_key) return;
  void* const mapping =
      mmap(nullptr, kAlternateGuard + kAlternateSize, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (mapping == MAP_FAILED) return;
  stack_t mine = {};
  mine.ss_sp = static_cast<char*>(mapping) + kAlternateGuard;
  mine.ss_size = kAlternateSize;
  if (mprotect(mine.ss_sp, kAlternateSize, PROT_READ | PROT_WRITE) != 0 ||
      pthread_setspecific(at_thread_exit, mine.ss_sp) != 0) {
    UnmapAlternateStack(mine.ss_sp);
    return;
  }
  if (sigaltstack(&mine, nullptr) == 0) thread_signals.stack = mine.ss_sp;
}

struct KnownStack {
  bool Holds(const char* address) const {
    return address >= limit && address < end;
  }
  const char* limit = nullptr;
  const char* end = nullptr;
};

__attribute__((noinline)) KnownStack FindRunningStack(const char* here) {
  // What was found last. The thread's own is kept apart: it never changes, and
  // to ask for it again may cost a walk through all mappings.
  thread_local constinit KnownStack own;
  thread_local constinit KnownStack fiber;
  thread_local constinit uint64_t fiber_found_at = 0;
  if (own.Holds(here)) return own;
  // Where a slab has been unmapped, another pool's may be by now.
  const uint64_t slabs_gone = SlabsGone();
  if (fiber.Holds(here) && fiber_found_at == slabs_gone) return fiber;
  StackBounds bounds;
  if (FindStack(here, bounds)) {
    fiber = {bounds.limit, bounds.end};
    fiber_found_at = slabs_gone;
    return fiber;
  }
  // A stack that other code made and switched to is not known, so no bytes are
  // promised.
  if (own.end) return {here, here};
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {here, here};
  void* limit = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &limit, &size);
  pthread_attr_destroy(&attributes);
  own = {static_cast<const char*>(limit),
         static_cast<const char*>(limit) + size};
  return own.Holds(here) ? own : KnownStack{here, here};
}

}  // namespace

// Not inlined, so that no address of a thread-local is kept across a switch.
__attribute__((noinline)) void ReportStackOverflows() noexcept {
  if (thread_signals.is_ready) [[likely]]
    return;
  thread_signals.is_ready = true;
  MakeAlternateStack();
  [[maybe_unused]] static const bool installed = [] {
    for (const int signal : {SIGSEGV, SIGBUS}) {
      // Known before a signal can be delivered.
      struct sigaction& action =
          (signal == SIGSEGV ? previous_segv : previous_bus).action;
      sigaction(signal, nullptr, &action);
      Install(signal, action);
    }
    return true;
  }();
}

void SetDescribeRunningTask(DescribeRunningTask describe) noexcept {
  describe_running_task.store(describe);
}

}  // namespace context

// Not inlined, so that the frame looked at is on the stack that runs now and
// no address of a thread-local is kept across a switch.
__attribute__((noinline)) size_t StackUsage() noexcept {
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  return static_cast<size_t>(context::FindRunningStack(here).end - here);
}

__attribute__((noinline)) size_t StackRemaining() noexcept {
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  return static_cast<size_t>(here - context::FindRunningStack(here).limit);
}

}  // namespace greenback
