// Coroutine frames that a plain function creates, awaits and destroys: what an
// optimiser must not see through. Compiled at every level of optimisation, with
// and without exceptions; see frames_test in BUILD.

#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <utility>
#include <vector>

#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/in_company.h"

namespace greenback {
namespace {

#if defined(__cpp_exceptions) && defined(FRAMES_TEST_WITHOUT_EXCEPTIONS)
#error "-fno-exceptions did not arrive"
#endif
#if !defined(__OPTIMIZE__) && defined(FRAMES_TEST_OPTIMIZED)
#error "-O did not arrive"
#endif

int frames = 0;  // of ForeignTask, allocated so far
int live = 0;
struct Counted {
  Counted() { ++live; }
  Counted(const Counted&) { ++live; }
  ~Counted() { --live; }
};

Co<int> Fetch(int n) {
  Counted counted;
  for (int i = 0; i < n; ++i) (void)co_await Checkpoint();
  co_return n;
}

TEST(FramesTest, R16_APlainFunctionMayCreateAwaitAndDestroyACo) {
  AloneAndInCompany([] {
    for (int n = 0; n < 4; ++n) EXPECT_EQ(Await(Fetch(n)), n);
    EXPECT_EQ(live, 0);
  });
}

TEST(FramesTest, R16_ACoMayBeALocalVariable) {
  AloneAndInCompany([] {
    Co<int> fetch = Fetch(3);
    EXPECT_EQ(live, 0);  // lazy
    EXPECT_EQ(Await(fetch), 3);
  });
  EXPECT_EQ(live, 0);
}

TEST(FramesTest, R16_ACoMayNeverBeAwaited) {
  AloneAndInCompany([] { Co<int> unawaited = Fetch(3); });
  EXPECT_EQ(live, 0);
}

// A task type of another library: eager to let optimisers see everything.
class ForeignTask {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    int result = 0;

    static void* operator new(size_t size) {
      ++frames;
      return ::operator new(size);
    }
    static void operator delete(void* frame) { ::operator delete(frame); }

    ForeignTask get_return_object() {
      return ForeignTask(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Continue {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<promise_type> done) noexcept {
          return done.promise().continuation;
        }
        void await_resume() noexcept {}
      };
      return Continue();
    }
    void return_value(int value) { result = value; }
    void unhandled_exception() { std::abort(); }
  };

  explicit ForeignTask(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}
  ForeignTask(ForeignTask&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~ForeignTask() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) {
    handle_.promise().continuation = continuation;
    return handle_;
  }
  int await_resume() { return handle_.promise().result; }

 private:
  std::coroutine_handle<promise_type> handle_;
};

ForeignTask FetchForeign(int n) {
  Counted counted;
  for (int i = 0; i < n; ++i) (void)co_await Checkpoint();
  co_return n;
}

TEST(FramesTest, R16_ATaskOfAnotherLibraryMayBeAwaited) {
  AloneAndInCompany([] {
    for (int n = 0; n < 4; ++n) EXPECT_EQ(Await(FetchForeign(n)), n);
    EXPECT_EQ(live, 0);
  });
}

ForeignTask FetchSimply() { co_return 5; }

// With everything inlined, nothing but Await() itself keeps clang from eliding
// the frame, and with it the stores that the task's resumption needs.
[[gnu::noinline, gnu::flatten]] int AwaitInlined() {
  return Await(FetchSimply());
}

TEST(FramesTest, R16_TheFrameIsNotElided) {
  AloneAndInCompany([] {
    frames = 0;
    EXPECT_EQ(AwaitInlined(), 5);
    EXPECT_EQ(frames, 1);
  });
}

TEST(FramesTest, R16_ATaskOfAnotherLibraryMayBeAwaitedNatively) {
  AloneAndInCompany([] {
    EXPECT_EQ(Await([]() -> Co<int> {
                int sum = 0;
                for (int n = 0; n < 4; ++n) sum += co_await FetchForeign(n);
                co_return sum;
              }()),
              6);
    EXPECT_EQ(live, 0);
  });
}

// A fiber has one waker, and hands it to every awaitable.
TEST(FramesTest, R04_TheSameHandleServesManyAwaits) {
  AloneAndInCompany([] {
    std::vector<void*> seen;
    struct Inspect {
      std::vector<void*>& seen;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> waker) {
        seen.push_back(waker.address());
        EXPECT_FALSE(waker.done());
        waker.resume();
      }
      void await_resume() const {}
    };
    for (int i = 0; i < 100; ++i) Await(Inspect{seen});
    for (void* address : seen) EXPECT_EQ(address, seen.front());
  });
}

// Each Await() runs a coroutine that awaits, eight levels of both kinds.
Co<int> Alternate(int level);
int AlternateSynchronously(int level) {
  Counted counted;
  return level == 0 ? 0 : 1 + Await(Alternate(level));
}
Co<int> Alternate(int level) {
  Counted counted;
  (void)co_await Checkpoint();
  const int below = AlternateSynchronously(level - 1);
  (void)co_await Checkpoint();
  co_return 1 + below;
}

TEST(FramesTest, R04_EightLevelsAlternate) {
  AloneAndInCompany([] { EXPECT_EQ(AlternateSynchronously(8), 16); });
  EXPECT_EQ(live, 0);
}

}  // namespace
}  // namespace greenback
