#include "greenback/context/internal/sanitizer.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "greenback/context/internal/fiber_for_test.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

// Fills locals in each of many frames: touches memory that an earlier flow may
// have left poisoned.
__attribute__((noinline)) int FillFrames(int frames) {
  char locals[300];
  std::memset(locals, frames, sizeof(locals));
  asm volatile("" : : "r"(locals) : "memory");
  const int below = frames == 0 ? 0 : FillFrames(frames - 1);
  asm volatile("" : : "r"(locals) : "memory");
  return below + (locals[17] == static_cast<char>(frames));
}

TEST(SanitizerTest, R07_StackOfAnAbandonedFiberIsUsedAgain) {
  StackPool pool({.stack_size = 256 << 10, .max_stacks = 1});
  for (int i = 0; i < 5; ++i) {
    // Parks deep in frames whose red zones are never lifted.
    struct Parks {
      static void Below(TestFiber& fiber, int frames) {
        char locals[200];
        std::memset(locals, frames, sizeof(locals));
        asm volatile("" : : "r"(locals) : "memory");
        if (frames == 0) {
          fiber.Yield();
        } else {
          Below(fiber, frames - 1);
        }
        asm volatile("" : : "r"(locals) : "memory");
      }
    };
    TestFiber abandoned(pool, [](TestFiber& self) { Parks::Below(self, 50); });
    abandoned.Resume();
    EXPECT_FALSE(abandoned.done());
  }
  int filled = 0;
  TestFiber fiber(pool, [&](TestFiber&) { filled = FillFrames(60); });
  fiber.Resume();
  EXPECT_EQ(filled, 61);
}

TEST(SanitizerTest, R07_LocalsOfManyFibersInTurnRaiseNoAlarm) {
  std::vector<std::unique_ptr<TestFiber>> fibers;
  int filled = 0;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(std::make_unique<TestFiber>([&, i](TestFiber& self) {
      char locals[100];
      std::memset(locals, i, sizeof(locals));
      for (int j = 0; j < 5; ++j) {
        self.Yield();
        filled += FillFrames(10);
        EXPECT_EQ(locals[99], i);
      }
    }));
  }
  for (int j = 0; j < 6; ++j) {
    for (auto& fiber : fibers) fiber->Resume();
  }
  EXPECT_TRUE(fibers.back()->done());
  EXPECT_EQ(filled, 50 * 5 * 11);
}

TEST(SanitizerTest, R07_NewFiberSeesNoFramesOfTheOneBefore) {
  // Addresses of the same frames again and again, each written anew.
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(RunOnFiber(pool, [i] { return FillFrames(i % 20); }), i % 20 + 1);
  }
}

#if defined(__cpp_exceptions)

__attribute__((noinline)) int ThrowBelow(int frames) {
  char locals[300];
  std::memset(locals, frames, sizeof(locals));
  asm volatile("" : : "r"(locals) : "memory");
  if (frames == 0) throw std::string("thrown");
  const int below = ThrowBelow(frames - 1);
  asm volatile("" : : "r"(locals) : "memory");
  return below + 1;
}

TEST(SanitizerTest, R07_DeepThrowsCauseNoWarning) {
  // ASan warns when it cannot tell which stack it is on as frames are unwound.
  ::testing::internal::CaptureStderr();
  int caught = 0;
  TestFiber fiber([&](TestFiber& self) {
    for (int i = 0; i < 4; ++i) {
      try {
        ThrowBelow(200);
      } catch (const std::string&) {
        ++caught;
        self.Yield();
      }
      EXPECT_EQ(FillFrames(200), 201);
    }
  });
  while (!fiber.done()) {
    fiber.Resume();
    try {
      ThrowBelow(50);
    } catch (const std::string&) {
      ++caught;
    }
    EXPECT_EQ(FillFrames(100), 101);
  }
  EXPECT_EQ(caught, 4 + 5);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

#endif

#if GREENBACK_ASAN

// In processes of their own, which end with the leak checker's report.

struct Holder {
  int* object = nullptr;
};

// Overwrites what frames that have ended left on the stack.
__attribute__((noinline, no_sanitize("address"))) void Wipe() {
  volatile char locals[8 << 10];
  for (volatile char& byte : locals) byte = 0;
}

__attribute__((noinline)) void Allocate(Holder& holder) {
  holder.object = new int[1'000]();
  asm volatile("" : : "r"(&holder) : "memory");
}

// Leaves the address of the object in the holder, and nowhere else.
__attribute__((noinline)) void Fill(Holder& holder) {
  Allocate(holder);
  Wipe();
}
__attribute__((noinline)) void Empty(Holder& holder) { delete[] holder.object; }

// A fiber whose locals alone know of an object. They are in memory, not in a
// register: with detect_stack_use_after_return, not on the fiber's stack.
__attribute__((noinline)) void ParkWithAnObject(TestFiber& self) {
  Holder holder;
  Fill(holder);
  self.Yield();
  Empty(holder);
}

[[noreturn]] void CheckLeaksWhileFibersPark() {
  std::vector<std::unique_ptr<TestFiber>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(std::make_unique<TestFiber>(ParkWithAnObject));
    fibers.back()->Resume();
  }
  const int leaks = __lsan_do_recoverable_leak_check();
  _exit(leaks);
}

TEST(SanitizerDeathTest, R07_LeakCheckerSeesWhatOnlyAParkedFiberRefersTo) {
  EXPECT_EXIT(CheckLeaksWhileFibersPark(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void CheckLeaksWhileNestedFibersPark() {
  TestFiber outer([](TestFiber& self) {
    Holder holder;
    Fill(holder);
    TestFiber inner(ParkWithAnObject);
    inner.Resume();
    self.Yield();
    Empty(holder);
  });
  outer.Resume();
  // Other frames where the first ones were.
  FillFrames(30);
  const int leaks = __lsan_do_recoverable_leak_check();
  _exit(leaks);
}

TEST(SanitizerDeathTest, R07_LeakCheckerSeesWhatNestedFibersReferTo) {
  EXPECT_EXIT(CheckLeaksWhileNestedFibersPark(), ::testing::ExitedWithCode(0),
              "");
}

[[noreturn]] void CheckLeaksOnAFiber() {
  // The thread's own stack waits meanwhile.
  Holder holder;
  Fill(holder);
  int leaks = -1;
  RunOnFiber([&] { leaks = __lsan_do_recoverable_leak_check(); });
  Empty(holder);
  _exit(leaks);
}

TEST(SanitizerDeathTest, R07_LeakCheckerSeesTheThreadsStackFromAFiber) {
  EXPECT_EXIT(CheckLeaksOnAFiber(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void CheckRealLeaks() {
  TestFiber fiber([](TestFiber& self) {
    // Many, because the addresses of some may still be on the stack.
    for (int i = 0; i < 100; ++i) {
      Holder holder;
      Fill(holder);
    }
    self.Yield();
  });
  fiber.Resume();
  FillFrames(30);
  const int leaks = __lsan_do_recoverable_leak_check();
  _exit(leaks != 0 ? 3 : 0);
}

TEST(SanitizerDeathTest, R07_LeakCheckerStillFindsLeaks) {
  EXPECT_EXIT(CheckRealLeaks(), ::testing::ExitedWithCode(3),
              "detected memory leaks");
}

__attribute__((noinline)) void WriteAfterReturn() {
  static char* volatile escaped;
  struct Returns {
    __attribute__((noinline)) static void Frame() {
      char locals[64];
      escaped = locals;
      escaped[0] = 1;
    }
  };
  Returns::Frame();
  escaped[1] = 1;
}

TEST(SanitizerDeathTest, R07_ErrorsOnAFiberAreFound) {
  // A write beyond a local of a fiber.
  EXPECT_DEATH(RunOnFiber([] {
                 char locals[16];
                 char* volatile end = locals + sizeof(locals);
                 *end = 1;
                 asm volatile("" : : "r"(locals) : "memory");
               }),
               "stack-buffer-overflow");
}

TEST(SanitizerDeathTest, R07_UseAfterReturnOnAFiberIsFound) {
  const char* const options = std::getenv("ASAN_OPTIONS");
  if (!options || !std::strstr(options, "detect_stack_use_after_return=1")) {
    GTEST_SKIP() << "only with ASAN_OPTIONS=detect_stack_use_after_return=1";
  }
  EXPECT_DEATH(RunOnFiber(WriteAfterReturn), "stack-use-after-return");
}

#endif  // GREENBACK_ASAN

}  // namespace
}  // namespace greenback::context
