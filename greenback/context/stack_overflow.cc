#include "greenback/context/stack_overflow.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "greenback/context/stack_pool.h"

namespace greenback {
namespace context {
namespace {

std::atomic<DescribeRunningTask> describe_running_task{nullptr};

struct sigaction previous_segv;
struct sigaction previous_bus;

// A line put together without anything that is unsafe in a signal handler.
class Line {
 public:
  Line& operator<<(const char* text) {
    const size_t length = std::strlen(text);
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

void Report(const StackBounds& bounds) {
  RunningTask task;
  if (DescribeRunningTask describe = describe_running_task.load()) {
    task = describe();
  }
  Line line;
  line << "greenback: fiber stack overflow in ";
  if (task.name) {
    line << "task \"" << task.name << "\"";
  } else {
    line << "no task";
  }
  line << ", stack size " << static_cast<size_t>(bounds.end - bounds.limit)
       << " bytes; "
       << (task.advice ? task.advice : "raise StackPoolOptions::stack_size");
  line.WriteToStderr();
}

void HandleFault(int signal, siginfo_t* info, void* ucontext) {
  const struct sigaction& previous =
      signal == SIGSEGV ? previous_segv : previous_bus;
  StackBounds bounds;
  const char* const address = static_cast<const char*>(info->si_addr);
  // Not a fault, but somebody's kill() or raise(): there is no address.
  const bool sent = info->si_code <= 0;
  if (!sent && FindStack(address, bounds) && address < bounds.limit) {
    Report(bounds);
  } else if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, ucontext);
    return;
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
    return;
  } else if (sent && previous.sa_handler == SIG_IGN) {
    return;
  }
  // The faulting instruction runs again, and meets what was there before.
  sigaction(signal, &previous, nullptr);
  // What was sent has no instruction; it comes again when this returns.
  if (sent) raise(signal);
}

// A signal cannot be delivered on a stack that has overflowed.
class AlternateStack {
 public:
  AlternateStack() {
    stack_t present;
    if (sigaltstack(nullptr, &present) != 0 ||
        !(present.ss_flags & SS_DISABLE)) {
      return;  // a sanitizer's, or the program's own
    }
    memory_ = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory_ == MAP_FAILED) return;  // no report, but the guard holds
    stack_t mine = {};
    mine.ss_sp = memory_;
    mine.ss_size = kSize;
    sigaltstack(&mine, nullptr);
  }
  ~AlternateStack() {
    if (memory_ == MAP_FAILED) return;
    stack_t present;
    if (sigaltstack(nullptr, &present) == 0 && present.ss_sp == memory_) {
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
    munmap(memory_, kSize);
  }

 private:
  // The kernel's frame takes up to 11 KiB with AVX-512 and AMX state.
  static constexpr size_t kSize = 64 << 10;
  void* memory_ = MAP_FAILED;
};

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
  // A stack that somebody else made and switched to: not known, so no bytes are
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

void ReportStackOverflows() noexcept {
  thread_local AlternateStack alternate_stack;
  [[maybe_unused]] static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = HandleFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
    return true;
  }();
  (void)&alternate_stack;
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
