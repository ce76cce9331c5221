// A frame larger than the guard, in code that is compiled with
// -fstack-clash-protection: it touches each page on its way, the guard's too.
#include <cstddef>

#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

constexpr size_t kStackSize = 64 << 10;

// Uses the far end of its frame alone, which lies beyond the guard.
__attribute__((noinline)) void UseALargeFrame() {
  char large[kStackSize + (86 << 10)];
  asm volatile("" : : "r"(large) : "memory");
}

TEST(StackClashDeathTest, R43_AFrameLargerThanTheGuardIsAnOverflow) {
  if (sanitizer::kValgrind) {
    GTEST_SKIP() << "Valgrind takes the frame for another stack";
  }
  StackPool pool({.stack_size = kStackSize});
  ASSERT_GT(sizeof(char[kStackSize + (86 << 10)]),
            kStackSize + StackPoolOptions().guard_size);
  EXPECT_DEATH(RunOnFiber(pool, [] { UseALargeFrame(); }),
               "greenback: fiber stack overflow");
}

}  // namespace
}  // namespace greenback::context
