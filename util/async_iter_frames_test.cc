// A plain function creates generators, iterates over them and destroys them. An
// optimiser must not conclude that it may elide their frames. Compiled at every
// level of optimisation, with and without exceptions; see
// async_iter_frames_test in BUILD.

#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <utility>

#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/in_company.h"
#include "util/async_generator.h"
#include "util/async_iter.h"

namespace greenback {
namespace {

#if defined(__cpp_exceptions) && \
    defined(ASYNC_ITER_FRAMES_TEST_WITHOUT_EXCEPTIONS)
#error "-fno-exceptions has no effect"
#endif
#if !defined(__OPTIMIZE__) && defined(ASYNC_ITER_FRAMES_TEST_OPTIMIZED)
#error "-O has no effect"
#endif

int frames = 0;  // number of ForeignGenerator frames allocated so far
int live = 0;
struct Counted {
  Counted() { ++live; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --live; }
};

AsyncGenerator<int> Upto(int end) {
  Counted counted;
  for (int i = 0; i < end; ++i) {
    (void)co_await Checkpoint();
    co_yield i;
  }
}
AsyncGenerator<int> UptoSimply(int end) {
  Counted counted;
  for (int i = 0; i < end; ++i) co_yield i;
}

TEST(AsyncIterFramesTest, R16_APlainFunctionMayLoop) {
  AloneAndInCompany([] {
    for (int n = 0; n < 4; ++n) {
      int sum = 0;
      for (int i : AsyncIter(Upto(n))) sum += i + 1;
      EXPECT_EQ(sum, n * (n + 1) / 2);
      EXPECT_EQ(live, 0);
    }
  });
}

TEST(AsyncIterFramesTest, R16_ALoopMayBeLeft) {
  AloneAndInCompany([] {
    for (int n = 0; n < 4; ++n) {
      int sum = 0;
      for (int i : AsyncIter(Upto(n))) {
        sum += i;
        if (i == 1) break;
      }
      EXPECT_EQ(sum, n > 1 ? 1 : 0);
      EXPECT_EQ(live, 0);
    }
  });
}

TEST(AsyncIterFramesTest, R16_AGeneratorMayBeALocalVariable) {
  AloneAndInCompany([] {
    AsyncGenerator<int> upto = Upto(4);
    int sum = 0;
    sum += Await(upto.Next()).value_or(100);
    for (int i : AsyncIter(upto)) {
      sum += 10 * i;
      if (i == 2) break;
    }
    EXPECT_EQ(sum, 30);
    EXPECT_EQ(live, 1);
  });
  EXPECT_EQ(live, 0);
}

TEST(AsyncIterFramesTest, R16_AGeneratorMayBeClosed) {
  AloneAndInCompany([] {
    AsyncGenerator<int> upto = Upto(4);
    EXPECT_EQ(Await(upto.Next()), 0);
    Await(upto.Close());
    EXPECT_EQ(live, 0);
    auto iter = AsyncIter(Upto(4));
    EXPECT_EQ(iter.Next(), 0);
    iter.Close();
    EXPECT_EQ(live, 0);
  });
}

TEST(AsyncIterFramesTest, R16_AGeneratorMayNeverBeStepped) {
  AloneAndInCompany([] {
    auto untouched = AsyncIter(Upto(4));
    AsyncGenerator<int> unused = Upto(4);
  });
  EXPECT_EQ(live, 0);
}

// Everything is inlined into these two.
[[gnu::noinline, gnu::flatten]] int SumInlined() {
  int sum = 0;
  for (int i : AsyncIter(UptoSimply(5))) sum += i;
  return sum;
}
[[gnu::noinline, gnu::flatten]] int StepsInlined() {
  AsyncGenerator<int> upto = UptoSimply(5);
  int sum = Await(upto.Next()).value_or(100);
  sum += Await(upto.Next()).value_or(100);
  sum += Await(upto.Next()).value_or(100);
  return sum;
}

TEST(AsyncIterFramesTest, R16_EverythingMayBeInlined) {
  AloneAndInCompany([] {
    EXPECT_EQ(SumInlined(), 10);
    EXPECT_EQ(StepsInlined(), 3);
    EXPECT_EQ(live, 0);
  });
}

// A generator of another library. Its awaiters refer to the frame and not to
// the generator, so that nothing hides it from optimisers.
class ForeignGenerator {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    std::optional<int> value;

    static void* operator new(size_t size) {
      ++frames;
      return ::operator new(size);
    }
    static void operator delete(void* frame) { ::operator delete(frame); }

    ForeignGenerator get_return_object() {
      return ForeignGenerator(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Continue {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> handle) noexcept {
        return handle.promise().continuation;
      }
      void await_resume() noexcept {}
    };
    Continue yield_value(int yielded) {
      value = yielded;
      return Continue();
    }
    Continue final_suspend() noexcept { return Continue(); }
    void return_void() { value = std::nullopt; }
    void unhandled_exception() { std::abort(); }
  };

  struct Step {
    std::coroutine_handle<promise_type> handle;
    bool await_ready() const noexcept { return handle.done(); }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<> continuation) {
      handle.promise().continuation = continuation;
      return handle;
    }
    std::optional<int> await_resume() { return handle.promise().value; }
  };

  explicit ForeignGenerator(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}
  ForeignGenerator(ForeignGenerator&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~ForeignGenerator() {
    if (handle_) handle_.destroy();
  }

  Step Next() { return Step{handle_}; }

 private:
  std::coroutine_handle<promise_type> handle_;
};

ForeignGenerator ForeignUpto(int end) {
  for (int i = 0; i < end; ++i) co_yield i;
}

[[gnu::noinline, gnu::flatten]] int SumForeign() {
  int sum = 0;
  for (int i : AsyncIter(ForeignUpto(5))) sum += i;
  return sum;
}

TEST(AsyncIterFramesTest, R16_AGeneratorOfAnotherLibraryMayBeIterated) {
  AloneAndInCompany([] {
    frames = 0;
    EXPECT_EQ(SumForeign(), 10);
    EXPECT_EQ(frames, 1);  // not elided
  });
}

}  // namespace
}  // namespace greenback
