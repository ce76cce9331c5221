#include "greenback/runtime/run.h"

#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_overflow.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run_options.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/process_resources.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::HasSubstr;

// -------------------------------------------------------------------- results

TEST(RunTest, ReturnsNothing) {
  bool ran = false;
  const auto main = [&]() -> Co<void> {
    ran = true;
    co_return;
  };
  static_assert(std::is_void_v<decltype(greenback::Run(main))>);
  greenback::Run(main);
  EXPECT_TRUE(ran);
}

TEST(RunTest, ReturnsAValue) {
  EXPECT_EQ(greenback::Run([]() -> Co<int> { co_return 42; }), 42);
}

TEST(RunTest, ReturnsAReference) {
  int value = 0;
  const auto main = [&]() -> Co<int&> { co_return value; };
  int& result = greenback::Run(main);
  EXPECT_EQ(&result, &value);
}

TEST(RunTest, ReturnsAMoveOnlyValue) {
  std::unique_ptr<int> result = greenback::Run(
      []() -> Co<std::unique_ptr<int>> { co_return std::make_unique<int>(7); });
  EXPECT_EQ(*result, 7);
}

TEST(RunTest, ReturnsAStatus) {
  EXPECT_EQ(greenback::Run([]() -> Co<absl::Status> {
              co_return absl::NotFoundError("none");
            }),
            absl::NotFoundError("none"));
}

TEST(RunTest, ReturnsAStatusOr) {
  absl::StatusOr<std::string> result = greenback::Run(
      []() -> Co<absl::StatusOr<std::string>> { co_return "text"; });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result, "text");
}

TEST(RunTest, ReturnsTheResultOfASuspendedCoroutine) {
  EXPECT_EQ(greenback::Run([]() -> Co<int> {
              int count = 0;
              for (int i = 0; i < 10; ++i) {
                if ((co_await Checkpoint()).ok()) ++count;
              }
              co_return count;
            }),
            10);
}

TEST(RunTest, RunsAnyAwaitable) {
  EXPECT_TRUE(greenback::Run([] { return Checkpoint(); }).ok());
  Signal signal;
  signal.Fire(3);
  EXPECT_EQ(greenback::Run([&]() -> Signal& { return signal; }), 3);
}

TEST(RunTest, DestroysTheResultOnce) {
  {
    Counted result =
        greenback::Run([]() -> Co<Counted> { co_return Counted(5); });
    EXPECT_EQ(result.value, 5);
    EXPECT_EQ(Counted::live(), 1);
  }
  EXPECT_EQ(Counted::live(), 0);
}

// ------------------------------------------------------------------ arguments

TEST(RunTest, PassesOnArguments) {
  const auto main = [](int a, std::string b) -> Co<std::string> {
    co_return b + std::to_string(a);
  };
  EXPECT_EQ(greenback::Run(main, 1, "text"), "text1");
}

TEST(RunTest, MovesArguments) {
  const auto main = [](std::unique_ptr<int> value) -> Co<int> {
    co_return *value;
  };
  EXPECT_EQ(greenback::Run(main, std::make_unique<int>(8)), 8);
}

TEST(RunTest, KeepsCopiesOfArguments) {
  const auto main = [](const std::string& text) -> Co<size_t> {
    EXPECT_TRUE((co_await Checkpoint()).ok());
    co_return text.size();
  };
  EXPECT_EQ(greenback::Run(main, std::string(1'000, 'x')), 1'000u);
}

TEST(RunTest, PassesOnReferences) {
  int value = 0;
  const auto main = [](int& value) -> Co<void> {
    value = 3;
    co_return;
  };
  greenback::Run(main, std::ref(value));
  EXPECT_EQ(value, 3);
}

TEST(RunTest, CallsAMemberFunction) {
  struct Program {
    int code = 4;
    Co<int> Main() { co_return code; }
  };
  Program program;
  EXPECT_EQ(greenback::Run(&Program::Main, &program), 4);
}

TEST(RunTest, DestroysFunctionAndArgumentsBeforeItReturns) {
  auto captured = std::make_shared<Counted>();
  greenback::Run(
      [captured = std::move(captured)](Counted) -> Co<void> {
        EXPECT_TRUE((co_await Checkpoint()).ok());
        EXPECT_GE(Counted::live(), 2);
      },
      Counted());
  EXPECT_EQ(Counted::live(), 0);
}

// --------------------------------------------------------------------- errors

#if defined(__cpp_exceptions)

TEST(RunTest, AnExceptionPropagates) {
  EXPECT_THROW(greenback::Run([]() -> Co<void> {
                 throw std::runtime_error("at once");
                 co_return;
               }),
               std::runtime_error);
}

TEST(RunTest, AnExceptionPropagatesAfterASuspension) {
  EXPECT_THROW(greenback::Run([]() -> Co<int> {
                 EXPECT_TRUE((co_await Checkpoint()).ok());
                 throw 5;
               }),
               int);
}

TEST(RunTest, AnExceptionOfAwaitPropagates) {
  EXPECT_THROW(greenback::Run([]() -> Co<void> {
                 EXPECT_TRUE((co_await EnsurePortal()).ok());
                 const auto fails = []() -> Co<void> {
                   EXPECT_TRUE((co_await Checkpoint()).ok());
                   throw std::runtime_error("inside");
                 };
                 Await(fails());
               }),
               std::runtime_error);
}

TEST(RunTest, AnExceptionOfTheFunctionItselfPropagates) {
  const auto no_coroutine = []() -> Co<void> {
    throw std::runtime_error("not even called");
  };
  EXPECT_THROW(greenback::Run(no_coroutine), std::runtime_error);
}

TEST(RunTest, AnExceptionLeavesNothingBehind) {
  const auto main = [](Counted) -> Co<void> {
    Counted local;
    EXPECT_TRUE((co_await Checkpoint()).ok());
    throw 1;
  };
  EXPECT_THROW(greenback::Run(main, Counted()), int);
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_EQ(greenback::Run([]() -> Co<int> { co_return 1; }), 1);
}

TEST(RunTest, AnExceptionOfAnArgumentPropagates) {
  struct ThrowsWhenCopied {
    ThrowsWhenCopied() = default;
    ThrowsWhenCopied(const ThrowsWhenCopied&) { throw 3; }
  };
  const ThrowsWhenCopied argument;
  const auto main = [](const ThrowsWhenCopied&, Counted) -> Co<void> {
    co_return;
  };
  EXPECT_THROW(greenback::Run(main, argument, Counted()), int);
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_EQ(greenback::Run([]() -> Co<int> { co_return 1; }), 1);
}

TEST(RunTest, RunInsideARunIsAnError) {
  greenback::Run([]() -> Co<void> {
    std::string what;
    try {
      greenback::Run([]() -> Co<void> { co_return; });
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_THAT(what, HasSubstr("greenback::Run(): this thread is in a run"));
    EXPECT_THAT(what, HasSubstr("Await()"));
    // The outer run continues.
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(CurrentTask().name(), "main");
  });
}

TEST(RunTest, RunInsideARunDestroysItsArguments) {
  greenback::Run([]() -> Co<void> {
    const auto inner = [](Counted) -> Co<void> { co_return; };
    EXPECT_THROW(greenback::Run(inner, Counted()), std::logic_error);
    EXPECT_EQ(Counted::live(), 0);
    co_return;
  });
}

TEST(RunTest, ARunWithoutAnyFiberFails) {
  RunOptions options;
  options.max_fibers = 0;
  bool ran = false;
  const auto main = [&](Counted) -> Co<void> {
    ran = true;
    co_return;
  };
  std::string what;
  try {
    greenback::Run(options, main, Counted());
  } catch (const StackExhausted& error) {
    what = error.what();
  }
  EXPECT_THAT(what, HasSubstr("RunOptions::max_fibers"));
  EXPECT_FALSE(ran);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(RunTest, AfterARunThatFailedOneCanRun) {
  RunOptions options;
  options.max_fibers = 0;
  const auto main = []() -> Co<int> { co_return 1; };
  const int descriptors = CountDescriptors();
  EXPECT_THROW(greenback::Run(options, main), StackExhausted);
  EXPECT_EQ(CountDescriptors(), descriptors);
  EXPECT_EQ(greenback::Run(main), 1);
}

#else

TEST(RunDeathTest, RunInsideARunIsAnError) {
  EXPECT_DEATH(greenback::Run([]() -> Co<void> {
                 greenback::Run([]() -> Co<void> { co_return; });
                 co_return;
               }),
               "greenback::Run\\(\\): this thread is in a run already");
}

TEST(RunDeathTest, ARunWithoutAnyFiberFails) {
  RunOptions options;
  options.max_fibers = 0;
  EXPECT_DEATH(greenback::Run(options, []() -> Co<void> { co_return; }),
               "RunOptions::max_fibers");
}

#endif  // defined(__cpp_exceptions)

// -------------------------------------------------------------------- options

TEST(RunTest, StackSizeIsThatOfTheFibers) {
  for (const size_t size : {size_t{256} << 10, size_t{4} << 20}) {
    RunOptions options;
    options.stack_size = size;
    const size_t total = greenback::Run(options, []() -> Co<size_t> {
      co_return StackUsage() + StackRemaining();
    });
    EXPECT_GE(total, size);
    EXPECT_LE(total, size + (64 << 10));
  }
}

TEST(RunTest, R40_StackSizeOutOfBoundsIsAnErrorThatNamesThem) {
  for (const size_t size : {size_t{0}, size_t{4096}, size_t{1} << 62}) {
    RunOptions options;
    options.stack_size = size;
    const auto main = []() -> Co<void> { co_return; };
    const std::string error = "greenback: RunOptions::stack_size is " +
                              std::to_string(size) +
                              " bytes; choose from 16384 to 1099511627776";
#if defined(__cpp_exceptions)
    std::string what;
    try {
      greenback::Run(options, main);
    } catch (const StackExhausted& exhausted) {
      what = exhausted.what();
    }
    EXPECT_EQ(what, error);
#else
    EXPECT_DEATH(greenback::Run(options, main), error);
#endif
  }
}

TEST(RunTest, MaxFibersOfOneIsEnoughForARunWithoutAwait) {
  RunOptions options;
  options.max_fibers = 1;
  EXPECT_TRUE(greenback::Run(options, [] { return Checkpoint(); }).ok());
}

TEST(RunTest, TheClockIsTheOneGiven) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  EXPECT_EQ(greenback::Run(options,
                           []() -> Co<absl::Time> { co_return CurrentTime(); }),
            clock.Now());
}

TEST(RunTest, TheDefaultClockRunsForward) {
  greenback::Run([]() -> Co<void> {
    const absl::Time start = CurrentTime();
    EXPECT_TRUE((co_await Sleep(absl::Microseconds(1))).ok());
    EXPECT_GE(CurrentTime(), start + absl::Microseconds(1));
  });
}

// ----------------------------------------------------------------- run by run

TEST(RunTest, ThereIsNoPortalOutsideARun) {
  EXPECT_FALSE(HasPortal());
  greenback::Run([]() -> Co<void> {
    EXPECT_FALSE(HasPortal());
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_TRUE(HasPortal());
  });
  EXPECT_FALSE(HasPortal());
}

TEST(RunTest, APortalDoesNotOutliveItsRun) {
  greenback::Run(
      []() -> Co<void> { EXPECT_TRUE((co_await EnsurePortal()).ok()); });
  greenback::Run([]() -> Co<void> {
    EXPECT_FALSE(HasPortal());
    co_return;
  });
}

TEST(RunTest, EndsWhenMainEndsInSynchronousCode) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(Await(Sleep(absl::Nanoseconds(1))).ok());
    }
  });
}

TEST(RunTest, RunsOnTwoThreadsAreIndependent) {
  // Each on its own thread, at the same time: neither ends before it has
  // received a message from the other.
  Signal first_to_second;
  Signal second_to_first;
  const auto run = [](Signal& mine, Signal& others, int value) {
    return greenback::Run([&]() -> Co<int> {
      const std::thread::id thread = std::this_thread::get_id();
      Task* const self = &CurrentTask();
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      others.Fire(value);
      const int got = Await(mine);
      EXPECT_EQ(std::this_thread::get_id(), thread);
      EXPECT_EQ(&CurrentTask(), self);
      co_return got;
    });
  };
  int first = 0;
  std::thread other([&] { first = run(second_to_first, first_to_second, 1); });
  const int second = run(first_to_second, second_to_first, 2);
  other.join();
  EXPECT_EQ(first, 2);
  EXPECT_EQ(second, 1);
}

TEST(RunTest, AThreadInsideARunMayRun) {
  greenback::Run([]() -> Co<void> {
    int result = 0;
    std::thread([&] {
      EXPECT_FALSE(HasPortal());
      result = greenback::Run([]() -> Co<int> { co_return 5; });
    }).join();
    EXPECT_EQ(result, 5);
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(RunTest, ManyRunsLeaveNothingBehind) {
  const auto run = [] {
    greenback::Run([]() -> Co<void> {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      EXPECT_TRUE(Await(Sleep(absl::Nanoseconds(1))).ok());
    });
  };
  run();
  const int descriptors = CountDescriptors();
  const size_t address_space = AddressSpace();
  for (int i = 0; i < 200; ++i) run();
  EXPECT_EQ(CountDescriptors(), descriptors);
  // Each run that left its stacks behind would have added megabytes.
  EXPECT_LT(AddressSpace(), address_space + (size_t{100} << 20));
}

TEST(RunTest, RunsInsideAFiber) {
  EXPECT_EQ(RunOnFiber([] {
              return greenback::Run([]() -> Co<int> {
                EXPECT_TRUE((co_await EnsurePortal()).ok());
                EXPECT_TRUE(Await(Checkpoint()).ok());
                co_return 6;
              });
            }),
            6);
}

// An awaiter of another library, which needs a waker.
struct ResumesAtOnce {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const { waiter.resume(); }
  int await_resume() const noexcept { return 7; }
};

// The main thread's thread-local objects are destroyed before static ones.
TEST(RunDeathTest, R27_AStaticDestructorMayCallRun) {
  const auto process = [] {
    struct RunsAtExit {
      int operator()() const {
        return greenback::Run([]() -> Co<int> {
          EXPECT_TRUE((co_await EnsurePortal()).ok());
          co_return Await(ResumesAtOnce()) + co_await ResumesAtOnce();
        });
      }
      ~RunsAtExit() { std::fprintf(stderr, "got %d\n", (*this)()); }
    };
    static const RunsAtExit runs_at_exit;
    std::fprintf(stderr, "got %d\n", runs_at_exit());
    std::exit(0);
  };
  EXPECT_EXIT(process(), testing::ExitedWithCode(0), "got 14\ngot 14");
}

TEST(RunDeathTest, CurrentTimeOutsideARunIsAClearError) {
#if defined(__cpp_exceptions)
  EXPECT_THROW(CurrentTime(), std::logic_error);
#else
  EXPECT_DEATH(CurrentTime(), "CurrentTime\\(\\): no task of a run");
#endif
}

}  // namespace
}  // namespace greenback
