// Hours of churn, compressed: random programs of tasks that spawn, await,
// throw, cancel and bestow, and a model that predicts their results. A
// program's result does not depend on the order in which its tasks run, so that
// the model needs no loop.
//
// For a longer run than the usual one:
//
//   ./bazelw test -c opt //tests:churn_test --test_timeout=3600
//       --test_env=CHURN_STEPS=50000000 --test_env=CHURN_SEED=7

#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <iterator>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "greenback/context/stack_pool.h"
#include "greenback/greenback.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/sanitizers.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

// -------------------------------------------------- programs and their model

// What a coroutine does before it returns a number or fails.
struct Plan {
  enum Kind {
    kReturn,
    kCheckpoint,
    kSleep,
    kSignal,    // awaits an awaitable of another library
    kFail,      // returns an error
    kThrow,     // throws; without exceptions, returns an error
    kCatch,     // returns -value where its part fails
    kChildren,  // its parts are children in a nursery; returns the sum
    kCancel,    // cancels children that sleep for ever, and counts them
    kDeadline,  // sleeps for ever in a scope with a deadline
    kDrop,      // makes a coroutine of its part that is never awaited
  };
  // How a task executes it.
  enum Way {
    kNatively,
    kInCall,    // in a plain function with a portal for the call
    kEnsured,   // in a plain function, after EnsurePortal()
    kBestowed,  // in a plain function, on a portal that the spawner bestows
    kWayCount,
  };

  Kind kind;
  Way way;
  int value;
  std::vector<Plan> parts;
};

class Planner {
 public:
  explicit Planner(unsigned seed) : random_(seed) {}

  // A program of tasks that nest at most so deep.
  Plan MakePlan(int depth) {
    // Those that have parts come first.
    static constexpr Plan::Kind kKinds[] = {
        Plan::kChildren, Plan::kChildren, Plan::kChildren,   Plan::kChildren,
        Plan::kChildren, Plan::kChildren, Plan::kCatch,      Plan::kCatch,
        Plan::kCatch,    Plan::kCatch,    Plan::kCatch,      Plan::kDrop,
        Plan::kReturn,   Plan::kSignal,   Plan::kCheckpoint, Plan::kCheckpoint,
        Plan::kSleep,    Plan::kCancel,   Plan::kDeadline,   Plan::kFail,
        Plan::kThrow};
    constexpr int kWithParts = 12;
    const int count = static_cast<int>(std::size(kKinds));
    Plan plan;
    plan.kind = kKinds[depth == 0 ? Between(kWithParts, count - 1)
                                  : Between(0, count - 1)];
    plan.way = static_cast<Plan::Way>(Between(0, Plan::kWayCount - 1));
    plan.value = Between(1, 5);
    int parts = 0;
    if (plan.kind == Plan::kChildren) parts = Between(1, 5);
    if (plan.kind == Plan::kCatch || plan.kind == Plan::kDrop) parts = 1;
    for (; parts > 0; --parts) plan.parts.push_back(MakePlan(depth - 1));
    return plan;
  }

 private:
  int Between(int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(random_);
  }

  std::mt19937 random_;
};

// The model: the number that a plan returns, or nothing if it fails.
std::optional<int> Predict(const Plan& plan) {
  switch (plan.kind) {
    case Plan::kFail:
    case Plan::kThrow:
      return std::nullopt;
    case Plan::kCatch:
      return Predict(plan.parts[0]).value_or(-plan.value);
    case Plan::kChildren: {
      int sum = 0;
      for (const Plan& part : plan.parts) {
        const std::optional<int> number = Predict(part);
        if (!number.has_value()) return std::nullopt;
        sum += *number;
      }
      return sum;
    }
    default:
      return plan.value;
  }
}

// ---------------------------------------------------------------- execution

using Outcome = absl::StatusOr<int>;

int64_t steps = 0;  // coroutines that have begun

Co<Outcome> Execute(const Plan& plan);

// A plain function, so many calls deep, that awaits the plan.
[[gnu::noinline]] Outcome ExecuteBelow(int calls, const Plan& plan) {
  Outcome outcome =
      calls == 0 ? Await(Execute(plan)) : ExecuteBelow(calls - 1, plan);
  asm volatile("");  // no tail call
  return outcome;
}

Co<Outcome> ExecuteInItsWay(const Plan& plan) {
  if (plan.way == Plan::kInCall) {
    co_return co_await WithPortalRunSync(
        [&plan] { return ExecuteBelow(plan.value, plan); });
  }
  if (plan.way == Plan::kEnsured) {
    absl::Status ensured = co_await EnsurePortal();
    if (!ensured.ok()) co_return ensured;
    co_return ExecuteBelow(plan.value, plan);
  }
  if (plan.way == Plan::kBestowed && HasPortal()) {
    co_return ExecuteBelow(plan.value, plan);
  }
  co_return co_await Execute(plan);
}

Co<absl::Status> ExecuteInChild(const Plan& plan, int& sum, Counted counted) {
  Outcome outcome = co_await ExecuteInItsWay(plan);
  if (outcome.ok()) sum += *outcome + counted.value;
  co_return outcome.status();
}

Co<absl::Status> SleepForEver(Plan::Way way) {
  if (way == Plan::kNatively) co_return co_await SleepForever();
  co_return co_await WithPortalRunSync([] { return Await(SleepForever()); });
}

// `status`, or the number where that is OK.
Outcome NumberIfOk(absl::Status status, int number) {
  if (!status.ok()) return status;
  return number;
}

// kCancelled means that a scope around the plan is cancelled, because another
// task has failed.
Co<Outcome> Execute(const Plan& plan) {
  ++steps;
  const Counted counted(plan.value);
  switch (plan.kind) {
    case Plan::kReturn:
      co_return counted.value;
    case Plan::kCheckpoint:
      co_return NumberIfOk(co_await Checkpoint(), counted.value);
    case Plan::kSleep: {
      const absl::Duration soon = absl::Milliseconds(plan.value);
      co_return NumberIfOk(co_await Sleep(soon), counted.value);
    }
    case Plan::kSignal: {
      int number = 0;
      Signal signal;
      absl::Status status =
          co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
            nursery.StartSoon([&]() -> Co<void> {
              signal.Fire(counted.value);
              co_return;
            });
            number = co_await signal;
          });
      co_return NumberIfOk(std::move(status), number);
    }
    case Plan::kThrow:
#if defined(__cpp_exceptions)
      throw std::runtime_error("planned");
#endif
    case Plan::kFail:
      co_return absl::InternalError("planned");
    case Plan::kCatch: {
      Outcome outcome = absl::InternalError("thrown");
      GREENBACK_TRY { outcome = co_await ExecuteInItsWay(plan.parts[0]); }
      GREENBACK_CATCH_ALL {}
      if (!absl::IsInternal(outcome.status())) co_return outcome;
      co_return -counted.value;
    }
    case Plan::kChildren: {
      int sum = 0;
      absl::Status status =
          co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
            for (const Plan& part : plan.parts) {
              Task& task = nursery.StartSoon(ExecuteInChild, std::cref(part),
                                             std::ref(sum), Counted());
              if (part.way == Plan::kBestowed) BestowPortal(task);
            }
            co_return;
          });
      co_return NumberIfOk(std::move(status), sum);
    }
    case Plan::kCancel: {
      int cancelled = 0;
      absl::Status status =
          co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
            for (int i = 0; i < plan.value; ++i) {
              nursery.StartSoon([&]() -> Co<void> {
                const absl::Status slept = co_await SleepForEver(plan.way);
                if (absl::IsCancelled(slept)) ++cancelled;
              });
            }
            (void)co_await Checkpoint();
            nursery.cancel_scope().Cancel();
          });
      co_return NumberIfOk(std::move(status), cancelled);
    }
    case Plan::kDeadline: {
      const CancelScope scope = MoveOnAfter(absl::Milliseconds(plan.value));
      absl::Status slept = co_await SleepForEver(plan.way);
      if (!scope.cancelled_caught()) co_return slept;
      co_return counted.value;
    }
    case Plan::kDrop: {
      const Co<Outcome> dropped = Execute(plan.parts[0]);
      co_return counted.value;
    }
  }
  co_return absl::UnimplementedError("a kind that Execute() does not know");
}

// ------------------------------------------------------------------- testing

struct Results {
  int returned = 0;
  int failed = 0;
};

// In a task of its own, beside those of other programs.
Co<void> CheckProgram(const Plan& plan, Results& results) {
  Outcome outcome = absl::InternalError("thrown");
  GREENBACK_TRY { outcome = co_await ExecuteInItsWay(plan); }
  GREENBACK_CATCH_ALL {}
  const std::optional<int> predicted = Predict(plan);
  if (predicted.has_value()) {
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome.value_or(0), *predicted);
    ++results.returned;
  } else {
    EXPECT_TRUE(absl::IsInternal(outcome.status())) << outcome.status();
    ++results.failed;
  }
}

// Several programs at the same time, in a run of their own.
void RunPrograms(Planner& planner, Results& results) {
  constexpr int kPrograms = 100;
  constexpr int kDepth = 6;
  const size_t stacks_before = context::StackPool::Default().stats().in_use;
  std::vector<Plan> plans;
  for (int i = 0; i < kPrograms; ++i) plans.push_back(planner.MakePlan(kDepth));
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  greenback::Run(options, [&]() -> Co<void> {
    const absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          for (const Plan& plan : plans) {
            nursery.StartSoon(CheckProgram, std::cref(plan), std::ref(results));
          }
          co_return;
        });
    EXPECT_TRUE(status.ok()) << status;
    // The idle fibers that a loop keeps, and the one that it runs on.
    EXPECT_LE(internal::Loop::Current()->fiber_count(), 65u);
  });
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_EQ(context::StackPool::Default().stats().in_use, stacks_before);
}

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

TEST(ChurnTest, R14_RandomProgramsFollowTheModel) {
  // AddressSanitizer maps memory for every stack that it sees begin.
  const int64_t enough =
      FromEnvironment("CHURN_STEPS", kAddressSanitizer ? 10'000 : 30'000);
  const auto seed = static_cast<unsigned>(FromEnvironment("CHURN_SEED", 1));
  Planner planner(seed);
  Results results;
  steps = 0;
  for (int runs = 0; steps < enough; ++runs) {
    RunPrograms(planner, results);
    ASSERT_FALSE(HasFailure()) << "in run " << runs << " of seed " << seed;
  }
  std::cout << results.returned << " programs returned, " << results.failed
            << " failed\n";
  EXPECT_GT(results.returned, enough / 100);
  EXPECT_GT(results.failed, enough / 100);
}

TEST(ChurnTest, R14_RepetitionTakesNoMemory) {
  if (kAddressSanitizer || kThreadSanitizer) {
    GTEST_SKIP() << "the sanitizer has a malloc() of its own, of which "
                    "mallinfo2() knows nothing; AddressSanitizer looks for "
                    "leaks itself";
  }
  constexpr int kRepetitions = 40;
  const auto repeat = [](int times) {
    for (int i = 0; i < times; ++i) {
      Planner planner(/*seed=*/2);
      Results results;
      for (int run = 0; run < 3; ++run) RunPrograms(planner, results);
    }
  };
  const auto in_use = [] { return mallinfo2().uordblks; };
  const auto mapped = [] {
    return context::StackPool::Default().stats().mapped_bytes;
  };
  // What is kept for further use grows until there is enough of it.
  repeat(10);
  const size_t in_use_before = in_use();
  const size_t mapped_before = mapped();
  repeat(kRepetitions);
  // The C library counts freed blocks that it caches as in use, so that the
  // number varies; the smallest block, lost in each repetition, would be more.
  EXPECT_LT(in_use(), in_use_before + 32 * kRepetitions);
  EXPECT_EQ(mapped(), mapped_before);
}

}  // namespace
}  // namespace greenback
