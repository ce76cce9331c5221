#include "greenback/context/run_on_fiber.h"

#include <pthread.h>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "greenback/context/stack_overflow.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using context::StackOrError;
using context::StackPool;

// Runs `fn` on a thread whose stack has `size` bytes.
void RunOnSmallThread(size_t size, std::function<void()> fn) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, size), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* argument) -> void* {
                  (*static_cast<std::function<void()>*>(argument))();
                  return nullptr;
                },
                &fn),
            0);
  pthread_attr_destroy(&attributes);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
}

// ----------------------------------------------------------------- arguments

TEST(RunOnFiberTest, RunsOnce) {
  int runs = 0;
  RunOnFiber([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(RunOnFiberTest, RunsOnAnotherStack) {
  const size_t caller = StackUsage() + StackRemaining();
  const size_t fiber =
      RunOnFiber([] { return StackUsage() + StackRemaining(); });
  EXPECT_GE(fiber, StackPool::Default().options().stack_size);
  EXPECT_NE(fiber, caller);
  EXPECT_EQ(StackUsage() + StackRemaining(), caller);
}

TEST(RunOnFiberTest, ReturnsAValue) {
  EXPECT_EQ(RunOnFiber([] { return 42; }), 42);
  EXPECT_EQ(RunOnFiber([] { return std::string(1'000, 'x'); }),
            std::string(1'000, 'x'));
}

TEST(RunOnFiberTest, ReturnsAMoveOnlyValue) {
  std::unique_ptr<int> result =
      RunOnFiber([] { return std::make_unique<int>(7); });
  ASSERT_NE(result, nullptr);
  EXPECT_EQ(*result, 7);
}

TEST(RunOnFiberTest, ReturnsAReference) {
  int value = 1;
  int& result = RunOnFiber([&]() -> int& { return value; });
  EXPECT_EQ(&result, &value);
}

TEST(RunOnFiberTest, ReturnsAReferenceToConst) {
  const std::string value = "v";
  static_assert(std::is_same_v<decltype(RunOnFiber([&]() -> const std::string& {
                                 return value;
                               })),
                               const std::string&>);
  EXPECT_EQ(&RunOnFiber([&]() -> const std::string& { return value; }), &value);
}

TEST(RunOnFiberTest, ReturnsAnRvalueReference) {
  auto value = std::make_unique<int>(3);
  const std::unique_ptr<int> result =
      RunOnFiber([&]() -> std::unique_ptr<int>&& { return std::move(value); });
  ASSERT_NE(result, nullptr);
  EXPECT_EQ(*result, 3);
  EXPECT_EQ(value, nullptr);
}

TEST(RunOnFiberTest, ResultIsDestroyedOnce) {
  static int alive;
  alive = 0;
  struct Counted {
    Counted() { ++alive; }
    Counted(Counted&&) noexcept { ++alive; }
    ~Counted() { --alive; }
  };
  {
    const Counted result = RunOnFiber([] { return Counted(); });
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

int FunctionForTest() { return 5; }
int void_function_ran = 0;
void VoidFunctionForTest() { ++void_function_ran; }

TEST(RunOnFiberTest, TakesAFunction) {
  EXPECT_EQ(RunOnFiber(FunctionForTest), 5);
  EXPECT_EQ(RunOnFiber(&FunctionForTest), 5);
}

TEST(RunOnFiberTest, TakesAFunctionWithoutResult) {
  void_function_ran = 0;
  RunOnFiber(VoidFunctionForTest);
  RunOnFiber(&VoidFunctionForTest);
  EXPECT_EQ(void_function_ran, 2);
}

TEST(RunOnFiberTest, TakesAConstFunctor) {
  int runs = 0;
  const auto count = [&] { ++runs; };
  const auto count_and_tell = [&] { return ++runs; };
  RunOnFiber(count);
  EXPECT_EQ(RunOnFiber(count_and_tell), 2);
}

TEST(RunOnFiberTest, TakesAMoveOnlyFunctor) {
  int result = 0;
  RunOnFiber([&result, owned = std::make_unique<int>(9)] { result = *owned; });
  EXPECT_EQ(result, 9);
}

TEST(RunOnFiberTest, CallsAnRvalueAsAnRvalue) {
  struct Functor {
    int operator()() & { return 1; }
    int operator()() && { return 2; }
  };
  Functor functor;
  EXPECT_EQ(RunOnFiber(functor), 1);
  EXPECT_EQ(RunOnFiber(std::move(functor)), 2);
}

// --------------------------------------------------------------------- stacks

TEST(RunOnFiberTest, ItReturnsItsStack) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(RunOnFiber(pool, [&] { return pool.stats().in_use; }), 1u);
  }
  EXPECT_EQ(pool.stats().in_use, 0u);
}

int Nest(StackPool& pool, int levels) {
  if (levels == 0) return static_cast<int>(pool.stats().in_use);
  return RunOnFiber(pool, [&] { return Nest(pool, levels - 1); });
}

TEST(RunOnFiberTest, NestsToFiftyLevels) {
  StackPool pool({.stack_size = 64 << 10});
  EXPECT_EQ(Nest(pool, 50), 50);
  EXPECT_EQ(pool.stats().in_use, 0u);
}

// Recurses until `bytes` of the running stack are used; returns how deep.
__attribute__((noinline)) int RecurseTo(size_t bytes) {
  volatile char locals[256];
  locals[0] = 1;
  if (StackUsage() >= bytes) return locals[0];
  return RecurseTo(bytes) + locals[0];
}

TEST(RunOnFiberTest, R07_ItRecursesDeeperThanTheCallersStack) {
  constexpr size_t kThreadStack = 128 << 10;
  constexpr size_t kDepth = 768 << 10;
  int depth = 0;
  size_t left_on_thread = 0;
  RunOnSmallThread(kThreadStack, [&] {
    left_on_thread = StackRemaining();
    depth = RunOnFiber([] { return RecurseTo(kDepth); });
  });
  EXPECT_LT(left_on_thread, kThreadStack);
  EXPECT_GT(depth, 100);
}

TEST(RunOnFiberTest, MayRecurseDeeplyAgain) {
  StackPool pool({.stack_size = 256 << 10, .max_stacks = 1});
  const int first = RunOnFiber(pool, [] { return RecurseTo(128 << 10); });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(RunOnFiber(pool, [] { return RecurseTo(128 << 10); }), first);
  }
}

TEST(RunOnFiberTest, MayBeCalledOnAForeignThread) {
  int result = 0;
  std::thread([&] { result = RunOnFiber([] { return 11; }); }).join();
  EXPECT_EQ(result, 11);
}

TEST(RunOnFiberTest, MayBeCalledOnManyThreadsAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kRuns = 200;
  StackPool pool({.stack_size = 64 << 10, .max_warm = 2});
  std::vector<int> runs(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&pool, &run = runs[i]] {
      for (int j = 0; j < kRuns; ++j) {
        RunOnFiber(pool, [&] { RunOnFiber(pool, [&] { ++run; }); });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, std::vector<int>(kThreads, kRuns));
  EXPECT_EQ(pool.stats().in_use, 0u);
}

// ----------------------------------------------------------------- exceptions

#if defined(__cpp_exceptions)

TEST(RunOnFiberTest, ExceptionPropagates) {
  StackPool pool({.stack_size = 64 << 10});
  try {
    RunOnFiber(pool, [] { throw std::runtime_error("from the fiber"); });
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "from the fiber");
  }
  EXPECT_EQ(pool.stats().in_use, 0u);
  EXPECT_EQ(std::current_exception(), nullptr);
}

TEST(RunOnFiberTest, ExceptionOfAFunctionWithAResultPropagates) {
  EXPECT_THROW(RunOnFiber([]() -> std::string { throw 42; }), int);
}

TEST(RunOnFiberTest, ExceptionPassesThroughFiftyLevels) {
  struct Thrower {
    static void Throw(StackPool& pool, int levels, int& unwound) {
      struct Counts {
        int& unwound;
        ~Counts() { unwound += std::uncaught_exceptions() == 1; }
      } counts{unwound};
      if (levels == 0) throw std::string("deep");
      RunOnFiber(pool, [&] { Throw(pool, levels - 1, unwound); });
    }
  };
  StackPool pool({.stack_size = 64 << 10});
  int unwound = 0;
  EXPECT_THROW(Thrower::Throw(pool, 50, unwound), std::string);
  EXPECT_EQ(unwound, 51);
  EXPECT_EQ(pool.stats().in_use, 0u);
}

TEST(RunOnFiberTest, ExceptionIsDestroyedOnce) {
  static int alive;
  alive = 0;
  struct Counted {
    Counted() { ++alive; }
    Counted(const Counted&) { ++alive; }
    ~Counted() { --alive; }
  };
  EXPECT_THROW(RunOnFiber([] { throw Counted(); }), Counted);
  EXPECT_EQ(alive, 0);
}

TEST(RunOnFiberTest, R01_ItMayBeCalledInsideACatchBlock) {
  try {
    throw std::string("outer");
  } catch (const std::string&) {
    RunOnFiber([] {
      EXPECT_EQ(std::current_exception(), nullptr);
      try {
        throw std::string("inner");
      } catch (const std::string& error) {
        EXPECT_EQ(error, "inner");
      }
    });
    try {
      throw;
    } catch (const std::string& error) {
      EXPECT_EQ(error, "outer");
    }
  }
}

TEST(RunOnFiberTest, R01_ItMayBeCalledWhileUnwinding) {
  struct Runs {
    ~Runs() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      EXPECT_EQ(RunOnFiber([] { return std::uncaught_exceptions(); }), 0);
      EXPECT_THROW(RunOnFiber([] { throw 1; }), int);
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  try {
    const Runs runs;
    throw std::string("outer");
  } catch (const std::string& error) {
    EXPECT_EQ(error, "outer");
  }
}

__attribute__((noinline)) int ThrowAt(size_t bytes) {
  volatile char locals[256];
  locals[0] = 1;
  if (StackUsage() >= bytes) throw std::string("deep");
  return ThrowAt(bytes) + locals[0];
}

TEST(RunOnFiberTest, R07_ItThrowsFromTheDepth) {
  StackPool pool({.stack_size = 256 << 10, .max_stacks = 1});
  for (int i = 0; i < 5; ++i) {
    EXPECT_THROW(RunOnFiber(pool, [] { return ThrowAt(192 << 10); }),
                 std::string);
  }
  int caught = 0;
  RunOnFiber(pool, [&] {
    try {
      ThrowAt(192 << 10);
    } catch (const std::string&) {
      ++caught;
    }
  });
  EXPECT_EQ(caught, 1);
}

TEST(RunOnFiberTest, R08_ExhaustedPoolNamesTheSetting) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 3});
  std::string message;
  int ran = 0;
  try {
    Nest(pool, 4);
  } catch (const StackExhausted& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            "greenback: all 3 fiber stacks of the pool are in use; raise "
            "StackPoolOptions::max_stacks");
  RunOnFiber(pool, [&] { ++ran; });
  EXPECT_EQ(ran, 1);
}

#else

TEST(RunOnFiberDeathTest, R08_ExhaustedPoolNamesTheSetting) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 3});
  EXPECT_DEATH(Nest(pool, 4),
               "all 3 fiber stacks of the pool are in use; raise "
               "StackPoolOptions::max_stacks");
}

#endif  // defined(__cpp_exceptions)

// ------------------------------------------------------------------ the cost

TEST(RunOnFiberTest, StackIsInUseOnlyWhileItRuns) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  StackOrError held = pool.Acquire();
  ASSERT_EQ(held.error, "");
  held.stack = context::Stack();
  RunOnFiber(pool, [] {});
  EXPECT_EQ(pool.Acquire().error, "");
}

}  // namespace
}  // namespace greenback
