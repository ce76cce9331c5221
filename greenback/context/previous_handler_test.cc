// The program's own handlers of SIGSEGV and SIGBUS, which greenback's calls:
// the same child process, with greenback's handler and without it, must print
// the same and end in the same way.

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "greenback/context/internal/child_for_test.h"
#include "greenback/context/internal/fiber_for_test.h"
#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_overflow.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// How the signal is caused.
enum class Event {
  kNullWrite,
  kProtectedPage,
  kBeyondTheFile,  // SIGBUS
  kRaise,
  kKill,
  kSigqueue,
  kPthreadKill,
};
constexpr Event kAllEvents[] = {Event::kNullWrite,     Event::kProtectedPage,
                                Event::kBeyondTheFile, Event::kRaise,
                                Event::kKill,          Event::kSigqueue,
                                Event::kPthreadKill};

// What the handler does.
enum class Reaction { kReturns, kRepairs, kJumps, kJumpsWithMask, kRaises };
constexpr Reaction kAllReactions[] = {
    Reaction::kReturns, Reaction::kRepairs, Reaction::kJumps,
    Reaction::kJumpsWithMask, Reaction::kRaises};

struct Setting {
  Event event = Event::kNullWrite;
  Reaction reaction = Reaction::kReturns;
  int flags = 0;
  int masked = 0;              // by the handler
  bool own_alternate = false;  // the program has an alternate stack
  bool on_fiber = false;
  void (*disposition)(int) = nullptr;  // SIG_IGN, SIG_DFL; else a handler
};

int SignalOf(Event event) {
  return event == Event::kBeyondTheFile ? SIGBUS : SIGSEGV;
}

// ------------------------------------------------------- in the child process

Setting setting;
sigjmp_buf before_the_event;
volatile sig_atomic_t calls = 0;
char* page = nullptr;         // what faults
char* interrupted = nullptr;  // an address on the stack that is interrupted
alignas(16) char alternate_memory[256 << 10];

__attribute__((format(printf, 1, 2))) void Say(const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  const int size = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  if (write(STDERR_FILENO, line, static_cast<size_t>(size)) != size) abort();
}

void SayMask(const char* where) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  Say("%s:", where);
  for (const int signal : {SIGSEGV, SIGBUS, SIGUSR1, SIGUSR2, SIGTERM}) {
    if (sigismember(&mask, signal)) Say(" %d", signal);
  }
  Say(" blocked\n");
}

void SayStack() {
  const char* const here = static_cast<const char*>(__builtin_frame_address(0));
  if (here >= alternate_memory &&
      here < alternate_memory + sizeof(alternate_memory)) {
    Say("on the program's alternate stack\n");
  } else if (here < interrupted && interrupted - here < (64 << 10)) {
    Say("on the interrupted stack\n");
  } else {
    Say("on another stack\n");
  }
  if (!setting.own_alternate) return;
  stack_t present;
  sigaltstack(nullptr, &present);
  Say("alternate stack: %d %d\n", present.ss_sp == alternate_memory,
      present.ss_flags);
}

void React(int signal) {
  calls = calls + 1;
  Say("signal %d, errno %d\n", signal, errno);
  SayMask("in the handler");
  SayStack();
  // Several times, as the kernel would call it.
  if (calls == 4) _exit(40);
  switch (setting.reaction) {
    case Reaction::kReturns:
      break;
    case Reaction::kRepairs:
      if (page) mprotect(page, kPage, PROT_READ | PROT_WRITE);
      break;
    case Reaction::kJumps:
    case Reaction::kJumpsWithMask:
      siglongjmp(before_the_event, 1);
    case Reaction::kRaises:
      if (calls < 3) raise(signal);
      Say("after raise()\n");
      break;
  }
  errno = 78;
}

void PlainHandler(int signal) { React(signal); }

void SiginfoHandler(int signal, siginfo_t* info, void* context) {
  const bool sent = info->si_code <= 0;
  Say("code %d, %s %d, value %d\n", info->si_code, sent ? "pid" : "address",
      sent ? info->si_pid == getpid() : info->si_addr == page,
      info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
  ucontext_t& interrupted_context = *static_cast<ucontext_t*>(context);
  Say("SIGTERM was blocked: %d\n",
      sigismember(&interrupted_context.uc_sigmask, SIGTERM));
  // What is changed here is what is returned to.
  sigaddset(&interrupted_context.uc_sigmask, SIGUSR2);
  React(signal);
}

// Not for UBSan to find first.
__attribute__((no_sanitize("undefined", "address", "thread"), noinline)) void
Write(char* address) {
  asm volatile("" : "+r"(address));
  *const_cast<volatile char*>(address) = 1;
}

void Cause(Event event) {
  const int signal = SignalOf(event);
  switch (event) {
    case Event::kNullWrite:
    case Event::kProtectedPage:
    case Event::kBeyondTheFile:
      return Write(page);
    case Event::kRaise:
      raise(signal);
      return;
    case Event::kKill:
      kill(getpid(), signal);
      return;
    case Event::kSigqueue:
      sigqueue(getpid(), signal, {.sival_int = 55});
      return;
    case Event::kPthreadKill:
      pthread_kill(pthread_self(), signal);
      return;
  }
}

// Twice: what is left of the first time shows in the second.
void CauseTwice() {
  char here = 0;
  interrupted = &here;
  static int times =
      0;  // not a local: siglongjmp() may undo what is done to it
  while (times++ < 2) {
    errno = 77;
    const bool with_mask = setting.reaction == Reaction::kJumpsWithMask;
    if (sigsetjmp(before_the_event, with_mask) == 0) {
      Cause(setting.event);
      Say("back, errno %d\n", errno);
    } else {
      Say("jumped back\n");
    }
    SayMask("after the handler");
    SayStack();
  }
  interrupted = nullptr;
}

void Prepare() {
  if (setting.event == Event::kProtectedPage) {
    page = static_cast<char*>(
        mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  } else if (setting.event == Event::kBeyondTheFile) {
    page = static_cast<char*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, fileno(std::tmpfile()), 0));
  }
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, nullptr);
  if (setting.own_alternate) {
    stack_t mine = {};
    mine.ss_sp = alternate_memory;
    mine.ss_size = sizeof(alternate_memory);
    sigaltstack(&mine, nullptr);
  }
}

void InstallHandler(int signal) {
  struct sigaction action = {};
  action.sa_flags = setting.flags;
  if (setting.masked != 0) sigaddset(&action.sa_mask, setting.masked);
  if (setting.disposition != nullptr) {
    action.sa_handler = setting.disposition;
  } else if (setting.flags & SA_SIGINFO) {
    action.sa_sigaction = SiginfoHandler;
  } else {
    action.sa_handler = PlainHandler;
  }
  sigaction(signal, &action, nullptr);
}

Ended RunSetting(const Setting& what, bool with_greenback) {
  return RunInChild([&] {
    setting = what;
    Prepare();
    InstallHandler(SignalOf(what.event));
    if (with_greenback) ReportStackOverflows();
    if (what.on_fiber) {
      StackPool pool({.stack_size = 256 << 10});
      TestFiber fiber(pool, [](TestFiber&) { CauseTwice(); });
      fiber.Resume();
    } else {
      CauseTwice();
    }
    _exit(41);
  });
}

std::string Describe(const Setting& what) {
  return "event " + std::to_string(static_cast<int>(what.event)) +
         ", reaction " + std::to_string(static_cast<int>(what.reaction)) +
         ", flags " + std::to_string(static_cast<unsigned>(what.flags)) +
         ", masked " + std::to_string(what.masked) +
         (what.own_alternate ? ", with an alternate stack" : "") +
         (what.on_fiber ? ", on a fiber" : "");
}

// Expects a child to print the same and to end in the same way. Returns how.
Ended ExpectSameWithGreenback(const Setting& what) {
  SCOPED_TRACE(Describe(what));
  const Ended without = RunSetting(what, false);
  const Ended with = RunSetting(what, true);
  EXPECT_EQ(with.text, without.text);
  EXPECT_EQ(with.status, without.status);
  return without;
}

// ------------------------------------------------------------------ the flags

#define SKIP_UNLESS_THE_KERNEL_CALLS_HANDLERS()                          \
  if (sanitizer::kThread || sanitizer::kValgrind) {                      \
    GTEST_SKIP() << "the tool calls handlers itself, with other masks, " \
                    "and says so";                                       \
  }                                                                      \
  static_assert(true, "wants a semicolon")

class PreviousHandlerTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { SKIP_UNLESS_THE_KERNEL_CALLS_HANDLERS(); }
};

TEST_P(PreviousHandlerTest, R28_ItBehavesAsWithoutGreenback) {
  // Each event and each reaction with both, at half the cost of all.
  bool own_alternate = false;
  for (const Event event : kAllEvents) {
    for (const Reaction reaction : kAllReactions) {
      if (HasFailure()) return;
      own_alternate = !own_alternate;
      const Ended ended =
          ExpectSameWithGreenback({.event = event,
                                   .reaction = reaction,
                                   .flags = GetParam(),
                                   .masked = SIGUSR1,
                                   .own_alternate = own_alternate});
      // It was called, and it did run where this test thinks.
      EXPECT_NE(ended.text.find("signal "), std::string::npos) << ended.text;
      if (own_alternate && (GetParam() & SA_ONSTACK)) {
        EXPECT_NE(ended.text.find("on the program's"), std::string::npos);
      }
    }
  }
}

TEST_P(PreviousHandlerTest, R28_ItBehavesAsWithoutGreenbackOnAFiber) {
  for (const Event event : {Event::kProtectedPage, Event::kSigqueue}) {
    for (const Reaction reaction : kAllReactions) {
      for (const bool own_alternate : {false, true}) {
        if (HasFailure()) return;
        ExpectSameWithGreenback({.event = event,
                                 .reaction = reaction,
                                 .flags = GetParam(),
                                 .masked = SIGUSR1,
                                 .own_alternate = own_alternate,
                                 .on_fiber = true});
      }
    }
  }
}

TEST_P(PreviousHandlerTest, R28_ItsMaskMayHoldTheSignalItself) {
  for (const Event event : {Event::kNullWrite, Event::kRaise}) {
    for (const Reaction reaction : kAllReactions) {
      ExpectSameWithGreenback({.event = event,
                               .reaction = reaction,
                               .flags = GetParam(),
                               .masked = SIGSEGV});
    }
  }
}

std::vector<int> AllFlags() {
  std::vector<int> all;
  for (const int siginfo : {0, SA_SIGINFO}) {
    for (const int onstack : {0, SA_ONSTACK}) {
      for (const int nodefer : {0, SA_NODEFER}) {
        for (const int resethand : {0, static_cast<int>(SA_RESETHAND)}) {
          all.push_back(siginfo | onstack | nodefer | resethand);
        }
      }
    }
  }
  return all;
}

std::string FlagsName(const ::testing::TestParamInfo<int>& flags) {
  std::string name;
  if (flags.param & SA_SIGINFO) name += "Siginfo";
  if (flags.param & SA_ONSTACK) name += "Onstack";
  if (flags.param & SA_NODEFER) name += "Nodefer";
  if (flags.param & static_cast<int>(SA_RESETHAND)) name += "Resethand";
  return name.empty() ? std::string("None") : name;
}

INSTANTIATE_TEST_SUITE_P(Flags, PreviousHandlerTest,
                         ::testing::ValuesIn(AllFlags()), &FlagsName);

TEST(PreviousActionTest, R28_IgnoringAndTheDefaultBehaveAsWithoutGreenback) {
  SKIP_UNLESS_THE_KERNEL_CALLS_HANDLERS();
  for (void (*const disposition)(int) : {SIG_IGN, SIG_DFL}) {
    for (const Event event : kAllEvents) {
      for (const int flags : {0, static_cast<int>(SA_RESETHAND), SA_NODEFER}) {
        ExpectSameWithGreenback({.event = event,
                                 .flags = flags,
                                 .own_alternate = true,
                                 .disposition = disposition});
      }
    }
  }
}

// Sends SIGSEGV to the main thread of a process once that waits in a system
// call. Before the call it sets is_about_to_wait.
std::atomic<bool> is_about_to_wait{false};

void SignalTheWaitingMainThread(pthread_t main_thread) {
  while (!is_about_to_wait) sched_yield();
  const std::string path =
      "/proc/self/task/" + std::to_string(getpid()) + "/stat";
  char state = 0;
  while (state != 'S') {
    char text[128] = {};
    std::FILE* const file = std::fopen(path.c_str(), "re");
    text[std::fread(text, 1, sizeof(text) - 1, file)] = '\0';
    std::fclose(file);
    state = std::strrchr(text, ')')[2];
  }
  pthread_kill(main_thread, SIGSEGV);
}

TEST(PreviousActionTest, R28_SystemCallsAreRestartedAsBefore) {
  static int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (const int flags : {0, SA_RESTART}) {
    std::string texts[2];
    for (const bool with_greenback : {false, true}) {
      const Ended ended = RunInChild([&] {
        struct sigaction action = {};
        action.sa_flags = flags;
        action.sa_handler = [](int) {
          if (write(ends[1], "x", 1) != 1) abort();
        };
        sigaction(SIGSEGV, &action, nullptr);
        if (with_greenback) ReportStackOverflows();
        std::thread(SignalTheWaitingMainThread, pthread_self()).detach();
        char byte = 0;
        is_about_to_wait = true;
        const ssize_t size = read(ends[0], &byte, 1);
        Say("%zd %d\n", size, size < 0 ? errno : 0);
        if (size < 0 && read(ends[0], &byte, 1) != 1) abort();
      });
      texts[with_greenback] = ended.text;
    }
    EXPECT_EQ(texts[1], texts[0]);
    EXPECT_NE(texts[0], "");
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(PreviousActionTest, R28_OneThreadOfTwoIsGivenAHandlerThatIsResetAtOnce) {
  for (const bool with_greenback : {false, true}) {
    const Ended ended = RunInChild([&] {
      static std::atomic<bool> in_handler{false};
      struct sigaction action = {};
      action.sa_flags = static_cast<int>(SA_RESETHAND);
      action.sa_handler = [](int) {
        Say("handled\n");
        if (in_handler.exchange(true)) _exit(44);
        for (;;) pause();  // the other one's fault ends the process
      };
      sigaction(SIGSEGV, &action, nullptr);
      if (with_greenback) ReportStackOverflows();
      std::thread other([] {
        while (!in_handler) sched_yield();
        Write(nullptr);
      });
      Write(nullptr);
    });
    EXPECT_EQ(ended.text.substr(0, 8), "handled\n");
    EXPECT_TRUE(ended.By(SIGSEGV)) << ended.status;
  }
}

// ------------------------------------------------- handlers installed later

// Passes the signal on to what was there, and ends the process after that.
struct sigaction saved_action;

void PassOn(int signal, siginfo_t* info, void* context) {
  Say("later handler\n");
  SayMask("in it");
  if (saved_action.sa_flags & SA_SIGINFO) {
    saved_action.sa_sigaction(signal, info, context);
  } else if (saved_action.sa_handler == SIG_DFL) {
    sigaction(signal, &saved_action, nullptr);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
    raise(signal);
  } else {
    saved_action.sa_handler(signal);
  }
  Say("passed on\n");
  _exit(43);
}

TEST(LaterHandlerTest, R28_ItCallsWhatItWouldHaveCalled) {
  for (const int flags : {0, SA_NODEFER, static_cast<int>(SA_RESETHAND)}) {
    for (const Event event : {Event::kNullWrite, Event::kRaise}) {
      for (void (*const disposition)(int) : {PlainHandler, SIG_DFL}) {
        Ended ended[2];
        for (const bool with_greenback : {false, true}) {
          ended[with_greenback] = RunInChild([&] {
            setting = {.event = event,
                       .flags = flags,
                       .own_alternate = true,
                       .disposition = disposition};
            Prepare();
            InstallHandler(SIGSEGV);
            if (with_greenback) ReportStackOverflows();
            struct sigaction later = {};
            later.sa_sigaction = PassOn;
            later.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigaction(SIGSEGV, &later, &saved_action);
            CauseTwice();
          });
        }
        EXPECT_EQ(ended[1].text, ended[0].text);
        EXPECT_EQ(ended[1].status, ended[0].status);
        EXPECT_EQ(ended[0].text.substr(0, 13), "later handler");
      }
    }
  }
}

// The handler that signal() puts back has lost its flags.
TEST(LaterHandlerTest, R28_ItMayBeRemovedBySignal) {
  SKIP_UNLESS_THE_KERNEL_CALLS_HANDLERS();
  for (const Event event : kAllEvents) {
    for (void (*const disposition)(int) :
         {static_cast<void (*)(int)>(nullptr), SIG_IGN, SIG_DFL}) {
      Ended ended[2];
      for (const bool with_greenback : {false, true}) {
        ended[with_greenback] = RunInChild([&] {
          setting = {.event = event, .disposition = disposition};
          Prepare();
          InstallHandler(SignalOf(event));
          if (with_greenback) ReportStackOverflows();
          void (*const saved)(int) = signal(SignalOf(event), SIG_IGN);
          signal(SignalOf(event), saved);
          CauseTwice();
          _exit(41);
        });
      }
      EXPECT_EQ(ended[1].text, ended[0].text);
      EXPECT_EQ(ended[1].status, ended[0].status);
    }
  }
}

// ------------------------------------------------------------------ overflows

void Recurse(size_t frames) {
  volatile char locals[64];
  locals[0] = 1;
  if (frames == 0) return;
  asm volatile("" : : "r"(locals) : "memory");
  Recurse(frames - 1);
  asm volatile("" : : "r"(locals) : "memory");
}

TEST(PreviousHandlerOverflowTest,
     R28_EachOverflowIsReportedWhereTheHandlerJumpsOut) {
  const Ended ended = RunInChild([] {
    struct sigaction action = {};
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    action.sa_handler = [](int) { siglongjmp(before_the_event, 1); };
    sigaction(SIGSEGV, &action, nullptr);
    StackPool pool({.stack_size = 64 << 10});
    RunOnFiber(pool, [] {
      static int times = 0;
      while (times++ < 2) {
        if (sigsetjmp(before_the_event, 0) == 0) Recurse(size_t{1} << 40);
      }
      Say("jumped back twice\n");
    });
  });
  const std::string line =
      "greenback: fiber stack overflow in no task, stack size 65536 bytes; "
      "raise StackPoolOptions::stack_size\n";
  EXPECT_EQ(ended.text, line + line + "jumped back twice\n");
  EXPECT_TRUE(ended.ByExit(0)) << ended.status;
}

TEST(PreviousHandlerOverflowTest, R28_AHandlerThatNeedsTheStackIsNotCalled) {
  // It cannot be: the kernel has no place for its frame. As without greenback.
  const Ended ended = RunInChild([] {
    struct sigaction action = {};
    action.sa_handler = [](int) { Say("called\n"); };
    sigaction(SIGSEGV, &action, nullptr);
    StackPool pool({.stack_size = 64 << 10});
    RunOnFiber(pool, [] { Recurse(size_t{1} << 40); });
  });
  EXPECT_EQ(ended.text,
            "greenback: fiber stack overflow in no task, stack size 65536 "
            "bytes; raise StackPoolOptions::stack_size\n");
  EXPECT_TRUE(ended.By(SIGSEGV)) << ended.status;
}

}  // namespace
}  // namespace greenback::context
