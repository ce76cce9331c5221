// Many tasks that wait in the middle of synchronous code at the same time.

#include <sys/mman.h>

#include <cstddef>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

// Whether the kernel can guard a page without a mapping for it.
bool KernelHasGuards() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool has = madvise(page, 4096, /*MADV_GUARD_INSTALL=*/102) == 0;
  munmap(page, 4096);
  return has;
}

__attribute__((noinline)) bool WaitBelow(Event& event, int calls) {
  const bool ok = calls == 0 ? greenback::Await(event.Wait()).ok()
                             : WaitBelow(event, calls - 1);
  asm volatile("");  // no tail call
  return ok;
}

struct Figures {
  size_t mappings = 0;
  size_t resident = 0;
  size_t fibers = 0;
  size_t fibers_left = 0;
  int woken = 0;
};

Co<void> ParkAndWake(int count, Figures& figures) {
  Event event;
  const size_t resident_before = ResidentBytes();
  absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < count; ++i) {
      nursery.StartSoon([&]() -> Co<void> {
        co_await WithPortalRunSync([&] {
          if (WaitBelow(event, 3)) ++figures.woken;
        });
      });
    }
    while (event.waiters() < static_cast<size_t>(count)) {
      (void)co_await Checkpoint();
    }
    figures.mappings = Mappings();
    figures.resident = ResidentBytes() - resident_before;
    figures.fibers = internal::Loop::Current()->fiber_count();
    event.Set();
  });
  EXPECT_TRUE(status.ok()) << status;
  figures.fibers_left = internal::Loop::Current()->fiber_count();
}

TEST(ParkedTasksTest, R08_AHundredThousandTasksParkOnGuardedStacks) {
  const bool many = !kSanitized && KernelHasGuards();
  // Where each guard takes a mapping, the kernel allows some 32,000 of them;
  // sanitizers multiply what a stack costs.
  const int count = many ? 100'000 : kSanitized ? 1'000 : 20'000;
  Figures figures;
  greenback::Run(ParkAndWake, count, std::ref(figures));
  EXPECT_EQ(figures.woken, count);
  EXPECT_GE(figures.fibers, static_cast<size_t>(count));
  if (many) {
    EXPECT_LT(figures.mappings, 2'000u);
    // Two pages of stack and the task itself. What clang does not optimise
    // needs a third page now and then.
#if defined(__clang__) && !defined(__OPTIMIZE__)
    EXPECT_LT(figures.resident / count, 12u << 10);
#else
    EXPECT_LT(figures.resident / count, 10u << 10);
#endif
  }
  // Memory is returned to the kernel once they are awake.
  EXPECT_LT(figures.fibers_left, 100u);
}

TEST(ParkedTasksTest, AnIdlePortalHoldsNoStack) {
  greenback::Run([]() -> Co<void> {
    Event event;
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      for (int i = 0; i < 1'000; ++i) {
        nursery.StartSoon([&]() -> Co<void> {
          EXPECT_TRUE((co_await EnsurePortal()).ok());
          EXPECT_TRUE((co_await event.Wait()).ok());
        });
      }
      while (event.waiters() < 1'000) (void)co_await Checkpoint();
      EXPECT_EQ(internal::Loop::Current()->fiber_count(), 1u);
      event.Set();
    });
  });
}

// A second wave uses what the first one left.
TEST(ParkedTasksTest, WaveAfterWave) {
  for (int wave = 0; wave < 3; ++wave) {
    Figures figures;
    greenback::Run(ParkAndWake, 500, std::ref(figures));
    EXPECT_EQ(figures.woken, 500);
  }
}

}  // namespace
}  // namespace greenback
