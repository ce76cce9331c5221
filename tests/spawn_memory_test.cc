// Spawning and finishing tasks by the million needs memory for the live ones
// alone.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>

#include "absl/status/statusor.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(GREENBACK_VALGRIND)
#define SPAWN_MEMORY_TEST_IS_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SPAWN_MEMORY_TEST_IS_SLOW 1
#endif
#endif

namespace {

// Bytes that operator new has allocated: now, and the most since the last
// reset.
std::atomic<size_t> live_bytes{0};
std::atomic<size_t> peak_bytes{0};

// Stands in front of each allocation. malloc_usable_size() may differ between
// two allocations of the same size.
struct alignas(std::max_align_t) Header {
  size_t size;
};

}  // namespace

// Sanitizers and Valgrind have an operator new of their own, and what they
// allocate says nothing about greenback.
#ifndef SPAWN_MEMORY_TEST_IS_SLOW

void* operator new(size_t size) {
  auto* const header = static_cast<Header*>(std::malloc(sizeof(Header) + size));
  if (header == nullptr) std::abort();
  header->size = size;
  const size_t live = live_bytes += size;
  if (live > peak_bytes) peak_bytes = live;
  return header + 1;
}
void* operator new[](size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  Header* const header = static_cast<Header*>(memory) - 1;
  live_bytes -= header->size;
  std::free(header);
}
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, size_t) noexcept {
  operator delete(memory);
}

#endif

namespace greenback {
namespace {

#ifdef SPAWN_MEMORY_TEST_IS_SLOW
constexpr bool kMemoryTells = false;
constexpr int kTasks = 20'000;
#else
constexpr bool kMemoryTells = true;
constexpr int kTasks = 1'000'000;
#endif

constexpr int kBatch = 100;
// Batches after which everything that is kept has been made.
constexpr int kWarmUp = 20;

size_t ResidentBytes() {
  size_t total = 0;
  size_t resident = 0;
  if (FILE* const file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%zu %zu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

struct Figures {
  size_t live;
  size_t peak;
  size_t resident;
  size_t fibers;
};

// The peak is that since the last call.
Figures Measure() {
  const Figures figures = {live_bytes, peak_bytes, ResidentBytes(),
                           internal::Loop::Current()->fiber_count()};
  peak_bytes = live_bytes.load();
  return figures;
}

// Spawns tasks in batches with `spawn_batch(nursery)`, and waits for all of a
// batch before the next one.
void SpawnInBatches(int tasks,
                    const std::function<Co<void>(Nursery&)>& spawn_batch) {
  Figures before = {};
  Figures after = {};
  size_t most_children = 0;
  int most_objects = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int batch = 0; batch < tasks / kBatch; ++batch) {
      co_await spawn_batch(nursery);
      most_children = std::max(most_children, nursery.child_count());
      most_objects = std::max(most_objects, Counted::live());
      while (nursery.child_count() > 0) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      EXPECT_EQ(Counted::live(), 0);
      if (batch == kWarmUp) before = Measure();
    }
    after = Measure();
  });
  EXPECT_EQ(most_children, size_t{kBatch});
  // What was given and what it was moved to, for each task.
  EXPECT_LE(most_objects, 10 * kBatch);
  EXPECT_LE(after.fibers, before.fibers);
  if (kMemoryTells) {
    EXPECT_EQ(after.live, before.live);
    EXPECT_LE(after.peak, before.peak);
    // A byte or two for each task would show in the allocations; this is for
    // what is allocated otherwise, such as stacks.
    EXPECT_LT(after.resident, before.resident + (size_t{16} << 20));
  }
}

TEST(SpawnMemoryTest, StartSoon) {
  int ended = 0;
  SpawnInBatches(kTasks, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kBatch; ++i) {
      nursery.StartSoon(
          [&ended](Counted) -> Co<void> {
            EXPECT_TRUE((co_await Checkpoint()).ok());
            ++ended;
          },
          Counted());
    }
    co_return;
  });
  EXPECT_EQ(ended, kTasks);
}

TEST(SpawnMemoryTest, Start) {
  int ended = 0;
  std::optional<Event> stop;
  SpawnInBatches(kTasks, [&](Nursery& nursery) -> Co<void> {
    stop.emplace();
    for (int i = 0; i < kBatch; ++i) {
      absl::StatusOr<Counted> started = co_await nursery.Start<Counted>(
          [&](TaskStatus<Counted> ready, Counted) -> Co<void> {
            ready.Started(Counted());
            EXPECT_TRUE((co_await stop->Wait()).ok());
            ++ended;
          },
          Counted());
      EXPECT_TRUE(started.ok());
    }
    stop->Set();
  });
  EXPECT_EQ(ended, kTasks);
}

TEST(SpawnMemoryTest, Portals) {
  int ended = 0;
  SpawnInBatches(kTasks, [&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < kBatch; ++i) {
      nursery.StartSoon(
          [&ended](Counted) -> Co<void> {
            EXPECT_TRUE((co_await EnsurePortal()).ok());
            EXPECT_TRUE(Await(Checkpoint()).ok());
            ++ended;
          },
          Counted());
    }
    co_return;
  });
  EXPECT_EQ(ended, kTasks);
}

}  // namespace
}  // namespace greenback
