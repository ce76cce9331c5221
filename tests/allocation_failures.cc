#include "tests/allocation_failures.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/process_resources.h"
#include "tests/support/sanitizers.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

// 0: none fails.
std::atomic<long> allocations_until_failure{0};
std::atomic<bool> all_fail_then{false};
std::atomic<bool> has_failed{false};
std::atomic<long> live_allocations{0};

// The sizes of the last allocations, the latest first, up to the failure.
std::array<std::atomic<size_t>, 3> last_sizes{};

void Note(size_t size) {
  if (has_failed) return;
  for (std::atomic<size_t>& last : last_sizes) size = last.exchange(size);
}

// What a child process reports about itself, even if it dies.
struct Progress {
  std::atomic<long> allocation;
  std::atomic<bool> has_failed;
};
Progress* progress = nullptr;  // in a child process

bool MustFail() {
  // Several threads may get here at once; one of them makes it 1.
  long left = allocations_until_failure.load(std::memory_order_relaxed);
  while (left > 1) {
    if (allocations_until_failure.compare_exchange_weak(left, left - 1)) {
      return false;
    }
  }
  if (left == 0) return false;
  if (!all_fail_then) {
    // Only the first of these threads fails.
    if (!allocations_until_failure.compare_exchange_strong(left, 0)) {
      return MustFail();
    }
  }
  has_failed = true;
  if (progress != nullptr) progress->has_failed = true;
  return true;
}

void* Allocate(size_t size, size_t alignment) noexcept {
  Note(size);
  if (MustFail()) return nullptr;
  if (size == 0) size = 1;
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment,
                               (size + alignment - 1) / alignment * alignment);
  if (memory != nullptr) ++live_allocations;
  return memory;
}

// std::__throw_bad_alloc() is in the library, which is compiled with
// exceptions.
void* OrThrow(void* memory) {
  if (memory == nullptr) std::__throw_bad_alloc();
  return memory;
}

void Free(void* memory) noexcept {
  if (memory == nullptr) return;
  --live_allocations;
  std::free(memory);
}

}  // namespace
}  // namespace greenback

void* operator new(size_t size) {
  return greenback::OrThrow(greenback::Allocate(size, 1));
}
void* operator new[](size_t size) {
  return greenback::OrThrow(greenback::Allocate(size, 1));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return greenback::Allocate(size, 1);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return greenback::Allocate(size, 1);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return greenback::OrThrow(
      greenback::Allocate(size, static_cast<size_t>(alignment)));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return greenback::OrThrow(
      greenback::Allocate(size, static_cast<size_t>(alignment)));
}
void* operator new(size_t size, std::align_val_t alignment,
                   const std::nothrow_t&) noexcept {
  return greenback::Allocate(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return greenback::Allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { greenback::Free(memory); }
void operator delete[](void* memory) noexcept { greenback::Free(memory); }
void operator delete(void* memory, size_t) noexcept { greenback::Free(memory); }
void operator delete[](void* memory, size_t) noexcept {
  greenback::Free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  greenback::Free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  greenback::Free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  greenback::Free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  greenback::Free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  greenback::Free(memory);
}
void operator delete[](void* memory, size_t, std::align_val_t) noexcept {
  greenback::Free(memory);
}
void operator delete(void* memory, std::align_val_t,
                     const std::nothrow_t&) noexcept {
  greenback::Free(memory);
}
void operator delete[](void* memory, std::align_val_t,
                       const std::nothrow_t&) noexcept {
  greenback::Free(memory);
}

namespace greenback {
namespace {

enum class Mode { kWarm, kCold, kFromThereOn };
constexpr Mode kModes[] = {Mode::kWarm, Mode::kCold, Mode::kFromThereOn};

const char* Name(Mode mode) {
  return mode == Mode::kWarm   ? "warm"
         : mode == Mode::kCold ? "cold"
                               : "from_there_on";
}

// In a new process with AddressSanitizer, only one allocation in three fails: a
// fork() takes long there, because it copies the sanitizer's memory.
constexpr int kColdStep = kAddressSanitizer ? 3 : 1;

// The allocation that the flags ask to fail once, and how.
long only_allocation = 0;
std::string only_mode = "warm";

constexpr unsigned kSecondsBeforeItHangs = 10;
constexpr int kWrong = 1;
constexpr int kNoneLeft = 2;  // to fail

[[noreturn]] void Wrong(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  _exit(kWrong);
}

using Sizes = std::array<size_t, last_sizes.size()>;

Sizes LastSizes() {
  Sizes sizes;
  std::copy(last_sizes.begin(), last_sizes.end(), sizes.begin());
  return sizes;
}

// From some version on, the constructor of Boost.Asio's io_context leaks an
// allocation if a certain other one fails. Returns the last sizes then; nullopt
// if this Boost does not leak.
std::optional<Sizes> SizesWhenAsioLeaks() {
#if defined(__cpp_exceptions)
  for (long n = 1;; ++n) {
    has_failed = false;
    all_fail_then = false;
    const long before = live_allocations;
    allocations_until_failure = n;
    try {
      const boost::asio::io_context context;
    } catch (const std::bad_alloc&) {
    }
    allocations_until_failure = 0;
    if (!has_failed) break;
    if (live_allocations != before) return LastSizes();
  }
#endif
  return std::nullopt;
}

std::optional<Sizes> when_asio_leaks;
long leaked_by_asio = 0;  // by all failures in this process

// Whether that is how the scenario has failed. The earliest size is that of an
// allocation before the io_context.
bool HasAsioLeaked() {
  const Sizes last = LastSizes();
  return when_asio_leaks &&
         std::equal(last.begin(), last.end() - 1, when_asio_leaks->begin());
}

// Checks that this thread can still run tasks.
void RunAgain() {
  int done = 0;
  Run([&]() -> Co<void> {
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        nursery.StartSoon([&]() -> Co<void> {
          (void)co_await EnsurePortal();
          (void)Await(Sleep(absl::Microseconds(1)));
          ++done;
        });
      }
      co_return;
    });
  });
  if (done != 3) Wrong("a later Run() did not run everything");
}

struct Resources {
  int descriptors = CountDescriptors();
  long allocations = live_allocations;
};

// Runs the scenario. The n-th allocation fails; of those that follow, all fail
// or none.
void FailOne(void (*scenario)(), long n, Mode mode) {
  has_failed = false;
  all_fail_then = mode == Mode::kFromThereOn;
  allocations_until_failure = n;
#if defined(__cpp_exceptions)
  std::exception_ptr error;
  try {
    scenario();
  } catch (...) {
    error = std::current_exception();
  }
  allocations_until_failure = 0;
  if (error && !SaysNoMemory(error)) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& other) {
      Wrong(absl::StrCat("it ended with another error: ", other.what()));
    } catch (...) {
      Wrong("it ended with another error");
    }
  }
  if (error && !has_failed) Wrong("it failed by itself");
#else
  scenario();
  allocations_until_failure = 0;
#endif
}

// Returns whether there was an n-th allocation to fail.
bool Check(void (*scenario)(), long n, Mode mode, const Resources& before) {
  FailOne(scenario, n, mode);
  const bool failed = has_failed;
  if (failed && HasAsioLeaked()) ++leaked_by_asio;
  if (Counted::live() != 0) {
    Wrong(absl::StrCat(Counted::live(), " objects are left"));
  }
  if (HasChildProcess()) Wrong("a child process is left");
  RunAgain();
  const Resources after;
  if (after.descriptors != before.descriptors) {
    Wrong(absl::StrCat(after.descriptors - before.descriptors,
                       " descriptors are left"));
  }
  // In a new process, the first use allocates what is kept from then on.
  const long left = after.allocations - before.allocations;
  if (mode != Mode::kCold && left > leaked_by_asio) {
    Wrong(absl::StrCat(left, " allocations are left"));
  }
  return failed;
}

// Before the first allocation fails.
void Prepare(void (*scenario)(), Mode mode) {
  if (mode != Mode::kCold) {
    // After the second time, what is kept no longer grows.
    for (int i = 0; i < 2; ++i) {
      FailOne(scenario, 0, mode);
      RunAgain();
    }
  }
  when_asio_leaks = SizesWhenAsioLeaks();
}

// In a child process: tries allocations from `n` on.
[[noreturn]] void TryAllocations(void (*scenario)(), long n, Mode mode) {
  Prepare(scenario, mode);
  const Resources before;
  while (true) {
    progress->has_failed = false;
    progress->allocation = n;
    alarm(kSecondsBeforeItHangs);
    if (!Check(scenario, n, mode, before)) _exit(kNoneLeft);
    if (mode == Mode::kCold) _exit(0);
    ++n;
  }
}

std::string TakeText(FILE* file) {
  std::string text;
  std::rewind(file);
  char buffer[1024];
  while (size_t count = std::fread(buffer, 1, sizeof(buffer), file)) {
    text.append(buffer, count);
  }
  if (ftruncate(fileno(file), 0) != 0) std::abort();
  std::rewind(file);
  return text;
}

// How a child process ended, if that is wrong; else empty.
std::string WhatIsWrong(int status, [[maybe_unused]] bool has_failed) {
  if (WIFEXITED(status)) {
    const int code = WEXITSTATUS(status);
    if (code == 0 || code == kNoneLeft) return "";
    return absl::StrCat("exit code ", code);
  }
#if !defined(__cpp_exceptions)
  // std::terminate().
  if (WTERMSIG(status) == SIGABRT && has_failed) return "";
#endif
  return WTERMSIG(status) == SIGALRM
             ? "it hangs"
             : absl::StrCat("signal ", WTERMSIG(status), " (",
                            strsignal(WTERMSIG(status)), ")");
}

void TryMode(void (*scenario)(), Mode mode) {
  void* const shared = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  Progress& reported = *new (shared) Progress();
  FILE* const output = std::tmpfile();
  ASSERT_NE(output, nullptr);
  long n = 1;
  int wrong = 0;
  while (true) {
    reported.allocation = 0;
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      dup2(fileno(output), STDERR_FILENO);
      progress = &reported;
      TryAllocations(scenario, n, mode);
    }
    ASSERT_GT(child, 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const std::string what = WhatIsWrong(status, reported.has_failed);
    const std::string text = TakeText(output);
    ASSERT_NE(reported.allocation, 0)
        << "it fails before any allocation does: " << what << "\n"
        << text;
    n = reported.allocation;
    if (!what.empty()) {
      ++wrong;
      ADD_FAILURE()
          << "when allocation " << n << " fails (" << Name(mode)
          << "): " << what << "; to repeat it: --gtest_filter="
          << testing::UnitTest::GetInstance()
                 ->current_test_info()
                 ->test_suite_name()
          << "."
          << testing::UnitTest::GetInstance()->current_test_info()->name()
          << " --fail_allocation=" << n << " --mode=" << Name(mode) << "\n"
          << text;
      if (wrong == 10) break;  // enough to begin with
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNoneLeft) break;
    n += mode == Mode::kCold ? kColdStep : 1;
  }
  EXPECT_GT(n, 1) << "the scenario allocates nothing";
  testing::Test::RecordProperty(Name(mode), std::to_string(n - 1));
  std::fclose(output);
  munmap(shared, sizeof(Progress));
}

}  // namespace

void FailEachAllocation(void (*scenario)(), bool all_that_follow) {
  for (const Mode mode : kModes) {
    if (mode == Mode::kFromThereOn && !all_that_follow) continue;
    if (only_allocation == 0) {
      TryMode(scenario, mode);
    } else if (only_mode == Name(mode)) {
      Prepare(scenario, mode);
      EXPECT_TRUE(Check(scenario, only_allocation, mode, Resources()));
    }
  }
}

void ExpectDone(bool done, const char* condition, const char* file, int line) {
  if (done) return;
  allocations_until_failure = 0;
  Wrong(absl::StrCat(file, ":", line, ": no error, and not done: ", condition));
}

bool SaysNoMemory([[maybe_unused]] const std::exception_ptr& error) {
#if defined(__cpp_exceptions)
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const ExceptionGroup& group) {
    return std::any_of(group.exceptions().begin(), group.exceptions().end(),
                       SaysNoMemory);
  } catch (...) {
  }
#endif
  return false;
}

namespace {

// --fail_allocation=12 --mode=cold
bool TakeFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    if (absl::ConsumePrefix(&flag, "--fail_allocation=")) {
      if (!absl::SimpleAtoi(flag, &only_allocation)) return false;
    } else if (absl::ConsumePrefix(&flag, "--mode=")) {
      only_mode = std::string(flag);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace greenback

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
#if !defined(__cpp_exceptions)
  // googletest is compiled with exceptions, and would catch them after they had
  // passed frames that are compiled without.
  testing::GTEST_FLAG(catch_exceptions) = false;
#endif
  if (!greenback::TakeFlags(argc, argv)) {
    std::fprintf(stderr,
                 "usage: %s [--gtest_filter=... --fail_allocation=N "
                 "[--mode=warm|cold|from_there_on]]\n",
                 argv[0]);
    return 1;
  }
  return RUN_ALL_TESTS();
}
