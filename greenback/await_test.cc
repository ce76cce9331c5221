#include "greenback/await.h"

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/context/context.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "gtest/gtest.h"
#include "tests/support/in_company.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Fibers switched so far in this run.
uint64_t Switches() { return internal::Loop::Current()->switch_count(); }

// Runs `body`, a plain function, in a task with a portal.
template <class Body>
auto InPortal(Body body) {
  return greenback::Run([&]() -> Co<std::invoke_result_t<Body&>> {
    co_return co_await WithPortalRunSync(std::ref(body));
  });
}

Co<int> Twice(int n) {
  (void)co_await Checkpoint();
  co_return 2 * n;
}

TEST(AwaitTest, ReturnsTheResultOfACoroutineThatSuspends) {
  EXPECT_EQ(InPortal([] { return Await(Twice(21)); }), 42);
}

TEST(AwaitTest, SuspendsTheWholeSynchronousStack) {
  std::vector<std::string> log;
  InCompany([&] {
    const auto middle = [&](const std::string& text) {
      log.push_back("before " + text);
      EXPECT_EQ(Await(Twice(1)), 2);
      log.push_back("after " + text);
    };
    const std::function<void(int)> recurse = [&](int depth) {
      if (depth == 0) return middle("bottom");
      recurse(depth - 1);
      log.push_back("level " + std::to_string(depth));
    };
    recurse(2);
  });
  EXPECT_THAT(
      log, ElementsAre("before bottom", "after bottom", "level 1", "level 2"));
}

// An awaiter whose await_suspend() returns a Result: void, bool or a handle.
template <class Result>
struct Suspending {
  std::function<Result(std::coroutine_handle<>)> suspend;
  bool await_ready() const { return false; }
  Result await_suspend(std::coroutine_handle<> waker) { return suspend(waker); }
  int await_resume() const { return 7; }
};

TEST(AwaitTest, P17_CompletionInsideAwaitSuspendMakesNoSwitch) {
  InCompany([] {
    const uint64_t before = Switches();
    EXPECT_EQ(Await(Suspending<void>{[](auto waker) { waker.resume(); }}), 7);
    EXPECT_EQ(Await(Suspending<bool>{[](auto waker) {
                waker.resume();
                return true;
              }}),
              7);
    EXPECT_EQ(Await(Suspending<std::coroutine_handle<>>{
                  [](auto waker) { return waker; }}),
              7);
    EXPECT_EQ(Switches(), before);
  });
}

TEST(AwaitTest, P17_FalseFromAwaitSuspendMakesNoSwitch) {
  InCompany([] {
    const uint64_t before = Switches();
    EXPECT_EQ(Await(Suspending<bool>{[](auto) { return false; }}), 7);
    EXPECT_EQ(Switches(), before);
  });
}

TEST(AwaitTest, P17_WhatIsReadyAtOnceMakesNoSwitch) {
  InCompany([] {
    const uint64_t before = Switches();
    Await(std::suspend_never());
    EXPECT_EQ(Await([]() -> Co<int> { co_return 3; }()), 3);
    EXPECT_EQ(Switches(), before);
  });
}

struct Freely {
  int value;
};
Suspending<bool> operator co_await(Freely && freely) {
  EXPECT_EQ(freely.value, 5);
  return {[](auto) { return false; }};
}
struct Adapted {
  int value;
};

}  // namespace

template <>
struct AwaitableAdapter<Adapted> {
  static Co<int> Adapt(Adapted&& adapted) { return Twice(adapted.value); }
};

namespace {

TEST(AwaitTest, P17_FreeOperatorCoAwaitAndAdapterAreUsed) {
  InCompany([] {
    EXPECT_EQ(Await(Freely{5}), 7);
    EXPECT_EQ(Await(Adapted{4}), 8);
  });
}

TEST(AwaitTest, P17_ReferencesVoidAndMoveOnlyResultsArrive) {
  InCompany([] {
    int target = 1;
    int& reference = Await([](int& to) -> Co<int&> {
      (void)co_await Checkpoint();
      co_return to;
    }(target));
    EXPECT_EQ(&reference, &target);

    std::unique_ptr<int> owned = Await([]() -> Co<std::unique_ptr<int>> {
      (void)co_await Checkpoint();
      co_return std::make_unique<int>(9);
    }());
    EXPECT_EQ(*owned, 9);

    static_assert(std::is_void_v<AwaitResult<Co<void>>>);
    Await([]() -> Co<void> { (void)co_await Checkpoint(); }());
  });
}

// Its awaiter holds the result, and returns an rvalue reference to it.
template <class T>
struct RefersIntoAwaiter {
  struct Awaiter {
    T result;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) { return false; }
    T&& await_resume() { return std::move(result); }
  };
  T value;
  Awaiter operator co_await() && { return {std::move(value)}; }
};

// Long enough for its characters to be on the heap.
std::string LongText() { return std::string(100, 'x'); }

TEST(AwaitTest, R18_AnRvalueReferenceIntoTheAwaiterIsMovedOutOfIt) {
  static_assert(
      std::is_same_v<AwaitResult<RefersIntoAwaiter<std::string>>, std::string>);
  static_assert(std::is_same_v<TryAwaitResult<RefersIntoAwaiter<std::string>>,
                               absl::StatusOr<std::string>>);
  static_assert(std::is_same_v<TryAwaitResult<RefersIntoAwaiter<absl::Status>>,
                               absl::Status>);
  InCompany([] {
    auto&& text = Await(RefersIntoAwaiter<std::string>{LongText()});
    EXPECT_EQ(text, LongText());
    EXPECT_EQ(*Await(RefersIntoAwaiter<std::unique_ptr<int>>{
                  std::make_unique<int>(4)}),
              4);
    EXPECT_EQ(TryAwait(RefersIntoAwaiter<std::string>{LongText()}).value(),
              LongText());
    EXPECT_EQ(
        TryAwait(RefersIntoAwaiter<absl::Status>{absl::DataLossError("lost")}),
        absl::DataLossError("lost"));
  });
}

TEST(AwaitTest, R18_RunAndWithPortalRunMoveItOutToo) {
  const auto ask = [] { return RefersIntoAwaiter<std::string>{LongText()}; };
  EXPECT_EQ(greenback::Run(ask), LongText());
  InCompany([&] { EXPECT_EQ(Await(WithPortalRun(ask)), LongText()); });
  EXPECT_EQ(greenback::Run([&]() -> Co<std::string> {
              co_return co_await WithPortalRun(ask);
            }),
            LongText());
}

TEST(AwaitTest, R18_AReferenceThatACoroutineReturnsIsAValueForAwaitAlone) {
  std::string text = LongText();
  const auto move_out = [&]() -> Co<std::string&&> {
    co_return std::move(text);
  };
  static_assert(std::is_same_v<AwaitResult<Co<std::string&&>>, std::string>);
  greenback::Run([&]() -> Co<void> {
    std::string&& reference = co_await move_out();
    EXPECT_EQ(&reference, &text);
    const std::string value =
        co_await WithPortalRunSync([&] { return Await(move_out()); });
    EXPECT_EQ(value, LongText());
    EXPECT_EQ(text, "");
  });
}

TEST(AwaitTest, AnLvalueAwaitableIsAwaitedInPlace) {
  InCompany([] {
    Co<int> made = Twice(4);
    EXPECT_EQ(Await(made), 8);
  });
}

// Completes on another thread, before, while or after the task parks.
struct OnThread {
  std::thread thread;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waker) {
    thread = std::thread([waker] { waker.resume(); });
  }
  std::thread::id await_resume() {
    thread.join();
    return std::this_thread::get_id();
  }
};

TEST(AwaitTest, R03_AfterCompletionOnAnotherThreadTheTaskResumesOnItsOwn) {
  InPortal([] {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(Await(OnThread()), std::this_thread::get_id());
    }
    return 0;
  });
}

// An awaitable that the test fires by hand.
struct Manual {
  std::coroutine_handle<> waker;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waker = handle; }
  void await_resume() const {}
};

TEST(AwaitTest, AWaiterFiredInAnotherTasksStepResumesInItsOwn) {
  greenback::Run([]() -> Co<void> {
    Manual manual;
    std::vector<std::string> log;
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      Task& waiter = nursery.StartSoon([&]() -> Co<void> {
        (void)co_await EnsurePortal();
        Task& self = CurrentTask();
        Await(manual);
        EXPECT_EQ(&CurrentTask(), &self);
        log.push_back("woken");
      });
      waiter.set_name("waiter");
      while (!manual.waker) (void)co_await Checkpoint();
      log.push_back("firing");
      manual.waker.resume();
      // The waiter resumes from the loop, not in the middle of this step.
      log.push_back("fired");
      (void)co_await Checkpoint();
    });
    EXPECT_THAT(log, ElementsAre("firing", "fired", "woken"));
  });
}

TEST(TryAwaitTest, MisuseIsAStatus) {
  absl::StatusOr<int> outside = TryAwait(Twice(1));
  EXPECT_EQ(outside.status().code(), absl::StatusCode::kFailedPrecondition);
  greenback::Run([]() -> Co<void> {
    absl::StatusOr<int> without = TryAwait(Twice(1));
    EXPECT_EQ(without.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(without.status().message()),
                HasSubstr("EnsurePortal()"));
    (void)co_await EnsurePortal();
    absl::StatusOr<int> with = TryAwait(Twice(1));
    EXPECT_EQ(with.value(), 2);
  });
}

TEST(TryAwaitTest, VoidAndStatusResultsAreAPlainStatus) {
  static_assert(std::is_same_v<TryAwaitResult<Co<void>>, absl::Status>);
  static_assert(std::is_same_v<TryAwaitResult<Co<absl::Status>>, absl::Status>);
  InCompany([] {
    EXPECT_TRUE(TryAwait(std::suspend_never()).ok());
    EXPECT_EQ(TryAwait([]() -> Co<absl::Status> {
                co_return absl::DataLossError("lost");
              }()),
              absl::DataLossError("lost"));
  });
}

// At the limit of stacks, with a result that can carry a status and with one
// that cannot.
TEST(AwaitTest, R08_NoStackLeftIsResourceExhausted) {
  greenback::Run(RunOptions{.max_fibers = 1}, []() -> Co<void> {
    (void)co_await EnsurePortal();
    const absl::Status status = Await(Sleep(absl::Hours(1)));
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("RunOptions::max_fibers"));
#if defined(__cpp_exceptions)
    bool exhausted = false;
    try {
      Await(Twice(1));
    } catch (const StackExhausted& error) {
      EXPECT_THAT(error.what(), HasSubstr("RunOptions::max_fibers"));
      exhausted = true;
    }
    EXPECT_TRUE(exhausted);
#endif
    // Nothing was started, and the loop continues.
    EXPECT_EQ(co_await Twice(1), 2);
  });
}

TEST(AwaitTest, R13_ManyReadyAwaitsInALoopGrowNoStack) {
  InPortal([] {
    size_t usage = 0;
    for (int i = 0; i < 100'000; ++i) {
      Await([](size_t& usage) -> Co<void> {
        usage = StackUsage();
        co_return;
      }(usage));
    }
    EXPECT_LT(usage, 64u << 10);
    return 0;
  });
}

}  // namespace
}  // namespace greenback
