// WithPortalRun[Sync]() in coroutines of which greenback knows nothing: here a
// type that has nothing but what the standard asks for.
#include <atomic>
#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/task_local.h"
#include "gtest/gtest.h"
#include "tests/support/inline_event.h"
#include "tests/support/leave_mark.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/test_awaitables.h"
#include "tests/support/worker.h"

namespace greenback {
namespace {

// Suspends its awaiter until Open(), whose argument the await returns.
class Gate {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  int await_resume() const { return value_; }

  bool waited_for() const { return waiter_ != nullptr; }
  void Open(int value) {
    value_ = value;
    std::exchange(waiter_, nullptr).resume();
  }

 private:
  std::coroutine_handle<> waiter_;
  int value_ = 0;
};

int AwaitDeep(Gate& gate, int depth) {
  return depth == 0 ? Await(gate) : AwaitDeep(gate, depth - 1) + 1;
}

TEST(ForeignCallTest, TheCoroutineWaitsForASynchronousFunction) {
  Gate gate;
  int result = 0;
  bool had_portal = false;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      had_portal = HasPortal();
      return AwaitDeep(gate, 3);
    };
    result = co_await WithPortalRunSync(call);
  };
  OwnedCoroutine coroutine = body();
  EXPECT_TRUE(had_portal);
  EXPECT_FALSE(coroutine.done());
  EXPECT_FALSE(HasPortal()) << "no task runs while it waits";
  ASSERT_TRUE(gate.waited_for());
  gate.Open(39);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(result, 42);
}

TEST(ForeignCallTest, WhatNeverWaitsIsJustACall) {
  std::vector<std::string> log;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] { log.push_back("call"); };
    co_await WithPortalRunSync(call);
    log.push_back("after");
    const std::string& reference =
        co_await WithPortalRunSync([&]() -> std::string& { return log[0]; });
    EXPECT_EQ(&reference, &log[0]);
    auto make = [] { return std::make_unique<int>(7); };
    const std::unique_ptr<int> moved = co_await WithPortalRunSync(make);
    EXPECT_EQ(*moved, 7);
  };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(log, (std::vector<std::string>{"call", "after"}));
}

TEST(ForeignCallTest, ItAwaitsManyTimes) {
  Gate gate;
  int sum = 0;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      int sum = 0;
      for (int i = 0; i < 1000; ++i) sum += Await(gate);
      return sum;
    };
    sum = co_await WithPortalRunSync(call);
    sum += co_await WithPortalRunSync(call);
  };
  OwnedCoroutine coroutine = body();
  for (int i = 0; i < 2000; ++i) gate.Open(1);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(sum, 2000);
}

TEST(ForeignCallTest, CoroutinesInterleave) {
  Gate first, second;
  std::vector<int> log;
  auto body = [&](Gate& gate) -> OwnedCoroutine {
    auto call = [&] { log.push_back(Await(gate)); };
    co_await WithPortalRunSync(call);
    co_await WithPortalRunSync(call);
  };
  OwnedCoroutine a = body(first);
  OwnedCoroutine b = body(second);
  second.Open(1);
  first.Open(2);
  first.Open(3);
  second.Open(4);
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3, 4}));
}

TEST(ForeignCallTest, ACoroutineOfGreenbacksHasThePortalToItsEnd) {
  Gate gate;
  int result = 0;
  auto twice = [&]() -> Co<int> {
    const int first = co_await gate;
    EXPECT_TRUE(HasPortal());
    co_return first + Await(gate);
  };
  auto body = [&]() -> OwnedCoroutine {
    result = co_await WithPortalRun(twice);
  };
  OwnedCoroutine coroutine = body();
  gate.Open(40);
  EXPECT_FALSE(coroutine.done());
  EXPECT_FALSE(HasPortal());
  gate.Open(2);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(result, 42);
}

TEST(ForeignCallTest, EnsurePortalIsACheckpointWithNothingElseToRun) {
  int reached = 0;
  auto inner = [&]() -> Co<void> {
    for (int i = 0; i < 100'000; ++i) {
      EXPECT_TRUE((co_await EnsurePortal()).ok());
      EXPECT_TRUE(Await(EnsurePortal()).ok());
      ++reached;
    }
  };
  auto body = [&]() -> OwnedCoroutine { co_await WithPortalRun(inner); };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(reached, 100'000);
}

TEST(ForeignCallTest, AnotherThreadCompletesTheWait) {
  for (int i = 0; i < 100; ++i) {
    Gate gate;
    int result = 0;
    auto body = [&]() -> OwnedCoroutine {
      auto call = [&] { return Await(gate); };
      result = co_await WithPortalRunSync(call);
    };
    OwnedCoroutine coroutine = body();
    std::thread([&] { gate.Open(i); }).join();
    EXPECT_TRUE(coroutine.done());
    EXPECT_EQ(result, i);
  }
}

// Resumed by whichever of two threads is first, at any moment: while the fiber
// is on its way to park, while it is parked, or before.
TEST(ForeignCallTest, R06_CompletionsRaceWithTheParking) {
  constexpr int kRounds = 1'000'000;
  std::atomic<void*> waiting = nullptr;
  struct Wait {
    std::atomic<void*>& waiting;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      waiting.store(waiter.address(), std::memory_order_release);
    }
    void await_resume() const noexcept {}
  };
  std::atomic<bool> done = false;
  int rounds = 0;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      for (; rounds < kRounds; ++rounds) Await(Wait{waiting});
    };
    co_await WithPortalRunSync(call);
    done = true;
  };
  OwnedCoroutine coroutine = body();
  auto resume = [&] {
    while (!done) {
      void* const waiter = waiting.exchange(nullptr, std::memory_order_acq_rel);
      if (waiter != nullptr) {
        std::coroutine_handle<>::from_address(waiter).resume();
      }
    }
  };
  std::thread other(resume);
  resume();
  other.join();
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(rounds, kRounds);
}

#if defined(__cpp_exceptions)

TEST(ForeignCallTest, ExceptionsPropagate) {
  Gate gate;
  std::string caught;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      Await(gate);
      throw std::runtime_error("from below");
    };
    try {
      co_await WithPortalRunSync(call);
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
  };
  OwnedCoroutine coroutine = body();
  gate.Open(1);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(caught, "from below");
}

TEST(ForeignCallTest, R02_DestroyingTheCoroutineUnwindsItsFrames) {
  std::vector<std::string> log;
  Gate gate;
  auto body = [&]() -> OwnedCoroutine {
    LeaveMark outer{log, "coroutine"};
    auto call = [&] {
      LeaveMark mark{log, "outer"};
      [&] {
        LeaveMark mark{log, "inner"};
        Await(gate);
        log.push_back("not reached");
      }();
    };
    co_await WithPortalRunSync(call);
    log.push_back("not reached");
  };
  OwnedCoroutine coroutine = body();
  log.push_back("destroy");
  coroutine.Destroy();
  log.push_back("destroyed");
  EXPECT_EQ(log, (std::vector<std::string>{"destroy", "inner unwound",
                                           "outer unwound", "coroutine left",
                                           "destroyed"}));
}

TEST(ForeignCallTest, R02_WhatIsSwallowedIsThrownAgain) {
  std::vector<std::string> log;
  Gate gate;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      for (int i = 0; i < 3; ++i) {
        try {
          Await(gate);
        } catch (...) {
          log.push_back("swallowed");
        }
      }
      return 1;  // nothing receives it
    };
    co_await WithPortalRunSync(call);
    log.push_back("not reached");
  };
  {
    OwnedCoroutine coroutine = body();
  }
  EXPECT_EQ(log,
            (std::vector<std::string>{"swallowed", "swallowed", "swallowed"}));
}

TEST(ForeignCallTest,
     R02_DestructorsThatAwaitWhileUnwindingDoNotEndTheProgram) {
  std::vector<std::string> log;
  Gate gate;
  auto wait = [&]() -> Co<void> { co_await gate; };
  auto status = []() -> Co<absl::Status> { co_return absl::OkStatus(); };
  struct AtEnd {
    decltype(wait)& wait_;
    decltype(status)& status_;
    std::vector<std::string>& log;
    ~AtEnd() {
      Await(wait_());
      log.push_back(Await(status_()).ToString());
    }
  };
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      AtEnd at_end{wait, status, log};
      Await(gate);
    };
    co_await WithPortalRunSync(call);
  };
  {
    OwnedCoroutine coroutine = body();
  }
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].substr(0, 9), "CANCELLED") << log[0];
}

TEST(ForeignCallTest, R02_NestedWaitsAreUnwoundInnermostFirst) {
  std::vector<std::string> log;
  Gate gate;
  auto inner = [&]() -> Co<void> {
    (void)co_await EnsurePortal();  // continues as a step of its own
    LeaveMark mark{log, "inner"};
    Await(gate);
  };
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      LeaveMark mark{log, "outer"};
      Await(inner());
    };
    co_await WithPortalRunSync(call);
  };
  {
    OwnedCoroutine coroutine = body();
    EXPECT_TRUE(gate.waited_for());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"inner unwound", "outer unwound"}));
}

TEST(ForeignCallDeathTest, R02_ANoexceptFrameDiesWithAMessage) {
  Gate gate;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&]() noexcept { Await(gate); };
    co_await WithPortalRunSync(call);
  };
  EXPECT_DEATH(
      { OwnedCoroutine coroutine = body(); },
      "task \"foreign coroutine\": the task's host was destroyed "
      "while the task waited in greenback::Await\\(\\), and its frames "
      "cannot be unwound");
}

#else

TEST(ForeignCallTest, R02_WithoutExceptionsAStatusReportsIt) {
  std::vector<std::string> log;
  Gate gate;
  auto wait = [&]() -> Co<absl::Status> {
    co_await gate;
    co_return absl::OkStatus();
  };
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      for (int i = 0; i < 2; ++i) {
        log.push_back(std::string(Await(wait()).message()));
      }
    };
    co_await WithPortalRunSync(call);
  };
  {
    OwnedCoroutine coroutine = body();
  }
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0],
            "the task's host was destroyed while the task waited in "
            "greenback::Await()");
  EXPECT_EQ(log[1], log[0]);
}

TEST(ForeignCallDeathTest, R02_WithoutExceptionsAResultThatCannotReportItDies) {
  Gate gate;
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] { return Await(gate); };
    co_await WithPortalRunSync(call);
  };
  EXPECT_DEATH(
      { OwnedCoroutine coroutine = body(); },
      "task \"foreign coroutine\": the task's host was destroyed "
      "while the task waited in greenback::Await\\(\\), and it cannot be "
      "unwound without exceptions");
}

#endif

// --------------------------------------------- R24: results that can say so

// An error type of a program's own.
struct Failure {
  std::string text;
};

// What std::expected<int, Failure> is in C++23.
struct Expected {
  using error_type = Failure;
  struct unexpected_type {
    Failure error;
    explicit unexpected_type(Failure failure) : error(std::move(failure)) {}
  };
  Expected() = default;
  explicit Expected(unexpected_type unexpected)
      : value(0), failure(std::move(unexpected.error)) {}
  int value = 1;
  Failure failure;
};

}  // namespace

template <>
struct AbandonedValue<Failure> {
  static Failure Make() { return {"abandoned"}; }
};

namespace {

template <class... Elements>
using Tuple = std::tuple<Elements...>;

struct NoDefault {
  explicit NoDefault(int) {}
};

static_assert(!HasAbandonedValue<void>);
static_assert(!HasAbandonedValue<int>);
static_assert(!HasAbandonedValue<Failure&>);
static_assert(!HasAbandonedValue<Tuple<>>);
static_assert(!HasAbandonedValue<Tuple<int, std::string>>);
static_assert(!HasAbandonedValue<Tuple<std::error_code, NoDefault>>);
static_assert(!HasAbandonedValue<std::pair<int&, std::error_code>>);

// Is never ready.
template <class Result>
struct Never {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  Result await_resume() const { return Result(); }
};

// What Await() returns in a destructor while the frames of an abandoned task
// are unwound; without exceptions, where it waited.
template <class Result>
Result AwaitAbandoned() {
  std::optional<Result> result;
  struct AtEnd {
    std::optional<Result>& result;
    ~AtEnd() { result.emplace(Await(Never<Result>())); }
  };
  auto body = [&]() -> OwnedCoroutine {
    auto call = [&] {
      AtEnd at_end{result};
      (void)Await(Never<absl::Status>());
    };
    co_await WithPortalRunSync(call);
  };
  {
    OwnedCoroutine coroutine = body();
  }
  return *std::move(result);
}

TEST(ForeignCallTest, R24_ResultsThatCanSayItAreReturnedInDestructors) {
  const std::error_code canceled =
      std::make_error_code(std::errc::operation_canceled);
  EXPECT_EQ(AwaitAbandoned<std::error_code>(), canceled);
  EXPECT_EQ((AwaitAbandoned<Tuple<std::error_code, int>>()),
            std::tuple(canceled, 0));
  EXPECT_EQ(std::get<0>(AwaitAbandoned<Tuple<Tuple<std::error_code, int>>>()),
            std::tuple(canceled, 0));
  EXPECT_EQ((AwaitAbandoned<Tuple<int, std::error_code, std::error_code>>()),
            std::tuple(0, canceled, canceled));
  EXPECT_EQ((AwaitAbandoned<std::pair<std::error_code, std::string>>()),
            std::pair(canceled, std::string()));
  EXPECT_EQ((AwaitAbandoned<std::pair<absl::Status, int>>().first.code()),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(
      (std::get<0>(
          AwaitAbandoned<Tuple<std::error_code, std::unique_ptr<int>>>())),
      canceled);
  EXPECT_EQ(AwaitAbandoned<Failure>().text, "abandoned");
  EXPECT_EQ(AwaitAbandoned<Expected>().failure.text, "abandoned");
  EXPECT_EQ(AwaitAbandoned<Expected>().value, 0);
#if defined(__cpp_exceptions)
  EXPECT_THROW(std::rethrow_exception(AwaitAbandoned<std::exception_ptr>()),
               Abandoned);
#endif
}

// ------------------------------------------------ R17: a task of its own

TEST(ForeignCallTest, R17_ACallInsideTheStepOfAnotherIsATaskOfItsOwn) {
  InlineEvent first;
  InlineEvent second;
  std::vector<std::string> log;
  const auto inner = [&]() -> OwnedCoroutine {
    co_await first;
    const auto wait = [&] {
      log.push_back("inner waits");
      Await(second);
      log.push_back("inner continues");
    };
    co_await WithPortalRunSync(wait);
    log.push_back("inner ends");
  };
  const auto outer = [&]() -> OwnedCoroutine {
    const auto set_both = [&] {
      first.Set();  // resumes `inner` here, which waits
      EXPECT_TRUE(HasPortal());
      log.push_back("outer continues");
      second.Set();
      EXPECT_TRUE(HasPortal());
      log.push_back("outer ends");
    };
    co_await WithPortalRunSync(set_both);
  };
  const OwnedCoroutine b = inner();
  const OwnedCoroutine a = outer();
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
  EXPECT_EQ(log, (std::vector<std::string>{"inner waits", "outer continues",
                                           "inner continues", "inner ends",
                                           "outer ends"}));
}

TEST(ForeignCallTest, R17_TheLocalsOfTheOuterTaskAreNotItsOwn) {
  static TaskLocal<int> local;
  InlineEvent event;
  int inside = -1;
  const auto inner = [&]() -> OwnedCoroutine {
    co_await event;
    co_await WithPortalRunSync([&] { inside = local.Get(); });
  };
  const auto outer = [&]() -> OwnedCoroutine {
    const auto call = [&] {
      local.Set(1);
      event.Set();
      EXPECT_EQ(local.Get(), 1);
    };
    co_await WithPortalRunSync(call);
  };
  const OwnedCoroutine b = inner();
  EXPECT_TRUE(outer().done());
  EXPECT_TRUE(b.done());
  EXPECT_EQ(inside, 0);
}

TEST(ForeignCallTest, R17_ATaskOfARunIsNotParkedByACallInsideIt) {
  InlineEvent first;
  InlineEvent second;
  std::vector<std::string> log;
  const auto inner = [&]() -> OwnedCoroutine {
    co_await first;
    co_await WithPortalRunSync([&] { Await(second); });
    log.push_back("inner ends");
  };
  const OwnedCoroutine b = inner();
  greenback::Run([&]() -> Co<void> {
    co_await WithPortalRunSync([&] {
      first.Set();
      log.push_back("task");
      second.Set();
    });
  });
  EXPECT_TRUE(b.done());
  EXPECT_EQ(log, (std::vector<std::string>{"task", "inner ends"}));
}

#if defined(__cpp_exceptions)

TEST(ForeignCallTest, R17_DestroyingTheInnerCoroutineUnwindsItsFramesAlone) {
  InlineEvent first;
  InlineEvent second;
  std::vector<std::string> log;
  const auto inner = [&]() -> OwnedCoroutine {
    co_await first;
    co_await WithPortalRunSync([&] {
      const LeaveMark mark{log, "inner"};
      Await(second);
    });
  };
  Gate gate;
  std::optional<OwnedCoroutine> b = inner();
  const auto outer = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync([&] {
      const LeaveMark mark{log, "outer"};
      first.Set();
      log.push_back("destroy");
      b.reset();
      log.push_back("destroyed");
      Await(gate);
    });
  };
  const OwnedCoroutine a = outer();
  EXPECT_FALSE(a.done());
  gate.Open(1);
  EXPECT_TRUE(a.done());
  EXPECT_EQ(log, (std::vector<std::string>{"destroy", "inner unwound",
                                           "destroyed", "outer left"}));
}

#endif

// ------------------------------------------------ R19: a destroyed handle

// Is the operation of a library that owns the handle, and destroys it when the
// operation is destroyed before it has completed.
class OwnedOperation {
 public:
  ~OwnedOperation() { Drop(); }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  void await_resume() const noexcept {}

  void Complete() { std::exchange(waiter_, nullptr).resume(); }
  void Drop() {
    if (waiter_) std::exchange(waiter_, nullptr).destroy();
  }

 private:
  std::coroutine_handle<> waiter_;
};

#if defined(__cpp_exceptions)

TEST(ForeignCallTest, R19_ADestroyedHandleUnwindsTheFramesOnce) {
  std::vector<std::string> log;
  auto operation = std::make_unique<OwnedOperation>();
  const auto body = [&]() -> OwnedCoroutine {
    const LeaveMark mark{log, "coroutine"};
    co_await WithPortalRunSync([&] {
      const LeaveMark mark{log, "call"};
      Await(*operation);
      log.push_back("not reached");
    });
    log.push_back("not reached");
  };
  {
    const OwnedCoroutine coroutine = body();
    log.push_back("drop");
    operation.reset();
    log.push_back("dropped");
    EXPECT_FALSE(coroutine.done());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"drop", "call unwound", "dropped",
                                           "coroutine left"}));
  // What was destroyed is not lent again.
  OwnedOperation another;
  const auto waits = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync([&] { Await(another); });
  };
  const OwnedCoroutine coroutine = waits();
  another.Complete();
  EXPECT_TRUE(coroutine.done());
}

TEST(ForeignCallTest, R19_AThreadMayDestroyTheHandle) {
  std::vector<std::string> log;
  OwnedOperation operation;
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync([&] {
      const LeaveMark mark{log, "call"};
      Await(operation);
    });
  };
  const OwnedCoroutine coroutine = body();
  std::thread([&] { operation.Drop(); }).join();
  EXPECT_EQ(log, (std::vector<std::string>{"call unwound"}));
}

TEST(ForeignCallTest, R19_InACoTheHandleMayBeDestroyedToo) {
  std::vector<std::string> log;
  OwnedOperation operation;
  const auto inner = [&]() -> Co<void> {
    const LeaveMark mark{log, "inner"};
    co_await operation;
    log.push_back("not reached");
  };
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync([&] {
      const LeaveMark mark{log, "call"};
      Await(inner());
      log.push_back("not reached");
    });
    log.push_back("not reached");
  };
  const OwnedCoroutine coroutine = body();
  operation.Drop();
  EXPECT_EQ(log, (std::vector<std::string>{"inner unwound", "call unwound"}));
  EXPECT_FALSE(coroutine.done());
}

TEST(ForeignCallTest, R19_ATaskOfARunIsAbandonedByADestroyedHandle) {
  std::vector<std::string> log;
  OwnedOperation operation;
  bool was_abandoned = false;
  greenback::Run([&]() -> Co<void> {
    const auto drop = [&]() -> Co<void> {
      operation.Drop();
      co_return;
    };
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon(drop);
      try {
        co_await WithPortalRunSync([&] {
          const LeaveMark mark{log, "call"};
          Await(operation);
        });
      } catch (const Abandoned&) {
        was_abandoned = true;
      }
    });
  });
  EXPECT_TRUE(was_abandoned);
  EXPECT_EQ(log, (std::vector<std::string>{"call unwound"}));
}

TEST(ForeignCallTest, R19_SoIsOneThatWaitsInACo) {
  OwnedOperation operation;
  bool was_abandoned = false;
  greenback::Run([&]() -> Co<void> {
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        operation.Drop();
        co_return;
      });
      try {
        co_await operation;
      } catch (const Abandoned&) {
        was_abandoned = true;
      }
    });
  });
  EXPECT_TRUE(was_abandoned);
}

#else

TEST(ForeignCallTest, R19_WithoutExceptionsAStatusSaysSo) {
  OwnedOperation operation;
  absl::StatusCode code = absl::StatusCode::kOk;
  struct StatusOperation {
    OwnedOperation& operation;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
      operation.await_suspend(waiter);
    }
    absl::Status await_resume() const noexcept { return absl::OkStatus(); }
  };
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync(
        [&] { code = Await(StatusOperation{operation}).code(); });
  };
  const OwnedCoroutine coroutine = body();
  operation.Drop();
  EXPECT_EQ(code, absl::StatusCode::kCancelled);
}

#endif

// ---------------------------------------- R20: who completes, continues

// Resumes its awaiter on a worker's thread, early or not: an early one has
// begun when await_suspend() returns.
struct ResumeOn {
  bool await_ready() const noexcept { return false; }
  // (Not inlined: a coroutine whose frame held `has_begun` may end meanwhile.)
  __attribute__((noinline)) void await_suspend(
      std::coroutine_handle<> waiter) const {
    if (!is_early) {
      worker->Post([waiter] { waiter.resume(); });
      return;
    }
    std::atomic<bool> has_begun = false;
    worker->Post([waiter, &has_begun] {
      has_begun = true;
      waiter.resume();
    });
    while (!has_begun) std::this_thread::yield();
  }
  void await_resume() const noexcept {}
  Worker* worker;
  bool is_early;
};

// Notes a mistake if it is not called on the worker's thread.
using CheckThread = std::function<void()>;

// Awaits hop(resume, check), which awaits `resume` and calls `check` after
// that, in many coroutines, one after another. Returns the number of mistakes.
template <class Hop>
int CountWrongThreads(Hop hop) {
  constexpr int kHops = 2'000;
  int wrong = 0;
  std::atomic<int> done = 0;
  Worker worker;
  const CheckThread check = [&] { wrong += !worker.IsThisThread(); };
  const auto body = [&](int number) -> Detached {
    co_await hop(ResumeOn{&worker, number % 2 == 0}, check);
    check();
    done = number;
    done.notify_one();
  };
  for (int i = 0; i < kHops; ++i) {
    body(i + 1);
    done.wait(i);
  }
  return wrong;
}

Co<void> HopInACo(ResumeOn resume, const CheckThread& check) {
  co_await resume;
  check();
}

TEST(ForeignCallTest, R20_AwaitingAnExecutorAlwaysHops) {
  const auto hop = [](ResumeOn resume, const CheckThread& check) {
    return WithPortalRunSync([resume, &check] {
      Await(resume);
      check();
    });
  };
  EXPECT_EQ(CountWrongThreads(hop), 0);
}

TEST(ForeignCallTest, R20_SoDoesWhatAwaitsACoThatAwaitsIt) {
  const auto hop = [](ResumeOn resume, const CheckThread& check) {
    return WithPortalRunSync([resume, &check] {
      Await(HopInACo(resume, check));
      check();
    });
  };
  EXPECT_EQ(CountWrongThreads(hop), 0);
}

TEST(ForeignCallTest, R20_SoDoesACoInNoTask) {
  EXPECT_EQ(CountWrongThreads(HopInACo), 0);
}

// An executor that runs what is scheduled with it inside the next await.
class DrainingExecutor {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    queue_.push_back(waiter);
    if (std::exchange(is_draining_, true)) return;
    while (!queue_.empty()) {
      const std::coroutine_handle<> next = queue_.front();
      queue_.pop_front();
      next.resume();
    }
    is_draining_ = false;
  }
  void await_resume() const noexcept {}

 private:
  std::deque<std::coroutine_handle<>> queue_;
  bool is_draining_ = false;
};

TEST(ForeignCallTest, R20_AnExecutorThatDrainsDoesNotGrowTheStack) {
  DrainingExecutor executor;
  int rounds = 0;
  const auto body = [&](bool in_a_co) -> OwnedCoroutine {
    const auto wait = [&]() -> Co<void> { co_await executor; };
    co_await WithPortalRunSync([&] {
      for (int i = 0; i < 100'000; ++i) {
        if (in_a_co) {
          Await(wait());
        } else {
          Await(executor);
        }
        ++rounds;
      }
    });
  };
  EXPECT_TRUE(body(false).done());
  EXPECT_TRUE(body(true).done());
  EXPECT_EQ(rounds, 200'000);
}

TEST(ForeignCallTest, R20_ACoInNoTaskMayAwaitItManyTimes) {
  DrainingExecutor executor;
  int rounds = 0;
  const auto waits = [&]() -> Co<void> {
    for (; rounds < 100'000; ++rounds) co_await executor;
  };
  const auto body = [&]() -> OwnedCoroutine { co_await waits(); };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(rounds, 100'000);
}

// Transfers to its coroutine when it is awaited, and back when that ends.
class LazyCoroutine {
 public:
  struct promise_type {
    LazyCoroutine get_return_object() {
      return LazyCoroutine(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    struct Final : std::suspend_always {
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> ended) const noexcept {
        return ended.promise().continuation;
      }
    };
    Final final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
    std::coroutine_handle<> continuation;
  };

  LazyCoroutine(LazyCoroutine&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~LazyCoroutine() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
    handle_.promise().continuation = waiter;
    return handle_;
  }
  void await_resume() const noexcept {}

 private:
  explicit LazyCoroutine(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

TEST(ForeignCallTest, R20_CoroutinesThatTransferDoNotGrowTheStack) {
  int rounds = 0;
  const auto lazy = [&]() -> LazyCoroutine {
    ++rounds;
    co_return;
  };
  const auto waits = [&]() -> Co<void> {
    for (int i = 0; i < 50'000; ++i) co_await lazy();
  };
  const auto body = [&]() -> OwnedCoroutine {
    co_await waits();
    co_await WithPortalRunSync([&] {
      Await(waits());
      for (int i = 0; i < 50'000; ++i) Await(lazy());
    });
  };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(rounds, 150'000);
}

#if defined(__cpp_exceptions)

// Cannot be started.
struct Unstartable {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const {
    throw std::runtime_error("no start");
  }
  void await_resume() const noexcept {}
};

TEST(ForeignCallTest, R20_WhatTheStartThrowsIsThrownByTheAwait) {
  std::vector<std::string> log;
  const auto fails = [&]() -> Co<void> {
    try {
      co_await Unstartable();
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
  };
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync([&] {
      try {
        Await(Unstartable());
      } catch (const std::runtime_error& error) {
        log.push_back(error.what());
      }
      Await(fails());
    });
    co_await fails();
  };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(log, (std::vector<std::string>(3, "no start")));
}

#endif

// EnsurePortal() in a step waits until the step ends. So code of the step may
// destroy the coroutine that waits.

TEST(ForeignCallTest, ACoroutineMayBeDestroyedWhileItWaitsInEnsurePortal) {
  std::vector<std::string> log;
  Gate gate;
  const auto waiting = [&]() -> OwnedCoroutine {
    LeaveMark mark{log, "waiting"};
    (void)co_await EnsurePortal();
    log.push_back("not reached");
  };
  int result = 0;
  const auto body = [&]() -> OwnedCoroutine {
    const auto call = [&] {
      {
        const OwnedCoroutine destroyed = waiting();
        EXPECT_FALSE(destroyed.done());
        log.push_back("destroy");
      }
      log.push_back("destroyed");
      return Await(gate);  // the call is unharmed
    };
    result = co_await WithPortalRunSync(call);
  };
  const OwnedCoroutine coroutine = body();
  EXPECT_EQ(log,
            (std::vector<std::string>{"destroy", "waiting left", "destroyed"}));
  EXPECT_FALSE(coroutine.done());
  gate.Open(42);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(result, 42);
  EXPECT_EQ(log.size(), 3u);
}

TEST(ForeignCallTest, SoMayOneThatAwaitsACoWhichWaitsInEnsurePortal) {
  std::vector<std::string> log;
  const auto inner = [&]() -> Co<void> {
    LeaveMark mark{log, "inner"};
    (void)co_await EnsurePortal();
    log.push_back("not reached");
  };
  const auto outer = [&]() -> OwnedCoroutine {
    LeaveMark mark{log, "outer"};
    co_await inner();
    log.push_back("not reached");
  };
  const auto body = [&]() -> OwnedCoroutine {
    const auto call = [&] {
      {
        const OwnedCoroutine destroyed = outer();
        EXPECT_FALSE(destroyed.done());
      }
      EXPECT_TRUE(HasPortal());
      EXPECT_TRUE(Await(EnsurePortal()).ok());
      log.push_back("call");
    };
    co_await WithPortalRunSync(call);
  };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(log,
            (std::vector<std::string>{"inner left", "outer left", "call"}));
}

TEST(ForeignCallTest, OneThatIsNotDestroyedRunsWhenTheStepEnds) {
  std::vector<std::string> log;
  std::optional<OwnedCoroutine> kept;
  const auto waiting = [&](const char* name) -> OwnedCoroutine {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    log.push_back(name);
  };
  const auto body = [&]() -> OwnedCoroutine {
    const auto call = [&] {
      {
        const OwnedCoroutine destroyed = waiting("not reached");
      }
      kept.emplace(waiting("kept"));
      log.push_back("call");
    };
    co_await WithPortalRunSync(call);
    log.push_back("after");
  };
  EXPECT_TRUE(body().done());
  ASSERT_TRUE(kept.has_value());
  EXPECT_TRUE(kept->done());
  EXPECT_EQ(log, (std::vector<std::string>{"call", "kept", "after"}));
}

#if defined(__cpp_exceptions)

TEST(ForeignCallTest, OneThatWaitsInEnsurePortalMayBeDestroyedWhileUnwinding) {
  std::vector<std::string> log;
  Gate gate;
  const auto waiting = [&]() -> OwnedCoroutine {
    LeaveMark mark{log, "waiting"};
    (void)co_await EnsurePortal();
    log.push_back("not reached");
  };
  struct AtEnd {
    decltype(waiting)& waiting_;
    ~AtEnd() {
      const OwnedCoroutine destroyed = waiting_();
      EXPECT_FALSE(destroyed.done());
    }
  };
  const auto body = [&]() -> OwnedCoroutine {
    const auto call = [&] {
      LeaveMark mark{log, "call"};
      AtEnd at_end{waiting};
      Await(gate);
    };
    co_await WithPortalRunSync(call);
  };
  {
    const OwnedCoroutine coroutine = body();
  }
  EXPECT_EQ(log, (std::vector<std::string>{"waiting unwound", "call unwound"}));
}

#endif

}  // namespace
}  // namespace greenback
