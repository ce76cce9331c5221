#include "greenback/runtime/testing/assert_checkpoints.h"

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/fail_scope.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/process.h"
#include "greenback/runtime/reschedule.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_in_thread.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/system_task.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "tests/support/no_more_threads.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The texts of the failures.
std::vector<std::string> MessagesOf(
    const ::testing::TestPartResultArray& failures) {
  std::vector<std::string> messages;
  for (int i = 0; i < failures.size(); ++i) {
    const ::testing::TestPartResult& failure = failures.GetTestPartResult(i);
    EXPECT_TRUE(failure.nonfatally_failed());
    // ADD_FAILURE puts a line of its own in front, and GoogleTest 1.16, other
    // than 1.12, a newline behind.
    messages.emplace_back(absl::StripSuffix(
        absl::StripPrefix(absl::string_view(failure.message()), "Failed\n"),
        "\n"));
  }
  return messages;
}

// The failures that an `Assert` around `block` adds, in the main task of a run,
// with a portal and by a clock that jumps.
template <class Assert, class Block>
std::vector<std::string> FailuresOf(const Block& block) {
  ::testing::TestPartResultArray failures;
  {
    ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::
            INTERCEPT_ONLY_CURRENT_THREAD,
        &failures);
    MockClock clock;
    RunOptions options;
    options.clock = &clock;
    greenback::Run(options, [&]() -> Co<void> {
      (void)co_await EnsurePortal();
      Assert here;
      if constexpr (std::is_void_v<std::invoke_result_t<const Block&>>) {
        block();
      } else {
        auto awaitable = block();
        (void)co_await std::move(awaitable);
      }
    });
  }
  return MessagesOf(failures);
}

constexpr char kNoSchedulePoint[] =
    "AssertCheckpoints: there was no schedule point";
constexpr char kNoCancellationPoint[] =
    "AssertCheckpoints: there was no cancellation point";
constexpr char kASchedulePoint[] =
    "AssertNoCheckpoints: there was a schedule point";
constexpr char kACancellationPoint[] =
    "AssertNoCheckpoints: there was a cancellation point";

// What AssertCheckpoints and AssertNoCheckpoints report of a block, in
// agreement.
template <class Block>
void ExpectCheckpoint(const Block& block) {
  EXPECT_THAT(FailuresOf<AssertCheckpoints>(block), IsEmpty());
  EXPECT_THAT(FailuresOf<AssertNoCheckpoints>(block),
              ElementsAre(kASchedulePoint, kACancellationPoint));
}
template <class Block>
void ExpectNothing(const Block& block) {
  EXPECT_THAT(FailuresOf<AssertCheckpoints>(block),
              ElementsAre(kNoSchedulePoint, kNoCancellationPoint));
  EXPECT_THAT(FailuresOf<AssertNoCheckpoints>(block), IsEmpty());
}
template <class Block>
void ExpectSchedulePointOnly(const Block& block) {
  EXPECT_THAT(FailuresOf<AssertCheckpoints>(block),
              ElementsAre(kNoCancellationPoint));
  EXPECT_THAT(FailuresOf<AssertNoCheckpoints>(block),
              ElementsAre(kASchedulePoint));
}
template <class Block>
void ExpectCancellationPointOnly(const Block& block) {
  EXPECT_THAT(FailuresOf<AssertCheckpoints>(block),
              ElementsAre(kNoSchedulePoint));
  EXPECT_THAT(FailuresOf<AssertNoCheckpoints>(block),
              ElementsAre(kACancellationPoint));
}

// The same block in synchronous code.
template <class Block>
auto InSynchronousCode(Block block) {
  return [block] { (void)Await(block()); };
}
// The same block in a cancelled scope.
template <class Block>
auto Cancelled(Block block) {
  return [block]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    auto awaitable = block();
    (void)co_await std::move(awaitable);
  };
}

// Expects a checkpoint on every path through `block`.
template <class Block>
void ExpectCheckpointOnEveryPath(const Block& block) {
  ExpectCheckpoint(block);
  ExpectCheckpoint(InSynchronousCode(block));
  ExpectCheckpoint(Cancelled(block));
  ExpectCheckpoint(InSynchronousCode(Cancelled(block)));
}

// -------------------------------------------------------- the classes as such

TEST(AssertCheckpointsTest, SaysWhereItBegan) {
  ::testing::TestPartResultArray failures;
  int first = 0;
  int second = 0;
  {
    ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
    greenback::Run([&]() -> Co<void> {
      first = __LINE__ + 2;
      {
        AssertCheckpoints yes;
      }
      co_await CancelShieldedCheckpoint();
      second = __LINE__ + 1;
      AssertNoCheckpoints no;
      co_await CancelShieldedCheckpoint();
    });
  }
  std::vector<int> lines;
  for (int i = 0; i < failures.size(); ++i) {
    EXPECT_THAT(failures.GetTestPartResult(i).file_name(),
                HasSubstr("assert_checkpoints_test.cc"));
    lines.push_back(failures.GetTestPartResult(i).line_number());
  }
  EXPECT_THAT(lines, ElementsAre(first, first, second));
}

TEST(AssertCheckpointsTest, FailsTheTest) {
  EXPECT_NONFATAL_FAILURE(greenback::Run([]() -> Co<void> {
                            AssertCheckpoints yes;
                            co_await CancelShieldedCheckpoint();
                          }),
                          "there was no cancellation point");
  EXPECT_NONFATAL_FAILURE(greenback::Run([]() -> Co<void> {
                            AssertNoCheckpoints no;
                            co_await CancelShieldedCheckpoint();
                          }),
                          "there was a schedule point");
}

TEST(AssertCheckpointsTest, NothingIsNoCheckpoint) {
  ExpectNothing([] {});
}

// Two halves of a checkpoint make one.
TEST(AssertCheckpointsTest, TwoHalvesAreACheckpoint) {
  ExpectCheckpoint([]() -> Co<void> {
    (void)co_await CheckpointIfCancelled();
    co_await CancelShieldedCheckpoint();
  });
}

TEST(AssertCheckpointsTest, TheyNest) {
  ExpectCheckpoint([]() -> Co<void> {
    {
      AssertNoCheckpoints before;
    }
    {
      AssertCheckpoints outer;
      AssertCheckpoints inner;
      (void)co_await Checkpoint();
    }
    AssertNoCheckpoints after;
  });
}

// Each counts the points of its own task.
TEST(AssertCheckpointsTest, CancellationPointsOfOtherTasksDoNotCount) {
  ExpectSchedulePointOnly([]() -> Co<void> {
    bool done = false;
    SpawnSystemTask([&done]() -> Co<void> {
      (void)co_await Checkpoint();
      done = true;
    });
    while (!done) co_await CancelShieldedCheckpoint();
  });
}

#if defined(__cpp_exceptions)

TEST(AssertCheckpointsTest, ChecksAlsoWhenTheBlockThrows) {
  const auto block = []() -> Co<void> {
    try {
      AssertCheckpoints yes;
      throw std::runtime_error("at once");
    } catch (const std::runtime_error&) {
    }
    co_return;
  };
  EXPECT_THAT(FailuresOf<AssertNoCheckpoints>(block),
              ElementsAre(kNoSchedulePoint, kNoCancellationPoint));
}

TEST(AssertCheckpointsTest, OutsideATaskIsAnError) {
  EXPECT_THROW(AssertCheckpoints yes, std::logic_error);
  EXPECT_THROW(AssertNoCheckpoints no, std::logic_error);
}

#else

TEST(AssertCheckpointsDeathTest, OutsideATaskIsAnError) {
  EXPECT_DEATH(AssertCheckpoints yes, "no task of a run");
}

#endif  // defined(__cpp_exceptions)

// --------------------------------------------------------------- checkpoint.h

TEST(CheckpointPromisesTest, CheckpointIsACheckpoint) {
  ExpectCheckpointOnEveryPath([] { return Checkpoint(); });
}

TEST(CheckpointPromisesTest, CheckpointAmongOtherTasksIsACheckpoint) {
  ExpectCheckpoint([]() -> Co<void> {
    SpawnSystemTask([]() -> Co<void> { (void)co_await SleepForever(); });
    (void)Await(Checkpoint());
    co_return;
  });
}

TEST(CheckpointPromisesTest, CheckpointIfCancelledIsACancellationPoint) {
  const auto block = [] { return CheckpointIfCancelled(); };
  ExpectCancellationPointOnly(block);
  ExpectCancellationPointOnly(InSynchronousCode(block));
  ExpectCheckpoint(Cancelled(block));
  ExpectCheckpoint(InSynchronousCode(Cancelled(block)));
}

TEST(CheckpointPromisesTest, CancelShieldedCheckpointIsASchedulePoint) {
  const auto block = [] { return CancelShieldedCheckpoint(); };
  ExpectSchedulePointOnly(block);
  ExpectSchedulePointOnly(InSynchronousCode(block));
  ExpectSchedulePointOnly(Cancelled(block));
}

// -------------------------------------------------------------------- sleep.h

TEST(CheckpointPromisesTest, SleepIsACheckpoint) {
  for (const absl::Duration duration :
       {absl::Seconds(1), absl::ZeroDuration(), -absl::Hours(1),
        -absl::InfiniteDuration()}) {
    ExpectCheckpointOnEveryPath([duration] { return Sleep(duration); });
  }
}

TEST(CheckpointPromisesTest, SleepUntilIsACheckpoint) {
  ExpectCheckpointOnEveryPath(
      [] { return SleepUntil(CurrentTime() + absl::Seconds(1)); });
  ExpectCheckpointOnEveryPath([] { return SleepUntil(absl::InfinitePast()); });
}

TEST(CheckpointPromisesTest, SleepForeverIsACheckpoint) {
  ExpectCheckpointOnEveryPath([]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Seconds(1));
    (void)co_await SleepForever();
  });
}

// -------------------------------------------------------------------- event.h

TEST(CheckpointPromisesTest, EventWaitIsACheckpoint) {
  Event set;
  set.Set();
  ExpectCheckpointOnEveryPath([&] { return set.Wait(); });
  ExpectCheckpointOnEveryPath([]() -> Co<void> {
    Event event;
    EXPECT_TRUE(CurrentRunToken().RunSoon([&event] { event.Set(); }).ok());
    (void)co_await event.Wait();
    // What was posted refers to the event.
    while (!event.is_set()) co_await CancelShieldedCheckpoint();
  });
}

TEST(CheckpointPromisesTest, EventSetIsNoCheckpoint) {
  ExpectNothing([] {
    Event event;
    event.Set();
  });
}

// ------------------------------------------------------------------ nursery.h

TEST(CheckpointPromisesTest, OpenNurseryIsASchedulePoint) {
  const auto empty = [] {
    return OpenNursery([](Nursery&) -> Co<void> { co_return; });
  };
  ExpectSchedulePointOnly(empty);
  ExpectSchedulePointOnly(InSynchronousCode(empty));
  ExpectSchedulePointOnly(Cancelled(empty));
  const auto with_child = [] {
    return OpenNursery([](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([] { return Checkpoint(); });
      co_return;
    });
  };
  ExpectSchedulePointOnly(with_child);
  ExpectSchedulePointOnly(InSynchronousCode(with_child));
  ExpectSchedulePointOnly(Cancelled(with_child));
}

// Start() in a nursery that stays open, so that only Start() is checked.
template <class Assert, class Child>
std::vector<std::string> FailuresOfStart(Child child, bool cancelled) {
  std::vector<std::string> messages;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    ::testing::TestPartResultArray failures;
    {
      ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
      CancelScope scope;
      if (cancelled) scope.Cancel();
      Assert here;
      auto start = nursery.Start(child);
      (void)co_await std::move(start);
    }
    messages = MessagesOf(failures);
  });
  return messages;
}

TEST(CheckpointPromisesTest, StartIsASchedulePoint) {
  for (const bool waits : {false, true}) {
    const auto child = [waits](TaskStatus<> status) -> Co<void> {
      if (waits) (void)co_await Checkpoint();
      status.Started();
    };
    EXPECT_THAT(FailuresOfStart<AssertNoCheckpoints>(child, false),
                ElementsAre(kASchedulePoint));
    // A child that does not check is started nevertheless; too late, the result
    // is kCancelled.
    EXPECT_THAT(FailuresOfStart<AssertNoCheckpoints>(child, true),
                ElementsAre(kASchedulePoint, kACancellationPoint));
  }
}

TEST(CheckpointPromisesTest, StartSoonIsNoCheckpoint) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    AssertNoCheckpoints no;
    nursery.StartSoon([] { return Checkpoint(); });
    co_return;
  });
}

// --------------------------------------------------------------- reschedule.h

TEST(CheckpointPromisesTest, WaitTaskRescheduledIsACheckpoint) {
  for (const Abort abort : {Abort::kSucceeded, Abort::kFailed}) {
    ExpectCheckpointOnEveryPath([abort]() -> Co<void> {
      // Woken by a callback, unless it is cancelled before.
      Task& task = CurrentTask();
      bool woken = false;
      bool asleep = true;
      EXPECT_TRUE(CurrentRunToken()
                      .RunSoon([&] {
                        if (asleep) Reschedule(task);
                        woken = true;
                      })
                      .ok());
      const auto on_cancel = [&] {
        if (abort == Abort::kSucceeded) asleep = false;
        return abort;
      };
      (void)co_await WaitTaskRescheduled(on_cancel);
      while (!woken) co_await CancelShieldedCheckpoint();
    });
  }
}

// ------------------------------------------------------------------- portal.h

TEST(CheckpointPromisesTest, P02_EnsurePortalIsACheckpoint) {
  ExpectCheckpointOnEveryPath([] { return EnsurePortal(); });
  greenback::Run([]() -> Co<void> {
    EXPECT_FALSE(HasPortal());
    AssertCheckpoints yes;
    EXPECT_TRUE((co_await EnsurePortal()).ok());
  });
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    AssertCheckpoints yes;
    EXPECT_TRUE(absl::IsCancelled(co_await EnsurePortal()));
  });
}

TEST(CheckpointPromisesTest, BestowPortalIsNoCheckpoint) {
  greenback::Run([]() -> Co<void> {
    AssertNoCheckpoints no;
    BestowPortal(CurrentTask());
    co_return;
  });
}

TEST(CheckpointPromisesTest, WithPortalRunAddsNoCheckpoint) {
  ExpectNothing([] { return WithPortalRun([]() -> Co<int> { co_return 1; }); });
  ExpectNothing([] { return WithPortalRunSync([] {}); });
  ExpectCheckpoint([] { return WithPortalRun([] { return Checkpoint(); }); });
  ExpectCheckpoint(
      [] { return WithPortalRunSync([] { (void)Await(Checkpoint()); }); });
}

// -------------------------------------------------------------------- await.h

TEST(CheckpointPromisesTest, AReadyAwaitableIsNoCheckpoint) {
  ExpectNothing([] {
    Signal signal;
    signal.Fire();
    Await(signal);
    const auto ready = []() -> Co<int> { co_return 1; };
    EXPECT_EQ(Await(ready()), 1);
  });
  ExpectNothing([]() -> Co<int> { co_return 1; });
}

// An awaitable of another library: other tasks run meanwhile, and it does not
// know of cancel scopes.
TEST(CheckpointPromisesTest, AForeignAwaitableIsASchedulePointWhenItWaits) {
  const auto block = []() -> Co<void> {
    Signal signal;
    EXPECT_TRUE(CurrentRunToken().RunSoon([&signal] { signal.Fire(); }).ok());
    co_await signal;
  };
  ExpectSchedulePointOnly(block);
  ExpectSchedulePointOnly(InSynchronousCode(block));
}

// ------------------------------------------------------------ run_in_thread.h

TEST(CheckpointPromisesTest, RunInThreadIsACheckpoint) {
  ExpectCheckpointOnEveryPath([] { return RunInThread([] {}); });
  ExpectCheckpointOnEveryPath([] { return RunInThread([] { return 1; }); });
  ExpectCheckpointOnEveryPath(
      [] { return RunInThread([] { return absl::AbortedError("no"); }); });
  NoMoreThreads no_more;
  ExpectCheckpointOnEveryPath([] { return RunInThread([] {}); });
}

// ------------------------------------------------------------------ process.h

TEST(CheckpointPromisesTest, RunProcessIsACheckpoint) {
  ExpectCheckpointOnEveryPath([] { return RunProcess({"true"}); });
  ExpectCheckpointOnEveryPath([] { return RunProcess({"no such program"}); });
  ExpectCheckpointOnEveryPath(
      [] { return RunProcess(ProcessOptions(std::vector<std::string>())); });
}

// -------------------------------------------------------- what never suspends

TEST(CheckpointPromisesTest, WhatNeverSuspendsIsNoCheckpoint) {
  ExpectNothing([] {
    SpawnSystemTask([]() -> Co<void> { co_return; });
    EXPECT_TRUE(CurrentRunToken().RunSoon([] {}).ok());
    CancelScope scope = MoveOnAfter(absl::Seconds(1));
    FailScope fails = FailAfter(absl::Seconds(1));
    EXPECT_TRUE(fails.Check(absl::OkStatus()).ok());
    scope.Cancel();
    (void)CurrentTime();
    (void)HasPortal();
  });
}

}  // namespace
}  // namespace greenback
