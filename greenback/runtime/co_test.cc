#include "greenback/runtime/co.h"

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/portal_error.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/task.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

// A type that knows nothing of coroutines, and its adapter.
namespace other {
struct Question {
  int answer;
};
}  // namespace other

template <>
struct greenback::AwaitableAdapter<other::Question> {
  static auto Adapt(const other::Question& question) {
    struct Answer {
      bool await_ready() const { return true; }
      void await_suspend(std::coroutine_handle<>) const {}
      int await_resume() const { return value; }
      int value;
    };
    return Answer{question.answer};
  }
};

namespace greenback {
namespace {

using ::testing::ElementsAre;

// A member operator co_await, a free one, and neither.
struct MemberAwaitable {
  Signal& signal;
  Signal& operator co_await() const { return signal; }
};
struct FreeAwaitable {
  Signal& signal;
};
Signal& operator co_await(const FreeAwaitable & awaitable) {
  return awaitable.signal;
}

Co<int> Return(int value) { co_return value; }

// ------------------------------------------------------------------ lifetimes

TEST(CoTest, RunsNothingBeforeItIsAwaited) {
  bool ran = false;
  greenback::Run([&]() -> Co<void> {
    const auto body = [&]() -> Co<void> {
      ran = true;
      co_return;
    };
    Co<void> co = body();
    EXPECT_FALSE(ran);
    co_await co;
    EXPECT_TRUE(ran);
  });
}

TEST(CoTest, DestroysTheArgumentsOfOneThatIsNeverAwaited) {
  bool ran = false;
  const auto body = [&ran](Counted, Counted) -> Co<void> {
    ran = true;
    co_return;
  };
  {
    Co<void> co = body(Counted(1), Counted(2));
    EXPECT_EQ(Counted::live(), 2);
  }
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_FALSE(ran);
}

TEST(CoTest, KeepsArgumentsUntilTheFrameIsDestroyed) {
  greenback::Run([]() -> Co<void> {
    {
      const auto body = [](Counted) -> Co<void> { co_return; };
      Co<void> co = body(Counted());
      co_await co;
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(CoTest, DestroysLocalsBeforeTheAwaiterResumes) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<void> {
      Counted local;
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(Counted::live(), 1);
    };
    Co<void> co = body();
    co_await co;
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(CoTest, DestroysTheFrameOnce) {
  greenback::Run([]() -> Co<void> {
    const auto body = [](Counted argument) -> Co<Counted> {
      Counted local(argument.value);
      EXPECT_TRUE((co_await Checkpoint()).ok());
      co_return local;
    };
    {
      Counted result = co_await body(Counted(5));
      EXPECT_EQ(result.value, 5);
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(CoTest, IsMoveOnly) {
  EXPECT_FALSE(std::is_copy_constructible_v<Co<int>>);
  EXPECT_FALSE(std::is_copy_assignable_v<Co<int>>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<Co<int>>);
  EXPECT_TRUE(std::is_nothrow_move_assignable_v<Co<int>>);
  EXPECT_FALSE(std::is_default_constructible_v<Co<int>>);
}

TEST(CoTest, AMovedCoRunsOnce) {
  greenback::Run([]() -> Co<void> {
    Co<int> first = Return(1);
    Co<int> second = std::move(first);
    EXPECT_EQ(co_await std::move(second), 1);
  });
}

TEST(CoTest, AssigningDestroysTheFrameOfEachSideOnce) {
  const auto body = [](Counted) -> Co<void> { co_return; };
  {
    Co<void> left = body(Counted());
    {
      Co<void> right = body(Counted());
      left = std::move(right);
    }
    EXPECT_EQ(Counted::live(), 1);
  }
  EXPECT_EQ(Counted::live(), 0);
}

// -------------------------------------------------------------------- results

TEST(CoTest, ReturnsNothing) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<> { co_return; };
    static_assert(std::is_void_v<AwaitResult<decltype(body())>>);
    co_await body();
  });
}

TEST(CoTest, ReturnsAValue) {
  greenback::Run([]() -> Co<void> { EXPECT_EQ(co_await Return(42), 42); });
}

TEST(CoTest, ConvertsWhatItReturns) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<std::string> { co_return "text"; };
    std::string text = co_await body();
    EXPECT_EQ(text, "text");
  });
}

TEST(CoTest, ReturnsAReference) {
  greenback::Run([]() -> Co<void> {
    int value = 1;
    const auto body = [&]() -> Co<int&> { co_return value; };
    int& result = co_await body();
    EXPECT_EQ(&result, &value);
  });
}

TEST(CoTest, ReturnsAConstReference) {
  greenback::Run([]() -> Co<void> {
    const std::string value = "text";
    const auto body = [&]() -> Co<const std::string&> { co_return value; };
    const std::string& result = co_await body();
    EXPECT_EQ(&result, &value);
  });
}

TEST(CoTest, ReturnsAMoveOnlyValue) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<std::unique_ptr<int>> {
      auto result = std::make_unique<int>(7);
      co_return result;
    };
    std::unique_ptr<int> result = co_await body();
    EXPECT_EQ(*result, 7);
  });
}

TEST(CoTest, NeedsNoDefaultConstructor) {
  struct NoDefault {
    explicit NoDefault(int value) : value(value) {}
    int value;
  };
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<NoDefault> { co_return NoDefault(3); };
    NoDefault result = co_await body();
    EXPECT_EQ(result.value, 3);
  });
}

TEST(CoTest, ReturnsAStatusOrMadeFromAValue) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<absl::StatusOr<std::string>> {
      co_return "text";
    };
    absl::StatusOr<std::string> result = co_await body();
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(*result, "text");
  });
}

TEST(CoTest, ReturnsAStatusOrMadeFromAStatus) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<absl::StatusOr<int>> {
      co_return absl::NotFoundError("none");
    };
    absl::StatusOr<int> result = co_await body();
    EXPECT_EQ(result.status(), absl::NotFoundError("none"));
  });
}

// ----------------------------------------------------------------- exceptions

#if defined(__cpp_exceptions)

TEST(CoTest, AnExceptionPropagatesToTheAwaiter) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<int> {
      throw std::runtime_error("thrown at once");
      co_return 0;
    };
    Co<int> co = body();
    std::string what;
    try {
      co_await co;
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "thrown at once");
  });
}

TEST(CoTest, AnExceptionPropagatesAfterASuspension) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<void> {
      EXPECT_TRUE((co_await Checkpoint()).ok());
      throw 7;
    };
    int caught = 0;
    try {
      co_await body();
    } catch (int value) {
      caught = value;
    }
    EXPECT_EQ(caught, 7);
  });
}

TEST(CoTest, AnExceptionPassesThroughAChain) {
  struct Chain {
    static Co<int> Down(int depth) {
      Counted local;
      if (depth == 0) throw std::runtime_error("deep");
      co_return co_await Down(depth - 1);
    }
  };
  greenback::Run([]() -> Co<void> {
    int live = -1;
    try {
      co_await Chain::Down(100);
    } catch (const std::runtime_error&) {
      live = Counted::live();
    }
    EXPECT_EQ(live, 0);
  });
}

TEST(CoTest, AnExceptionIsDestroyedOnce) {
  struct Error {
    std::shared_ptr<Counted> payload = std::make_shared<Counted>();
  };
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<void> {
      throw Error();
      co_return;
    };
    bool caught = false;
    try {
      co_await body();
    } catch (const Error&) {
      caught = true;
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(CoTest, AnExceptionOfTheResultsMovePropagates) {
  struct ThrowsWhenMoved {
    ThrowsWhenMoved() = default;
    // NOLINTNEXTLINE(performance-noexcept-move-constructor): it throws.
    ThrowsWhenMoved(ThrowsWhenMoved&&) { throw std::runtime_error("moved"); }
  };
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<ThrowsWhenMoved> {
      Counted local;
      ThrowsWhenMoved result;
      co_return std::move(result);
    };
    bool caught = false;
    try {
      co_await body();
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(CoTest, AnExceptionOfAForeignAwaitSuspendPropagates) {
  greenback::Run([]() -> Co<void> {
    const SuspendWith throws{
        [](std::coroutine_handle<>) { throw std::runtime_error("suspend"); }};
    bool caught = false;
    try {
      co_await throws;
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

#endif  // defined(__cpp_exceptions)

// ------------------------------------------------------------------- awaiting

TEST(CoTest, AwaitingAddsNoScheduling) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(3);
      co_return;
    });
    log.push_back(1);
    log.push_back(co_await Return(2));
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3));
}

TEST(CoTest, ContinuesAfterACheckpointInside) {
  greenback::Run([]() -> Co<void> {
    const auto body = []() -> Co<int> {
      absl::Status status = co_await Checkpoint();
      co_return status.ok() ? 1 : 0;
    };
    int sum = 0;
    for (int i = 0; i < 100; ++i) sum += co_await body();
    EXPECT_EQ(sum, 100);
  });
}

TEST(CoTest, AwaitsLvaluesAndRvalues) {
  greenback::Run([]() -> Co<void> {
    Co<int> lvalue = Return(1);
    const Co<int> constant = Return(2);
    EXPECT_EQ(co_await lvalue, 1);
    EXPECT_EQ(co_await constant, 2);
    EXPECT_EQ(co_await Return(3), 3);
  });
}

TEST(CoTest, ChainsAreDeep) {
  struct Chain {
    static Co<int> Down(int depth) {
      if (depth == 0) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
        co_return 0;
      }
      co_return 1 + co_await Down(depth - 1);
    }
  };
  greenback::Run(
      []() -> Co<void> { EXPECT_EQ(co_await Chain::Down(500), 500); });
}

TEST(CoTest, RunsInTheTaskThatAwaitsIt) {
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    const auto body = []() -> Co<Task*> {
      Task* const before = &CurrentTask();
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(&CurrentTask(), before);
      co_return before;
    };
    for (int i = 0; i < 2; ++i) {
      nursery.StartSoon([body]() -> Co<void> {
        Task* const self = &CurrentTask();
        EXPECT_EQ(co_await body(), self);
      });
    }
    co_return;
  });
}

TEST(CoTest, IsAwaitedInSynchronousCodeThroughAPortal) {
  greenback::Run([]() -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_EQ(Await(Return(8)), 8);
  });
}

// --------------------------------------------------------- foreign awaitables

TEST(CoTest, AwaitsWhatHasAnAdapter) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await other::Question{42}, 42);
    const other::Question question{43};
    EXPECT_EQ(co_await question, 43);
  });
}

TEST(CoTest, AwaitsThroughAMemberOperator) {
  Signal signal;
  signal.Fire(5);
  greenback::Run(
      [&]() -> Co<void> { EXPECT_EQ(co_await MemberAwaitable{signal}, 5); });
}

TEST(CoTest, AwaitsThroughAFreeOperator) {
  Signal signal;
  signal.Fire(5);
  greenback::Run(
      [&]() -> Co<void> { EXPECT_EQ(co_await FreeAwaitable{signal}, 5); });
}

TEST(CoTest, AForeignAwaitableThatIsReadyDoesNotSuspend) {
  Signal signal;
  signal.Fire(1);
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(2);
      co_return;
    });
    log.push_back(co_await signal);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(CoTest, ResumesOnTheRunsThreadWhenCompletedOnAnother) {
  Signal signal;
  std::thread other;
  greenback::Run([&]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    Task* const self = &CurrentTask();
    other = std::thread([&] { signal.Fire(9); });
    EXPECT_EQ(co_await signal, 9);
    EXPECT_EQ(std::this_thread::get_id(), thread);
    EXPECT_EQ(&CurrentTask(), self);
  });
  other.join();
}

// The waiter has not returned from await_suspend yet when it is resumed.
TEST(CoTest, ResumesOnTheRunsThreadWhenCompletedWhileSuspending) {
  greenback::Run([]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    co_await SuspendWith{[](std::coroutine_handle<> handle) {
      std::thread([handle] { handle.resume(); }).join();
    }};
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

TEST(CoTest, ResumesInItsOwnTaskWhenCompletedInAnothersStep) {
  Signal signal;
  std::vector<std::string> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      Task* const self = &CurrentTask();
      EXPECT_EQ(co_await signal, 4);
      log.push_back("waiter");
      EXPECT_EQ(&CurrentTask(), self);
    });
    nursery.StartSoon([&]() -> Co<void> {
      Task* const self = &CurrentTask();
      signal.Fire(4);
      log.push_back("rest of the firing step");
      EXPECT_EQ(&CurrentTask(), self);
      co_return;
    });
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("rest of the firing step", "waiter"));
}

// Its own task completes the operation.
TEST(CoTest, ResumesWhenCompletedInItsOwnStep) {
  greenback::Run([]() -> Co<void> {
    Task* const self = &CurrentTask();
    for (int i = 0; i < 1'000; ++i) {
      co_await SuspendWith{
          [](std::coroutine_handle<> handle) { handle.resume(); }};
    }
    EXPECT_EQ(&CurrentTask(), self);
  });
}

TEST(CoTest, AForeignCoroutineOfTheSameTaskResumesIt) {
  const auto fire = [](Signal& signal) -> Detached {
    EXPECT_TRUE((co_await Checkpoint()).ok());
    signal.Fire(6);
  };
  greenback::Run([&]() -> Co<void> {
    Task* const self = &CurrentTask();
    Signal signal;
    fire(signal);
    EXPECT_EQ(co_await signal, 6);
    EXPECT_EQ(&CurrentTask(), self);
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(CoTest, AwaitSuspendThatReturnsFalseContinuesAtOnce) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(2);
      co_return;
    });
    co_await SuspendWith{[](std::coroutine_handle<>) { return false; }};
    log.push_back(1);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(CoTest, AwaitSuspendThatReturnsTrueWaits) {
  std::coroutine_handle<> waiter;
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back(1);
      waiter.resume();
      co_return;
    });
    co_await SuspendWith{[&](std::coroutine_handle<> handle) {
      waiter = handle;
      return true;
    }};
    log.push_back(2);
  });
  EXPECT_THAT(log, ElementsAre(1, 2));
}

TEST(CoTest, AwaitSuspendThatReturnsItsOwnHandleContinues) {
  greenback::Run([]() -> Co<void> {
    Task* const self = &CurrentTask();
    for (int i = 0; i < 1'000; ++i) {
      co_await SuspendWith{[](std::coroutine_handle<> handle) {
        return std::coroutine_handle<>(handle);
      }};
    }
    EXPECT_EQ(&CurrentTask(), self);
  });
}

TEST(CoTest, AwaitSuspendThatReturnsAnotherHandleRunsThat) {
  struct Waiting {
    std::coroutine_handle<> handle;
  };
  std::vector<std::string> log;
  Waiting other;
  // A foreign coroutine that has not been started.
  const auto start_other = [&]() -> Detached {
    co_await SuspendWith{
        [&](std::coroutine_handle<> handle) { other.handle = handle; }};
    log.push_back("other");
  };
  start_other();
  std::coroutine_handle<> waiter;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      log.push_back("firing");
      waiter.resume();
      co_return;
    });
    co_await SuspendWith{[&](std::coroutine_handle<> handle) {
      waiter = handle;
      return other.handle;
    }};
    log.push_back("waiter");
  });
  EXPECT_THAT(log, ElementsAre("other", "firing", "waiter"));
}

// Symmetric transfer of a foreign coroutine that completes at once.
TEST(CoTest, AwaitSuspendThatResumesAndReturnsAnotherHandleRunsBoth) {
  int others = 0;
  std::coroutine_handle<> other;
  const auto start_other = [&]() -> Detached {
    co_await SuspendWith{
        [&](std::coroutine_handle<> handle) { other = handle; }};
    ++others;
  };
  start_other();
  greenback::Run([&]() -> Co<void> {
    co_await SuspendWith{[&](std::coroutine_handle<> handle) {
      handle.resume();
      return other;
    }};
    EXPECT_EQ(others, 1);
  });
}

// ---------------------------------------------------------------- other hosts

// Co depends on no host: here a foreign coroutine runs it, outside any run.
TEST(CoTest, RunsOutsideARun) {
  Signal signal;
  int result = 0;
  const auto body = [](Signal& signal) -> Co<int> {
    co_return 1 + co_await signal;
  };
  const auto host = [&](Signal& signal) -> Detached {
    result = co_await body(signal);
  };
  host(signal);
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(signal.awaited());
  signal.Fire(6);
  EXPECT_EQ(result, 7);
}

TEST(CoTest, OutsideARunItContinuesWhereItIsResumed) {
  Signal signal;
  std::thread::id resumed_on;
  const auto body = [&]() -> Co<void> {
    co_await signal;
    resumed_on = std::this_thread::get_id();
  };
  const auto host = [&]() -> Detached { co_await body(); };
  host();
  std::thread::id other_id;
  std::thread([&] {
    other_id = std::this_thread::get_id();
    signal.Fire();
  }).join();
  EXPECT_EQ(resumed_on, other_id);
}

Co<int> AwaitMovedFrom() {
  Co<int> first = []() -> Co<int> { co_return 1; }();
  Co<int> second = std::move(first);
  const int one = co_await second;
  co_return one + co_await first;  // NOLINT(bugprone-use-after-move)
}

TEST(CoDeathTest, AwaitedAfterItWasMovedFromIsAClearError) {
#if defined(__cpp_exceptions)
  EXPECT_THROW(greenback::Run(AwaitMovedFrom), AwaitableError);
#else
  EXPECT_DEATH(greenback::Run(AwaitMovedFrom),
               "awaited after it was moved from");
#endif
}

// -------------------------------------------------------------- awaited twice

Co<int> One() { co_return 1; }

#if defined(__cpp_exceptions)

Co<int> Waits(Signal& signal) { co_return co_await signal; }

constexpr char kAwaitedTwice[] =
    "greenback::Co: awaited twice; a Co runs once: call its function again for "
    "another Co";

// Calls fn(), which must throw the error of a Co that is awaited twice.
template <class Fn>
void ExpectAwaitedTwice(Fn fn) {
  std::string what = "nothing";
  try {
    (void)fn();
  } catch (const AwaitableError& error) {
    what = error.what();
  }
  EXPECT_EQ(what, kAwaitedTwice);
}
template <class A>
Co<void> ExpectAwaitedTwiceNatively(A& co) {
  std::string what = "nothing";
  try {
    (void)co_await co;
  } catch (const AwaitableError& error) {
    what = error.what();
  }
  EXPECT_EQ(what, kAwaitedTwice);
}

TEST(CoTest, R44_AwaitingTwiceIsAClearError) {
  greenback::Run([]() -> Co<void> {
    Co<int> natively = One();
    EXPECT_EQ(co_await natively, 1);
    co_await ExpectAwaitedTwiceNatively(natively);
    co_await WithPortalRunSync([&] {
      ExpectAwaitedTwice([&] { return Await(natively); });
      Co<int> one = One();
      EXPECT_EQ(Await(one), 1);
      ExpectAwaitedTwice([&] { return Await(one); });
      ExpectAwaitedTwice([&] { return Await(one); });
    });
    // The same for one awaiter, and for two that were made beforehand.
    Co<int> other = One();
    auto first = other.operator co_await();
    auto second = other.operator co_await();
    EXPECT_EQ(co_await first, 1);
    co_await ExpectAwaitedTwiceNatively(first);
    co_await ExpectAwaitedTwiceNatively(second);
    Co<void> nothing = []() -> Co<void> { co_return; }();
    co_await nothing;
    co_await ExpectAwaitedTwiceNatively(nothing);
  });
}

TEST(CoTest, R44_AwaitingOneThatIsBeingAwaitedIsAClearError) {
  Signal signal;
  Co<int> waits = Waits(signal);
  greenback::Run([&]() -> Co<void> {
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          nursery.StartSoon(
              [&]() -> Co<void> { EXPECT_EQ(co_await waits, 7); });
          while (!signal.awaited()) (void)co_await Checkpoint();
          co_await ExpectAwaitedTwiceNatively(waits);
          co_await WithPortalRunSync(
              [&] { ExpectAwaitedTwice([&] { return Await(waits); }); });
          signal.Fire(7);
        });
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST(CoTest, R44_AwaitingOneThatAFunctionAwaitsIsAClearError) {
  Signal signal;
  Co<int> waits = Waits(signal);
  greenback::Run([&]() -> Co<void> {
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          nursery.StartSoon([&]() -> Co<void> {
            const int fired =
                co_await WithPortalRunSync([&] { return Await(waits); });
            EXPECT_EQ(fired, 7);
          });
          while (!signal.awaited()) (void)co_await Checkpoint();
          co_await ExpectAwaitedTwiceNatively(waits);
          signal.Fire(7);
        });
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST(CoTest, R44_AwaitingTwiceInAForeignCoroutineAndAsATaskIsAClearError) {
  Co<int> one = One();
  int ended = 0;
  const auto host = [&]() -> Detached {
    EXPECT_EQ(co_await one, 1);
    try {
      (void)co_await one;
    } catch (const AwaitableError& error) {
      EXPECT_STREQ(error.what(), kAwaitedTwice);
      ++ended;
    }
  };
  host();
  EXPECT_EQ(ended, 1);

  Co<void> nothing = []() -> Co<void> { co_return; }();
  const auto give = [&]() -> Co<void>& { return nothing; };
  greenback::Run(give);
  ExpectAwaitedTwice([&] {
    return greenback::Run([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        nursery.StartSoon(give);
        co_return;
      });
    });
  });
}

#else

TEST(CoDeathTest, R44_AwaitingTwiceDiesWithTheText) {
  const auto twice = []() -> Co<int> {
    Co<int> one = One();
    co_return co_await one + co_await one;
  };
  EXPECT_DEATH(greenback::Run(twice), "greenback::Co: awaited twice");
}

#endif

}  // namespace
}  // namespace greenback
