#include "greenback/context/stack_pool.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/switch.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

using Guard = StackPoolOptions::Guard;

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// Asks the kernel whether bytes can be accessed, so that no process has to die
// for an answer.
class Prober {
 public:
  Prober() { EXPECT_EQ(pipe(pipe_), 0); }
  ~Prober() {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  bool CanRead(const char* address) {
    // System calls directly: the sanitizers check the addresses given to
    // write().
    if (syscall(SYS_write, pipe_[1], address, 1) != 1) return false;
    char byte;
    return syscall(SYS_read, pipe_[0], &byte, 1) == 1;
  }
  bool CanWrite(char* address) {
    char byte = *"x";
    if (syscall(SYS_write, pipe_[1], &byte, 1) != 1) return false;
    if (syscall(SYS_read, pipe_[0], address, 1) == 1) return true;
    syscall(SYS_read, pipe_[0], &byte, 1);
    return false;
  }

 private:
  int pipe_[2];
};

size_t ResidentBytes(const Stack& stack) {
  char* const end = stack.limit() + (stack.size() + kPage - 1) / kPage * kPage;
  std::vector<unsigned char> pages((end - stack.limit()) / kPage);
  EXPECT_EQ(mincore(stack.limit(), end - stack.limit(), pages.data()), 0);
  return kPage * static_cast<size_t>(std::count_if(
                     pages.begin(), pages.end(),
                     [](unsigned char page) { return page & 1; }));
}

std::string ReadFirstWord(const char* path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

size_t CountMappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  size_t count = 0;
  while (std::getline(maps, line)) ++count;
  return count;
}

// Whether the kernel has guards that split no mapping.
bool KernelHasMadviseGuards() {
  StackPool pool;
  const StackOrError made = pool.Acquire();
  return pool.stats().madvise_guards == 1;
}

Stack MustAcquire(StackPool& pool) {
  StackOrError made = pool.Acquire();
  EXPECT_EQ(made.error, "");
  EXPECT_TRUE(made.stack);
  return std::move(made.stack);
}

// ---------------------------------------------------------------------- Stack

static_assert(!std::is_copy_constructible_v<Stack>);
static_assert(!std::is_copy_assignable_v<Stack>);
static_assert(std::is_nothrow_move_constructible_v<Stack>);
static_assert(std::is_nothrow_move_assignable_v<Stack>);

TEST(StackTest, IsEmptyByDefault) {
  const Stack stack;
  EXPECT_FALSE(stack);
  EXPECT_EQ(stack.limit(), nullptr);
  EXPECT_EQ(stack.size(), 0u);
}

TEST(StackTest, MovedFromIsEmpty) {
  StackPool pool;
  Stack first = MustAcquire(pool);
  char* const limit = first.limit();
  const Stack second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.limit(), limit);
  EXPECT_EQ(pool.stats().in_use, 1u);
}

TEST(StackTest, AssignmentReturnsTheOldOne) {
  StackPool pool;
  Stack first = MustAcquire(pool);
  Stack second = MustAcquire(pool);
  char* const limit = second.limit();
  first = std::move(second);
  EXPECT_EQ(first.limit(), limit);
  EXPECT_EQ(pool.stats().in_use, 1u);
  first = Stack();
  EXPECT_EQ(pool.stats().in_use, 0u);
}

TEST(StackTest, SelfAssignmentKeepsIt) {
  StackPool pool;
  Stack stack = MustAcquire(pool);
  Stack& same = stack;
  stack = std::move(same);
  EXPECT_TRUE(stack);
  EXPECT_EQ(pool.stats().in_use, 1u);
}

TEST(StackTest, IsWritableDownToItsLimit) {
  StackPool pool({.stack_size = 64 << 10});
  const Stack stack = MustAcquire(pool);
  std::memset(stack.limit(), 0x5A, stack.size());
  EXPECT_EQ(stack.limit()[0], 0x5A);
  EXPECT_EQ(stack.top()[-1], 0x5A);
}

TEST(StackTest, R40_SizeIsAtLeastWhatWasAskedFor) {
  for (const size_t size : {kMinStackSize, size_t{64} << 10, size_t{1} << 20}) {
    StackPool pool({.stack_size = size});
    std::vector<Stack> stacks;
    for (int i = 0; i < 128; ++i) {
      stacks.push_back(MustAcquire(pool));
      ASSERT_GE(stacks.back().size(), size);
      ASSERT_LE(stacks.back().size(), size + kPage);
    }
  }
}

TEST(StackTest, SizesAreRoundedUpToPages) {
  const StackPool pool(
      {.stack_size = kMinStackSize + 1, .guard_size = kPage + 1});
  EXPECT_EQ(pool.options().stack_size, kMinStackSize + kPage);
  EXPECT_EQ(pool.options().guard_size, 2 * kPage);
}

TEST(StackTest, R40_SizesOutOfBoundsAreAnErrorThatNamesThem) {
  constexpr size_t kMost = ~size_t{};
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4096}, kMinStackSize - 1,
        kMaxStackSize + 1, kMost / 8 + 1, kMost / 4 + 1, kMost - 1, kMost}) {
    StackPool pool({.stack_size = size});
    for (int i = 0; i < 2; ++i) {
      const StackOrError refused = pool.Acquire();
      EXPECT_FALSE(refused.stack);
      EXPECT_EQ(refused.error, "greenback: StackPoolOptions::stack_size is " +
                                   std::to_string(size) +
                                   " bytes; choose from 16384 to " +
                                   std::to_string(kMaxStackSize));
    }
    EXPECT_EQ(pool.stats().mapped_bytes, 0u);
  }
  for (const size_t size :
       {kMaxGuardSize + 1, kMost / 4 + 1, kMost - 4096, kMost}) {
    StackPool pool({.guard_size = size});
    EXPECT_EQ(pool.Acquire().error,
              "greenback: StackPoolOptions::guard_size is " +
                  std::to_string(size) + " bytes; choose from 0 to " +
                  std::to_string(kMaxGuardSize));
    EXPECT_EQ(pool.stats().mapped_bytes, 0u);
  }
}

TEST(StackTest, R40_SizesAtTheirBoundsAreAccepted) {
  StackPool smallest({.stack_size = kMinStackSize, .guard_size = 0});
  const Stack small = MustAcquire(smallest);
  Prober prober;
  EXPECT_FALSE(prober.CanWrite(small.limit() - 1));
  std::memset(small.limit(), 1, small.size());
  if (sanitizer::kAddress || sanitizer::kThread || sanitizer::kValgrind) {
    GTEST_SKIP() << "the tool has no room for a stack of 1 TiB";
  }
  StackPool largest({.stack_size = kMaxStackSize, .guard_size = kMaxGuardSize});
  const StackOrError made = largest.Acquire();
  if (!made.stack) {
    // A limit of the system.
    EXPECT_EQ(made.error.find("greenback: cannot map a fiber stack"), 0u);
    return;
  }
  EXPECT_GE(made.stack.size(), kMaxStackSize);
  EXPECT_TRUE(prober.CanWrite(made.stack.limit()));
  EXPECT_TRUE(prober.CanWrite(made.stack.top() - 1));
  EXPECT_FALSE(prober.CanWrite(made.stack.limit() - 1));
  EXPECT_FALSE(prober.CanWrite(made.stack.limit() - kMaxGuardSize));
}

TEST(StackTest, TopsAreAlignedAndSpreadOverAPage) {
  StackPool pool({.stack_size = 16 << 10});
  std::vector<Stack> stacks;
  std::set<uintptr_t> offsets;
  for (int i = 0; i < 128; ++i) {
    stacks.push_back(MustAcquire(pool));
    const auto top = reinterpret_cast<uintptr_t>(stacks.back().top());
    ASSERT_EQ(top % 16, 0u);
    offsets.insert(top % kPage);
  }
  EXPECT_GE(offsets.size(), 32u);
}

TEST(StackTest, StacksDoNotOverlap) {
  StackPool pool({.stack_size = 16 << 10, .guard_size = 4096});
  std::vector<Stack> stacks;
  for (int i = 0; i < 700; ++i) stacks.push_back(MustAcquire(pool));
  std::sort(stacks.begin(), stacks.end(), [](const Stack& a, const Stack& b) {
    return a.limit() < b.limit();
  });
  for (size_t i = 1; i < stacks.size(); ++i) {
    ASSERT_LE(stacks[i - 1].top(), stacks[i].limit() - 4096);
  }
}

// --------------------------------------------------------------------- guards

class GuardTest : public ::testing::TestWithParam<Guard> {
 protected:
  static constexpr size_t kGuardSize = 32 << 10;
  StackPool pool_{
      {.stack_size = 16 << 10, .guard_size = kGuardSize, .guard = GetParam()}};
};

TEST_P(GuardTest, IsCountedByItsMethod) {
  const Stack stack = MustAcquire(pool_);
  const StackPoolStats stats = pool_.stats();
  EXPECT_EQ(stats.madvise_guards + stats.mprotect_guards, 1u);
  if (GetParam() == Guard::kMprotect) {
    EXPECT_EQ(stats.mprotect_guards, 1u);
  }
}

TEST_P(GuardTest, RefusesEveryPage) {
  Prober prober;
  std::vector<Stack> stacks;
  for (int i = 0; i < 20; ++i) {
    stacks.push_back(MustAcquire(pool_));
    char* const limit = stacks.back().limit();
    for (size_t below = 1; below <= kGuardSize; below += kPage) {
      ASSERT_FALSE(prober.CanRead(limit - below));
      ASSERT_FALSE(prober.CanWrite(limit - below));
    }
    ASSERT_FALSE(prober.CanWrite(limit - kGuardSize));
    ASSERT_TRUE(prober.CanWrite(limit));
  }
}

TEST_P(GuardTest, StaysWhenTheMemoryIsReturned) {
  const Stack keeps_the_slab = MustAcquire(pool_);
  Stack stack = MustAcquire(pool_);
  char* const limit = stack.limit();
  for (int i = 0; i < 3; ++i) {
    std::memset(limit, 1, stack.size());
    stack = Stack();
    pool_.Trim();
    stack = MustAcquire(pool_);
    ASSERT_EQ(stack.limit(), limit);
    Prober prober;
    EXPECT_FALSE(prober.CanWrite(limit - 1));
    EXPECT_FALSE(prober.CanWrite(limit - kGuardSize));
  }
  const StackPoolStats stats = pool_.stats();
  EXPECT_EQ(stats.madvise_guards + stats.mprotect_guards, 2u);
}

void Touch(char* address) { *const_cast<volatile char*>(address) = 1; }

using GuardDeathTest = GuardTest;

TEST_P(GuardDeathTest, R08_ByteBelowTheLimitKills) {
  const Stack stack = MustAcquire(pool_);
  Touch(stack.limit());
  EXPECT_DEATH(Touch(stack.limit() - 1), "");
}

TEST_P(GuardDeathTest, R08_LowestByteOfTheGuardKills) {
  const Stack stack = MustAcquire(pool_);
  EXPECT_DEATH(Touch(stack.limit() - kGuardSize), "");
}

std::string GuardName(const ::testing::TestParamInfo<Guard>& guard) {
  return guard.param == Guard::kAuto ? "Auto" : "Mprotect";
}
INSTANTIATE_TEST_SUITE_P(Methods, GuardTest,
                         ::testing::Values(Guard::kAuto, Guard::kMprotect),
                         GuardName);
INSTANTIATE_TEST_SUITE_P(Methods, GuardDeathTest,
                         ::testing::Values(Guard::kAuto, Guard::kMprotect),
                         GuardName);

// ----------------------------------------------------------- reuse and the cap

TEST(StackPoolTest, LastReturnedIsFirstAcquired) {
  StackPool pool;
  Stack a = MustAcquire(pool);
  Stack b = MustAcquire(pool);
  char* const a_limit = a.limit();
  char* const b_limit = b.limit();
  a = Stack();
  b = Stack();
  b = MustAcquire(pool);
  a = MustAcquire(pool);
  EXPECT_EQ(b.limit(), b_limit);
  EXPECT_EQ(a.limit(), a_limit);
}

TEST(StackPoolTest, StackKeepsItsColour) {
  StackPool pool;
  const Stack first = MustAcquire(pool);
  Stack second = MustAcquire(pool);
  char* const top = second.top();
  second = Stack();
  EXPECT_EQ(MustAcquire(pool).top(), top);
}

TEST(StackPoolTest, CountsWhatItHolds) {
  StackPool pool({.stack_size = 16 << 10, .guard_size = 16 << 10});
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
  Stack stack = MustAcquire(pool);
  EXPECT_EQ(pool.stats().in_use, 1u);
  EXPECT_EQ(pool.stats().warm, 0u);
  EXPECT_GE(pool.stats().mapped_bytes, size_t{32 << 10});
  stack = Stack();
  EXPECT_EQ(pool.stats().in_use, 0u);
  EXPECT_EQ(pool.stats().warm, 1u);
}

TEST(StackPoolTest, R08_ReachingTheCapIsAnErrorThatNamesTheSetting) {
  StackPool pool({.stack_size = 16 << 10, .max_stacks = 3});
  std::vector<Stack> stacks;
  for (int i = 0; i < 3; ++i) stacks.push_back(MustAcquire(pool));
  for (int i = 0; i < 2; ++i) {
    const StackOrError refused = pool.Acquire();
    EXPECT_FALSE(refused.stack);
    EXPECT_EQ(refused.error,
              "greenback: all 3 fiber stacks of the pool are in use; raise "
              "StackPoolOptions::max_stacks");
  }
  EXPECT_EQ(pool.stats().in_use, 3u);
}

TEST(StackPoolTest, R08_StacksAreAvailableAgainAfterTheCap) {
  StackPool pool({.stack_size = 16 << 10, .max_stacks = 2});
  Stack a = MustAcquire(pool);
  Stack b = MustAcquire(pool);
  EXPECT_NE(pool.Acquire().error, "");
  a = Stack();
  a = MustAcquire(pool);
  EXPECT_NE(pool.Acquire().error, "");
  b = Stack();
  EXPECT_EQ(pool.Acquire().error, "");
}

TEST(StackPoolTest, ACapOfZeroRefusesEveryStack) {
  StackPool pool({.max_stacks = 0});
  EXPECT_NE(pool.Acquire().error, "");
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(StackPoolTest, DefaultIsOnePool) {
  EXPECT_EQ(&StackPool::Default(), &StackPool::Default());
  EXPECT_EQ(StackPool::Default().options().stack_size, size_t{1} << 20);
}

TEST(StackPoolDeathTest, DestroyingItWhileInUseDies) {
  EXPECT_DEATH(
      {
        Stack stack;
        StackPool pool;
        Stack other = MustAcquire(pool);
        stack = MustAcquire(pool);
        other = Stack();
      },
      "greenback: a StackPool is destroyed while 1 of its stacks are in use; "
      "let their fibers end first");
}

// ------------------------------------------------------------ memory returned

TEST(StackPoolTest, MemoryIsCommittedWhenTouched) {
  StackPool pool({.stack_size = 1 << 20});
  const Stack stack = MustAcquire(pool);
  EXPECT_EQ(ResidentBytes(stack), 0u);
  Touch(stack.top() - 1);
  EXPECT_EQ(ResidentBytes(stack), kPage);
}

TEST(StackPoolTest, WarmStackKeepsItsMemory) {
  StackPool pool({.stack_size = 64 << 10});
  Stack stack = MustAcquire(pool);
  std::memset(stack.limit(), 1, stack.size());
  stack = Stack();
  stack = MustAcquire(pool);
  EXPECT_GE(ResidentBytes(stack), stack.size());
}

TEST(StackPoolTest, MemoryBeyondMaxWarmIsReturned) {
  StackPool pool({.stack_size = 64 << 10, .max_warm = 1});
  const Stack keeps_the_slab = MustAcquire(pool);
  Stack warm = MustAcquire(pool);
  Stack cold = MustAcquire(pool);
  char* const cold_limit = cold.limit();
  std::memset(warm.limit(), 1, warm.size());
  std::memset(cold.limit(), 1, cold.size());
  warm = Stack();
  cold = Stack();
  EXPECT_EQ(pool.stats().warm, 1u);
  warm = MustAcquire(pool);
  EXPECT_GE(ResidentBytes(warm), warm.size());
  cold = MustAcquire(pool);
  ASSERT_EQ(cold.limit(), cold_limit);
  EXPECT_EQ(ResidentBytes(cold), 0u);
}

TEST(StackPoolTest, TrimReturnsMemory) {
  StackPool pool({.stack_size = 64 << 10});
  const Stack keeps_the_slab = MustAcquire(pool);
  Stack stack = MustAcquire(pool);
  char* const limit = stack.limit();
  std::memset(limit, 1, stack.size());
  stack = Stack();
  pool.Trim();
  EXPECT_EQ(pool.stats().warm, 0u);
  stack = MustAcquire(pool);
  ASSERT_EQ(stack.limit(), limit);
  EXPECT_EQ(ResidentBytes(stack), 0u);
}

TEST(StackPoolTest, TrimLeavesStacksInUseAlone) {
  StackPool pool({.stack_size = 64 << 10});
  const Stack stack = MustAcquire(pool);
  std::memset(stack.limit(), 7, stack.size());
  pool.Trim();
  EXPECT_EQ(stack.limit()[0], 7);
  EXPECT_EQ(stack.top()[-1], 7);
}

TEST(StackPoolTest, TrimReturnsAddressSpace) {
  StackPool pool({.stack_size = 16 << 10});
  for (int i = 0; i < 3; ++i) {
    std::vector<Stack> stacks;
    for (int j = 0; j < 1'000; ++j) stacks.push_back(MustAcquire(pool));
    EXPECT_GT(pool.stats().mapped_bytes, size_t{1'000 * (16 << 10)});
    stacks.clear();
    pool.Trim();
    EXPECT_EQ(pool.stats().mapped_bytes, 0u);
    EXPECT_EQ(pool.stats().warm, 0u);
  }
}

TEST(StackPoolTest, AddressSpaceIsReturnedWithoutTrim) {
  StackPool pool({.stack_size = 16 << 10, .max_warm = 0});
  std::vector<Stack> stacks;
  for (int i = 0; i < 1'000; ++i) stacks.push_back(MustAcquire(pool));
  std::shuffle(stacks.begin(), stacks.end(), std::minstd_rand(1));
  stacks.clear();
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(StackPoolTest, DestructorUnmapsEverything) {
  Prober prober;
  std::vector<char*> limits;
  {
    StackPool pool({.stack_size = 16 << 10});
    std::vector<Stack> stacks;
    for (int i = 0; i < 300; ++i) {
      stacks.push_back(MustAcquire(pool));
      Touch(stacks.back().limit());
      limits.push_back(stacks.back().limit());
    }
  }
  const auto mapped = std::count_if(limits.begin(), limits.end(), [](char* at) {
    unsigned char resident;
    return mincore(at, kPage, &resident) == 0;
  });
  // Other code may have mapped something there since.
  EXPECT_LT(mapped, 150);
}

// Compares a pool with a model: which stacks are in use and which are warm.
TEST(StackPoolTest, AgreesWithAModelAtRandom) {
  StackPool pool({.stack_size = kMinStackSize,
                  .guard_size = 4 << 10,
                  .max_stacks = 600,
                  .max_warm = 20});
  std::minstd_rand random(7);
  std::vector<Stack> out;
  std::set<char*> limits;
  for (int i = 0; i < 20'000; ++i) {
    // In waves, so that slabs are mapped and unmapped.
    const bool grow = random() % 100 < (i / 2'000 % 2 ? 30u : 70u);
    if (grow) {
      StackOrError made = pool.Acquire();
      ASSERT_EQ(made.error.empty(), out.size() < 600);
      if (!made.stack) continue;
      ASSERT_TRUE(limits.insert(made.stack.limit()).second);
      Touch(made.stack.limit());
      Touch(made.stack.top() - 1);
      out.push_back(std::move(made.stack));
    } else if (!out.empty()) {
      std::swap(out[random() % out.size()], out.back());
      limits.erase(out.back().limit());
      out.pop_back();
    }
    if (random() % 1'000 == 0) pool.Trim();
    const StackPoolStats stats = pool.stats();
    ASSERT_EQ(stats.in_use, out.size());
    ASSERT_LE(stats.warm, 20u);
    ASSERT_GE(stats.mapped_bytes,
              (stats.in_use + stats.warm) * size_t{12 << 10});
  }
  out.clear();
  pool.Trim();
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

// -------------------------------------------------------------------- threads

TEST(StackPoolTest, ThreadsHammerOnePool) {
  constexpr int kThreads = 8;
  StackPool pool({.stack_size = 16 << 10, .max_warm = 4});
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&pool, i] {
      std::minstd_rand random(i + 1);
      std::vector<Stack> out;
      for (int j = 0; j < 500; ++j) {
        if (random() % 2 == 0) {
          out.push_back(MustAcquire(pool));
          std::memset(out.back().limit(), i, 64);
        } else if (!out.empty()) {
          EXPECT_EQ(out.back().limit()[63], i);
          out.pop_back();
        }
        if (random() % 100 == 0) pool.Trim();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.stats().in_use, 0u);
  pool.Trim();
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(StackPoolTest, StacksMayBeReturnedOnAnotherThread) {
  StackPool pool;
  Stack stack = MustAcquire(pool);
  std::thread([stack = std::move(stack)]() mutable { stack = Stack(); }).join();
  EXPECT_EQ(pool.stats().in_use, 0u);
}

// ------------------------------------------------------------------ many, R08

constexpr int kHundredThousand = 100'000;

// Guarded stacks beyond this many need guards that split no mapping, and the
// default vm.max_map_count of 65,530 allows half as many of the other kind.
#define SKIP_UNLESS_MANY_STACKS()                                           \
  if (sanitizer::kAddress) {                                                \
    GTEST_SKIP() << "under ASan guards are mappings of their own, for the " \
                    "leak checker's sake";                                  \
  }                                                                         \
  if (sanitizer::kValgrind) {                                               \
    GTEST_SKIP() << "Valgrind searches its stacks one by one";              \
  }                                                                         \
  if (!KernelHasMadviseGuards()) {                                          \
    GTEST_SKIP() << "the kernel has no MADV_GUARD_INSTALL (Linux 6.13)";    \
  }                                                                         \
  static_assert(true)

TEST(StackPoolTest, R08_AHundredThousandStacksAreGuarded) {
  SKIP_UNLESS_MANY_STACKS();
  Prober prober;
  const size_t mappings = CountMappings();
  StackPool pool({.stack_size = 64 << 10});
  std::vector<Stack> stacks;
  stacks.reserve(kHundredThousand);
  for (int i = 0; i < kHundredThousand; ++i) {
    StackOrError made = pool.Acquire();
    ASSERT_EQ(made.error, "");
    stacks.push_back(std::move(made.stack));
  }
  EXPECT_EQ(pool.stats().in_use, size_t{kHundredThousand});
  EXPECT_EQ(pool.stats().madvise_guards, size_t{kHundredThousand});
  EXPECT_EQ(pool.stats().mprotect_guards, 0u);
  for (int i = 0; i < kHundredThousand; i += 7) {
    ASSERT_FALSE(prober.CanRead(stacks[i].limit() - 1));
    ASSERT_FALSE(prober.CanRead(stacks[i].limit() - (64 << 10)));
  }
  EXPECT_LT(CountMappings(), mappings + 1'000);
  stacks.clear();
  pool.Trim();
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(StackPoolTest, R08_AHundredThousandFibersPark) {
  SKIP_UNLESS_MANY_STACKS();
  if (sanitizer::kThread) GTEST_SKIP() << "TSan has fewer fibers";
  StackPool pool({.stack_size = 64 << 10});
  struct Parked {
    SavedContext context;
    Stack stack;
  };
  struct State {
    SavedContext test;
    std::vector<Parked> fibers;
    size_t running = 0;
    size_t sum = 0;
  } state;
  state.fibers.resize(kHundredThousand);
  for (Parked& fiber : state.fibers) {
    StackOrError made = pool.Acquire();
    ASSERT_EQ(made.error, "");
    fiber.stack = std::move(made.stack);
    fiber.context = SavedContext::Create(
        fiber.stack,
        [](void* argument) {
          State& state = *static_cast<State*>(argument);
          const size_t index = state.running;
          Switch(state.fibers[index].context, state.test);
          state.sum += index;
          FinalSwitch(state.test);
        },
        &state);
  }
  for (int lap = 0; lap < 2; ++lap) {
    for (size_t i = 0; i < state.fibers.size(); ++i) {
      state.running = i;
      Switch(state.test, state.fibers[i].context);
    }
  }
  EXPECT_EQ(state.sum, size_t{kHundredThousand} * (kHundredThousand - 1) / 2);
}

// ------------------------------------------------------------- exhaustion, R08

TEST(StackPoolTest, R08_ExhaustedMappingsAreAnErrorThatNamesTheSetting) {
  if (sanitizer::kAddress || sanitizer::kThread || sanitizer::kValgrind) {
    GTEST_SKIP() << "the tool itself dies when it gets no mapping";
  }
  const std::string setting = ReadFirstWord("/proc/sys/vm/max_map_count");
  const size_t max_mappings = std::strtoul(setting.c_str(), nullptr, 10);
  if (max_mappings == 0 || max_mappings > 300'000) {
    GTEST_SKIP() << "vm.max_map_count is " << setting << ": takes too long";
  }
  StackPool pool({.stack_size = kMinStackSize,
                  .guard_size = 4096,
                  .guard = Guard::kMprotect});
  std::vector<Stack> stacks;
  stacks.reserve(max_mappings);
  std::string error;
  while (stacks.size() < max_mappings) {
    StackOrError made = pool.Acquire();
    if (!made.stack) {
      error = std::move(made.error);
      break;
    }
    stacks.push_back(std::move(made.stack));
  }
  const size_t most = stacks.size();
  EXPECT_GT(most, max_mappings / 3);
  EXPECT_LT(most, max_mappings);
  EXPECT_NE(error.find("vm.max_map_count (now " + setting), std::string::npos)
      << error;
  EXPECT_EQ(pool.stats().in_use, most);
  EXPECT_EQ(pool.stats().mprotect_guards, most);

  // Refused again, and nothing is lost by asking.
  const size_t mapped = pool.stats().mapped_bytes;
  for (int i = 0; i < 10; ++i) EXPECT_NE(pool.Acquire().error, "");
  EXPECT_EQ(pool.stats().mapped_bytes, mapped);

  // Stacks that are returned can be acquired again, warm or cold.
  for (int i = 0; i < 600; ++i) stacks.pop_back();
  for (int i = 0; i < 600; ++i) stacks.push_back(MustAcquire(pool));
  EXPECT_EQ(stacks.size(), most);
  Touch(stacks.back().limit());
  Prober prober;
  for (size_t i = 0; i < most; i += 101) {
    ASSERT_FALSE(prober.CanWrite(stacks[i].limit() - 1));
  }
  EXPECT_TRUE(prober.CanWrite(stacks.back().limit()));

  stacks.clear();
  pool.Trim();
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(StackPoolTest, R08_RefusedGuardLeavesNothingMapped) {
  if (sanitizer::kAddress || sanitizer::kThread || sanitizer::kValgrind) {
    GTEST_SKIP() << "the tool itself dies when it gets no mapping";
  }
  const std::string setting = ReadFirstWord("/proc/sys/vm/max_map_count");
  const size_t max_mappings = std::strtoul(setting.c_str(), nullptr, 10);
  if (max_mappings == 0 || max_mappings > 300'000) {
    GTEST_SKIP() << "vm.max_map_count is " << setting << ": takes too long";
  }
  // Uses all mappings but a few up, so that some step of the first Acquire()
  // fails: to map, or to guard what was mapped.
  const size_t size = 2 * max_mappings * kPage;
  void* const region =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(region, MAP_FAILED);
  char* const first = static_cast<char*>(region);
  char* next = first + kPage;
  while (mprotect(next, kPage, PROT_NONE) == 0) next += 2 * kPage;
  int refused = 0;
  for (int left = 0; left < 3; ++left) {
    StackPool pool({.stack_size = kMinStackSize,
                    .guard_size = 4096,
                    .guard = Guard::kMprotect});
    const StackOrError made = pool.Acquire();
    if (!made.stack) {
      ++refused;
      EXPECT_NE(made.error.find("vm.max_map_count"), std::string::npos);
      EXPECT_EQ(pool.stats().mapped_bytes, 0u);
      EXPECT_EQ(pool.stats().in_use, 0u);
    }
    next -= 2 * kPage;
    mprotect(next, kPage, PROT_READ);
  }
  munmap(region, size);
  EXPECT_GT(refused, 0);
}

// In a process of its own, because the limit cannot be lifted again.
[[noreturn]] void ExhaustAddressSpace() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit;
  limit.rlim_cur = limit.rlim_max = pages * kPage + (size_t{64} << 20);
  setrlimit(RLIMIT_AS, &limit);
  StackPool pool;
  std::vector<Stack> stacks;
  stacks.reserve(1'000);
  StackOrError made;
  while ((made = pool.Acquire()).stack) {
    stacks.push_back(std::move(made.stack));
  }
  std::fprintf(stderr, "%zu stacks, then: %s\n", stacks.size(),
               made.error.c_str());
  // It is more than half of the limit, and the pool still works.
  bool good = stacks.size() > 30 && stacks.size() < 64;
  stacks.pop_back();
  good = good && pool.Acquire().stack;
  stacks.clear();
  pool.Trim();
  good = good && pool.stats().mapped_bytes == 0;
  good = good && pool.Acquire().stack;
  _exit(good ? 0 : 1);
}

TEST(StackPoolDeathTest, R08_ExhaustedAddressSpaceIsAnErrorThatNamesTheLimit) {
  if (sanitizer::kAddress || sanitizer::kThread || sanitizer::kValgrind) {
    GTEST_SKIP() << "the tool itself needs more address space than any limit";
  }
  EXPECT_EXIT(ExhaustAddressSpace(), ::testing::ExitedWithCode(0),
              "greenback: cannot map a fiber stack: Cannot allocate memory; "
              "raise .*RLIMIT_AS");
}

// ------------------------------------------------------------------ FindStack

TEST(FindStackTest, FindsStackAndGuard) {
  StackPool pool({.stack_size = 16 << 10, .guard_size = 8 << 10});
  std::vector<Stack> stacks;
  for (int i = 0; i < 40; ++i) stacks.push_back(MustAcquire(pool));
  for (const Stack& stack : stacks) {
    for (const char* address :
         {stack.limit() - (8 << 10), stack.limit() - 1, stack.limit(),
          stack.top() - 1, stack.limit() + (16 << 10) + kPage - 1}) {
      StackBounds bounds;
      ASSERT_TRUE(FindStack(address, bounds));
      EXPECT_EQ(bounds.limit, stack.limit());
      EXPECT_EQ(bounds.guard, stack.limit() - (8 << 10));
      EXPECT_GE(bounds.end, stack.top());
      EXPECT_LT(bounds.end, stack.top() + kPage);
      EXPECT_EQ(bounds.stack_size, size_t{16 << 10});
    }
  }
}

TEST(FindStackTest, FindsNothingElse) {
  StackBounds bounds;
  int local = 0;
  EXPECT_FALSE(FindStack(nullptr, bounds));
  EXPECT_FALSE(FindStack(&local, bounds));
  EXPECT_FALSE(FindStack(&kPage, bounds));
}

TEST(FindStackTest, FindsNothingAfterThePoolIsDestroyed) {
  const char* limit = nullptr;
  {
    StackPool pool;
    limit = MustAcquire(pool).limit();
    StackBounds bounds;
    EXPECT_TRUE(FindStack(limit, bounds));
  }
  StackBounds bounds;
  EXPECT_FALSE(FindStack(limit, bounds));
}

}  // namespace
}  // namespace greenback::context
