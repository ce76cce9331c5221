#include "greenback/context/stack_overflow.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "greenback/context/internal/child_for_test.h"
#include "greenback/context/internal/fiber_for_test.h"
#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

using Guard = StackPoolOptions::Guard;

// A sanitizer has a handler of its own, which ends the process differently and
// prints more.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define CLANG_UBSAN 1
#endif
#endif
#if defined(CLANG_UBSAN)
constexpr bool kSanitizerReports = true;
#else
constexpr bool kSanitizerReports =
    sanitizer::kAddress || sanitizer::kThread || sanitizer::kValgrind;
#endif

void ExpectDiedWith(const Ended& ended, const std::string& line) {
  if (kSanitizerReports) {
    EXPECT_EQ(ended.text.substr(0, line.size() + 1), line + "\n");
    EXPECT_FALSE(ended.ByExit(0));
  } else {
    EXPECT_EQ(ended.text, line + "\n");
    EXPECT_TRUE(ended.By(SIGSEGV)) << ended.status;
  }
}

void ExpectDiedWithoutReport(const Ended& ended) {
  EXPECT_EQ(ended.text.find("greenback: "), std::string::npos) << ended.text;
  if (kSanitizerReports) {
    EXPECT_FALSE(ended.ByExit(0));
  } else {
    EXPECT_EQ(ended.text, "");
    EXPECT_TRUE(ended.By(SIGSEGV)) << ended.status;
  }
}

// Uses `frames` frames, each of the size.
template <size_t kSize>
__attribute__((noinline)) size_t Recurse(size_t frames) {
  volatile char locals[kSize];
  locals[0] = 1;  // the lowest byte: the others are stepped over
  if (frames == 0) return 0;
  // Other code may read the locals by this address, so the compiler cannot make
  // a loop of the recursion.
  asm volatile("" : : "r"(locals) : "memory");
  const size_t below = Recurse<kSize>(frames - 1);
  asm volatile("" : : "r"(locals) : "memory");
  return below + 1;
}

void Overflow() { Recurse<64>(size_t{1} << 40); }

void OverflowOn(StackPool& pool) { RunOnFiber(pool, Overflow); }

// Not for UBSan to find first.
__attribute__((no_sanitize("undefined"))) void WriteToNull() {
  volatile char* null = nullptr;
  asm volatile("" : "+r"(null));
  *null = 1;
}

constexpr char kNoTask[] =
    "greenback: fiber stack overflow in no task, stack size 65536 bytes; "
    "raise StackPoolOptions::stack_size";

// --------------------------------------------------------------- the report

class StackOverflowTest : public ::testing::TestWithParam<Guard> {
 protected:
  StackPoolOptions Options(size_t stack_size = 64 << 10) {
    return {.stack_size = stack_size, .guard = GetParam()};
  }
  StackPool pool_{Options()};
};

TEST_P(StackOverflowTest, R09_IsReportedWithoutATask) {
  ExpectDiedWith(RunInChild([&] { OverflowOn(pool_); }), kNoTask);
}

TEST_P(StackOverflowTest, R09_TheReportNamesTheTaskAndTheAdvice) {
  ExpectDiedWith(RunInChild([&] {
                   SetDescribeRunningTask([]() -> RunningTask {
                     return {"import", "raise RunOptions::stack_size"};
                   });
                   OverflowOn(pool_);
                 }),
                 "greenback: fiber stack overflow in task \"import\", stack "
                 "size 65536 bytes; raise RunOptions::stack_size");
}

TEST_P(StackOverflowTest, R09_TheDescriberMayKnowNothing) {
  ExpectDiedWith(RunInChild([&] {
                   SetDescribeRunningTask([] { return RunningTask(); });
                   OverflowOn(pool_);
                 }),
                 kNoTask);
}

TEST_P(StackOverflowTest, R09_ALongTaskNameIsCut) {
  const Ended ended = RunInChild([&] {
    static char name[10'000];
    for (char& character : name) character = 'n';
    name[sizeof(name) - 1] = '\0';
    SetDescribeRunningTask([]() -> RunningTask { return {name, "advice"}; });
    OverflowOn(pool_);
  });
  const std::string start = "greenback: fiber stack overflow in task \"nnn";
  EXPECT_EQ(ended.text.substr(0, start.size()), start);
  const size_t end = ended.text.find('\n');
  EXPECT_LE(end, 512u);
  const std::string rest = "nn\", stack size 65536 bytes; advice";
  EXPECT_EQ(ended.text.substr(end - rest.size(), rest.size()), rest);
  EXPECT_FALSE(ended.ByExit(0));
}

TEST_P(StackOverflowTest, R09_IsReportedOnAForeignThread) {
  ExpectDiedWith(
      RunInChild([&] { std::thread([&] { OverflowOn(pool_); }).join(); }),
      kNoTask);
}

TEST_P(StackOverflowTest, R09_IsReportedOnASecondThread) {
  // The first one has ended, and its alternate stack is freed.
  ExpectDiedWith(RunInChild([&] {
                   std::thread([&] { RunOnFiber(pool_, [] {}); }).join();
                   std::thread([&] { OverflowOn(pool_); }).join();
                 }),
                 kNoTask);
}

// Overflows a fiber when it is destroyed.
struct OverflowsInTheEnd {
  ~OverflowsInTheEnd() {
    if (pool != nullptr) OverflowOn(*pool);
  }
  StackPool* pool = nullptr;
};

TEST_P(StackOverflowTest, R35_IsReportedInADestructorAtTheEndOfTheThread) {
  ExpectDiedWith(RunInChild([&] {
                   std::thread([&] {
                     // Destroyed after those made later.
                     thread_local OverflowsInTheEnd last;
                     last.pool = &pool_;
                     RunOnFiber(pool_, [] {});
                   }).join();
                 }),
                 kNoTask);
}

TEST_P(StackOverflowTest, R35_IsReportedAfterTheAlternateStackIsFreed) {
  ExpectDiedWith(RunInChild([&] {
                   std::thread([&] {
                     RunOnFiber(pool_, [] {});
                     // Keys made later are looked at later, too.
                     pthread_key_t key;
                     pthread_key_create(&key, [](void* pool) {
                       OverflowOn(*static_cast<StackPool*>(pool));
                     });
                     pthread_setspecific(key, &pool_);
                   }).join();
                 }),
                 kNoTask);
}

TEST_P(StackOverflowTest, R35_IsReportedInADestructorAtTheEndOfTheProcess) {
  ExpectDiedWith(RunInChild([&] {
                   static OverflowsInTheEnd last;
                   last.pool = &pool_;
                   RunOnFiber(pool_, [] {});
                   std::exit(0);
                 }),
                 kNoTask);
}

TEST_P(StackOverflowTest, R09_NestedFibersNameTheRightSize) {
  StackPool large(Options(256 << 10));
  ExpectDiedWith(
      RunInChild([&] { RunOnFiber(large, [&] { OverflowOn(pool_); }); }),
      kNoTask);
}

TEST_P(StackOverflowTest, R09_OuterFiberNamesItsOwnSize) {
  StackPool large(Options(256 << 10));
  ExpectDiedWith(RunInChild([&] {
                   RunOnFiber(large, [&] {
                     RunOnFiber(pool_, [] {});
                     Overflow();
                   });
                 }),
                 "greenback: fiber stack overflow in no task, stack size "
                 "262144 bytes; raise StackPoolOptions::stack_size");
}

TEST_P(StackOverflowTest, R09_IsReportedForFramesLargerThanAPage) {
  ExpectDiedWith(
      RunInChild([&] { RunOnFiber(pool_, [] { Recurse<(32 << 10)>(100); }); }),
      kNoTask);
}

TEST_P(StackOverflowTest, R09_IsReportedForEveryStackOfThePool) {
  // The one that overflows lies between others that are in use.
  std::vector<Stack> others;
  for (int i = 0; i < 7; ++i) others.push_back(pool_.Acquire().stack);
  others.erase(others.begin() + 3);
  ExpectDiedWith(RunInChild([&] { OverflowOn(pool_); }), kNoTask);
}

INSTANTIATE_TEST_SUITE_P(
    Guards, StackOverflowTest,
    ::testing::Values(Guard::kAuto, Guard::kMprotect),
    [](const ::testing::TestParamInfo<Guard>& guard) -> std::string {
      return guard.param == Guard::kAuto ? "Auto" : "Mprotect";
    });

// ------------------------------------------------------------- other faults

class OtherFaultTest : public ::testing::Test {
 protected:
  StackPool pool_{{.stack_size = 64 << 10}};
};

TEST_F(OtherFaultTest, NullWriteOnAFiberDiesAsBefore) {
  ExpectDiedWithoutReport(
      RunInChild([&] { RunOnFiber(pool_, [] { WriteToNull(); }); }));
}

TEST_F(OtherFaultTest, NullWriteOnAThreadDiesAsBefore) {
  ExpectDiedWithoutReport(RunInChild([&] {
    RunOnFiber(pool_, [] {});
    WriteToNull();
  }));
}

TEST_F(OtherFaultTest, ThreadsOwnStackOverflowDiesAsBefore) {
  ExpectDiedWithoutReport(RunInChild([&] {
    RunOnFiber(pool_, [] {});
    std::thread(Overflow).join();
  }));
}

TEST_F(OtherFaultTest, SignalSentByAProcessKills) {
  const Ended ended = RunInChild([] {
    ReportStackOverflows();
    kill(getpid(), SIGSEGV);
  });
  ExpectDiedWithoutReport(ended);
}

TEST_F(OtherFaultTest, SignalRaisedOnAFiberKills) {
  const Ended ended =
      RunInChild([&] { RunOnFiber(pool_, [] { raise(SIGSEGV); }); });
  ExpectDiedWithoutReport(ended);
}

TEST_F(OtherFaultTest, IgnoredSignalStaysIgnored) {
  // Sent, not caused: an ignored fault would kill.
  const Ended ended = RunInChild([&] {
    signal(SIGBUS, SIG_IGN);
    ReportStackOverflows();
    raise(SIGBUS);
    raise(SIGBUS);
    _exit(7);
  });
  EXPECT_EQ(ended.text, "");
  EXPECT_TRUE(ended.ByExit(7)) << ended.status;
}

TEST_F(OtherFaultTest, R09_ReportWorksAfterAnIgnoredSignal) {
  ExpectDiedWith(RunInChild([&] {
                   signal(SIGSEGV, SIG_IGN);
                   ReportStackOverflows();
                   raise(SIGSEGV);
                   OverflowOn(pool_);
                 }),
                 kNoTask);
}

void InstallPlainHandler() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) { _exit(signal == SIGSEGV ? 42 : 43); };
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
}

void InstallSiginfoHandler() {
  struct sigaction action = {};
  action.sa_sigaction = [](int signal, siginfo_t* info, void* ucontext) {
    const bool right =
        signal == SIGSEGV && info->si_addr == nullptr && ucontext != nullptr;
    _exit(right ? 52 : 53);
  };
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
}

TEST_F(OtherFaultTest, PlainHandlerThatWasThereIsCalled) {
  if (sanitizer::kValgrind) {
    GTEST_SKIP() << "Valgrind may exit with a code of its own";
  }
  const Ended ended = RunInChild([&] {
    InstallPlainHandler();
    RunOnFiber(pool_, [] { WriteToNull(); });
  });
  EXPECT_TRUE(ended.ByExit(42)) << ended.status;
  EXPECT_EQ(ended.text.find("greenback: "), std::string::npos) << ended.text;
}

TEST_F(OtherFaultTest, SiginfoHandlerThatWasThereIsCalled) {
  if (sanitizer::kValgrind) {
    GTEST_SKIP() << "Valgrind may exit with a code of its own";
  }
  const Ended ended = RunInChild([&] {
    InstallSiginfoHandler();
    RunOnFiber(pool_, [] { WriteToNull(); });
  });
  EXPECT_TRUE(ended.ByExit(52)) << ended.status;
  EXPECT_EQ(ended.text.find("greenback: "), std::string::npos) << ended.text;
}

TEST_F(OtherFaultTest, HandlerThatWasThereReceivesSentSignals) {
  const Ended ended = RunInChild([&] {
    InstallPlainHandler();
    ReportStackOverflows();
    raise(SIGSEGV);
  });
  EXPECT_TRUE(ended.ByExit(42)) << ended.status;
}

TEST_F(OtherFaultTest, HandlerThatWasThereIsCalledEachTime) {
  const Ended ended = RunInChild([&] {
    static volatile sig_atomic_t calls = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { calls = calls + 1; };
    sigaction(SIGSEGV, &action, nullptr);
    ReportStackOverflows();
    for (int i = 0; i < 3; ++i) raise(SIGSEGV);
    _exit(10 + calls);
  });
  EXPECT_TRUE(ended.ByExit(13)) << ended.status;
}

TEST_F(OtherFaultTest, R09_OverflowIsReportedBeforeTheHandlerThatWasThere) {
  const Ended ended = RunInChild([&] {
    InstallPlainHandler();
    OverflowOn(pool_);
  });
  EXPECT_EQ(ended.text, std::string(kNoTask) + "\n");
  EXPECT_TRUE(ended.ByExit(42)) << ended.status;
}

TEST_F(OtherFaultTest, AlternateStackOfTheProgramIsKept) {
  const Ended ended = RunInChild([&] {
    static char memory[64 << 10];
    stack_t mine = {};
    mine.ss_sp = memory;
    mine.ss_size = sizeof(memory);
    sigaltstack(&mine, nullptr);
    RunOnFiber(pool_, [] {});
    stack_t present;
    sigaltstack(nullptr, &present);
    if (present.ss_sp != memory) _exit(1);
  });
  EXPECT_TRUE(ended.ByExit(0)) << ended.status;
}

// --------------------------------------------------- StackUsage,
// StackRemaining

size_t Total() { return StackUsage() + StackRemaining(); }

// That of a fiber: tops are spread over a further page.
size_t TotalFor(size_t stack_size) {
  return stack_size + static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Calls `fn` when at least `kBytes` of the stack hold locals.
template <size_t kBytes, class Fn>
__attribute__((noinline)) void Below(Fn fn) {
  volatile char locals[kBytes];
  asm volatile("" : : "r"(locals) : "memory");
  fn();
  asm volatile("" : : "r"(locals) : "memory");
}

TEST(StackUsageTest, R09_IsKnownOfThisThread) {
  EXPECT_GT(StackUsage(), 0u);
  EXPECT_GT(StackRemaining(), size_t{64 << 10});
}

TEST(StackUsageTest, R09_IsKnownOfAThreadWithAStackOfItsOwnSize) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  size_t total = 0;
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* argument) -> void* {
                  *static_cast<size_t*>(argument) = Total();
                  return nullptr;
                },
                &total),
            0);
  pthread_attr_destroy(&attributes);
  pthread_join(thread, nullptr);
  // A sanitizer may add some.
  EXPECT_GE(total, size_t{256 << 10});
  EXPECT_LE(total, size_t{1} << 20);
}

TEST(StackUsageTest, R09_IsKnownOfAFiber) {
  StackPool pool({.stack_size = 128 << 10});
  size_t used = 0;
  size_t total = 0;
  TestFiber fiber(pool, [&](TestFiber&) {
    used = StackUsage();
    total = Total();
  });
  fiber.Resume();
  EXPECT_EQ(total, TotalFor(128 << 10));
  EXPECT_GT(used, 0u);
  EXPECT_LT(used, size_t{16 << 10});
}

TEST(StackUsageTest, R09_GrowsWithTheStack) {
  TestFiber fiber([&](TestFiber&) {
    const size_t used = StackUsage();
    const size_t left = StackRemaining();
    size_t used_below = 0;
    size_t left_below = 0;
    // Where a sanitizer keeps the locals elsewhere, a few frames.
    Below<(32 << 10)>([&] {
      used_below = StackUsage();
      left_below = StackRemaining();
    });
    EXPECT_GT(used_below, used);
    EXPECT_LT(left_below, left);
    EXPECT_EQ(StackUsage(), used);
    EXPECT_EQ(StackRemaining(), left);
  });
  fiber.Resume();
  EXPECT_TRUE(fiber.done());
}

TEST(StackUsageTest, R09_RecursionThatAsksDoesNotOverflow) {
  struct Asks {
    static int Depth() {
      volatile char locals[512];
      locals[0] = 1;
      if (StackRemaining() < (32 << 10)) return 0;
      return Depth() + locals[0];
    }
  };
  StackPool pool({.stack_size = 128 << 10});
  int depth = 0;
  TestFiber fiber(pool, [&](TestFiber&) { depth = Asks::Depth(); });
  fiber.Resume();
  EXPECT_GT(depth, 10);
}

TEST(StackUsageTest, R09_FollowsEachSwitch) {
  StackPool small({.stack_size = 64 << 10});
  StackPool large({.stack_size = 256 << 10});
  const size_t thread = Total();
  TestFiber a(small, [](TestFiber& self) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(Total(), TotalFor(64 << 10));
      self.Yield();
    }
  });
  TestFiber b(large, [](TestFiber& self) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(Total(), TotalFor(256 << 10));
      self.Yield();
    }
  });
  while (!a.done()) {
    a.Resume();
    EXPECT_EQ(Total(), thread);
    b.Resume();
    EXPECT_EQ(Total(), thread);
  }
}

TEST(StackUsageTest, R09_FollowsAFiberToAnotherThread) {
  StackPool pool({.stack_size = 128 << 10});
  std::vector<size_t> totals;
  TestFiber fiber(pool, [&](TestFiber& self) {
    totals.push_back(Total());
    self.Yield();
    totals.push_back(Total());
    self.Yield();
    totals.push_back(Total());
  });
  const size_t main_thread = Total();
  fiber.Resume();
  std::thread([&] {
    const size_t thread = Total();
    fiber.Resume();
    EXPECT_EQ(Total(), thread);
  }).join();
  fiber.Resume();
  EXPECT_EQ(Total(), main_thread);
  EXPECT_EQ(totals, std::vector<size_t>(3, TotalFor(128 << 10)));
}

TEST(StackUsageTest, R09_ANewPoolMayTakeThePlaceOfAnother) {
  // The kernel tends to map the same addresses again.
  int same_place = 0;
  const char* before = nullptr;
  for (int i = 0; i < 20; ++i) {
    // Slabs of one size, of stacks of many.
    const size_t stack_size = i % 2 == 0 ? 192 << 10 : 64 << 10;
    StackPool pool({.stack_size = stack_size,
                    .guard_size = (256 << 10) - stack_size,
                    .max_stacks = 1});
    size_t total = 0;
    TestFiber fiber(pool, [&](TestFiber&) { total = Total(); });
    fiber.Resume();
    ASSERT_EQ(total, TotalFor(stack_size));
    StackBounds bounds;
    ASSERT_TRUE(FindStack(fiber.stack().limit(), bounds));
    same_place += bounds.guard == before;
    before = bounds.guard;
  }
  RecordProperty("same_place", same_place);
}

TEST(StackUsageTest, R09_NothingIsPromisedOnAForeignStack) {
  // One that no pool knows of: the alternate stack of a signal.
  static size_t remaining;
  remaining = StackRemaining();
  EXPECT_GT(remaining, 0u);
  static char memory[64 << 10];
  stack_t mine = {};
  mine.ss_sp = memory;
  mine.ss_size = sizeof(memory);
  stack_t old;
  ASSERT_EQ(sigaltstack(&mine, &old), 0);
  struct sigaction action = {};
  action.sa_handler = [](int) { remaining = StackRemaining(); };
  action.sa_flags = SA_ONSTACK;
  struct sigaction old_action;
  sigaction(SIGUSR1, &action, &old_action);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &old_action, nullptr);
  sigaltstack(&old, nullptr);
  EXPECT_EQ(remaining, 0u);
}

}  // namespace
}  // namespace greenback::context
