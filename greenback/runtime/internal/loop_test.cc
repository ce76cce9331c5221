#include "greenback/runtime/internal/loop.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/internal/reactor_context.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/process.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using internal::Loop;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A number that the loop has no public function for.
constexpr size_t kMostIdleFibers = 64;

uint64_t Switches() { return Loop::Current()->switch_count(); }
size_t Fibers() { return Loop::Current()->fiber_count(); }

// Runs `fn` in a task with a portal.
template <class Fn>
void RunWithPortal(const RunOptions& options, Fn fn) {
  greenback::Run(options, [&fn] { return WithPortalRunSync(std::ref(fn)); });
}
template <class Fn>
void RunWithPortal(Fn fn) {
  RunWithPortal(RunOptions(), std::move(fn));
}

// -------------------------------------------------------------- what switches

TEST(LoopSwitchTest, AReadyAwaitableDoesNot) {
  RunWithPortal([] {
    Signal signal;
    signal.Fire(1);
    const uint64_t before = Switches();
    EXPECT_EQ(Await(signal), 1);
    EXPECT_EQ(Switches(), before);
  });
}

TEST(LoopSwitchTest, ACoThatEndsAtOnceDoesNot) {
  RunWithPortal([] {
    const auto at_once = []() -> Co<int> { co_return 1; };
    const uint64_t before = Switches();
    EXPECT_EQ(Await(at_once()), 1);
    EXPECT_EQ(Switches(), before);
  });
}

TEST(LoopSwitchTest, WhatCompletesWhileItStartsDoesNot) {
  RunWithPortal([] {
    const uint64_t before = Switches();
    Await(SuspendWith{[](std::coroutine_handle<> handle) { handle.resume(); }});
    Await(SuspendWith{[](std::coroutine_handle<>) { return false; }});
    Await(SuspendWith{[](std::coroutine_handle<> handle) { return handle; }});
    EXPECT_EQ(Switches(), before);
  });
}

TEST(LoopSwitchTest, ACheckpointWithNoOtherTaskReadyDoesNot) {
  RunWithPortal([] {
    const uint64_t before = Switches();
    for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(Await(Checkpoint()).ok());
    EXPECT_EQ(Switches(), before);
  });
}

TEST(LoopSwitchTest, NativeAwaitsDoNot) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      nursery.StartSoon([]() -> Co<void> {
        EXPECT_TRUE((co_await EnsurePortal()).ok());
        for (int i = 0; i < 100; ++i) {
          EXPECT_TRUE((co_await Checkpoint()).ok());
        }
      });
    }
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_EQ(Switches(), 0u);
    EXPECT_EQ(Fibers(), 1u);
  });
}

TEST(LoopSwitchTest, AnAwaitThatWaitsSwitchesThereAndBack) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunWithPortal(options, [] {
    const uint64_t before = Switches();
    EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    EXPECT_EQ(Switches(), before + 2);
  });
}

// --------------------------------------------------------------------- fibers

TEST(LoopFiberTest, OneIsEnoughAtFirst) {
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(Fibers(), 1u);
    EXPECT_EQ(Loop::Current()->idle_fiber_count(), 0u);
    co_return;
  });
}

TEST(LoopFiberTest, TwoServeAsManyAwaitsAsOneTaskMakes) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunWithPortal(options, [] {
    for (int i = 0; i < 1'000; ++i) {
      EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
    }
    EXPECT_EQ(Fibers(), 2u);
    EXPECT_EQ(Loop::Current()->idle_fiber_count(), 1u);
  });
}

TEST(LoopFiberTest, ManyAreReturned) {
  constexpr size_t kTasks = 1'000;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    Event go;
    for (size_t i = 0; i < kTasks; ++i) {
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        EXPECT_TRUE(Await(go.Wait()).ok());
        co_return;
      }));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(go.waiters(), kTasks);
    // One for each, and one for the loop.
    EXPECT_EQ(Fibers(), kTasks + 1);
    go.Set();
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_LE(Loop::Current()->idle_fiber_count(), kMostIdleFibers);
    EXPECT_LE(Fibers(), kMostIdleFibers + 1);
  });
}

TEST(LoopFiberTest, WavesOfManyStayBounded) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    size_t most = 0;
    for (int wave = 0; wave < 20; ++wave) {
      Event go;
      for (int i = 0; i < 200; ++i) {
        BestowPortal(nursery.StartSoon([&]() -> Co<void> {
          EXPECT_TRUE(Await(go.Wait()).ok());
          co_return;
        }));
      }
      EXPECT_TRUE((co_await Checkpoint()).ok());
      most = std::max(most, Fibers());
      go.Set();
      while (nursery.child_count() > 0) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    }
    EXPECT_LE(most, 200u + kMostIdleFibers + 1);
    EXPECT_LE(Fibers(), kMostIdleFibers + 1);
  });
}

TEST(LoopFiberTest, TasksPassTheParkedFibersOn) {
  std::vector<int> log;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      BestowPortal(nursery.StartSoon([&log, i]() -> Co<void> {
        for (int round = 0; round < 3; ++round) {
          log.push_back(10 * round + i);
          EXPECT_TRUE(Await(Checkpoint()).ok());
        }
        co_return;
      }));
    }
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_LE(Fibers(), 4u);
  });
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 10, 11, 12, 20, 21, 22));
}

TEST(LoopFiberTest, AnAwaitedCoroutineMayAwait) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunWithPortal(options, [] {
    const auto inner = []() -> Co<int> {
      // Runs on the stack of the frames that await it.
      EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
      EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
      EXPECT_TRUE(Await(Sleep(absl::Seconds(1))).ok());
      co_return 3;
    };
    EXPECT_EQ(Await(inner()), 3);
  });
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Seconds(3));
}

// ----------------------------------------------------------------- max_fibers

RunOptions AtMost(size_t fibers) {
  RunOptions options;
  options.max_fibers = fibers;
  return options;
}

TEST(LoopMaxFibersTest, AStatusSaysThatThereIsNoFiber) {
  RunWithPortal(AtMost(1), [] {
    absl::Status status = Await(Checkpoint());
    EXPECT_TRUE(absl::IsResourceExhausted(status));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("RunOptions::max_fibers"));
  });
}

TEST(LoopMaxFibersTest, AStatusOrSaysThatThereIsNoFiber) {
  RunWithPortal(AtMost(1), [] {
    const auto body = []() -> Co<absl::StatusOr<int>> { co_return 1; };
    EXPECT_TRUE(absl::IsResourceExhausted(Await(body()).status()));
  });
}

TEST(LoopMaxFibersTest, TryAwaitSaysThatThereIsNoFiber) {
  RunWithPortal(AtMost(1), [] {
    const auto body = []() -> Co<int> { co_return 1; };
    EXPECT_TRUE(absl::IsResourceExhausted(TryAwait(body()).status()));
    EXPECT_TRUE(absl::IsResourceExhausted(TryAwait(Checkpoint())));
  });
}

TEST(LoopMaxFibersTest, AReadyAwaitableNeedsNoFiber) {
  RunWithPortal(AtMost(1), [] {
    Signal signal;
    signal.Fire(1);
    EXPECT_EQ(Await(signal), 1);
  });
}

TEST(LoopMaxFibersTest, WhatCouldNotBeAwaitedIsDestroyedUnstarted) {
  RunWithPortal(AtMost(1), [] {
    bool started = false;
    const auto body = [&started](Counted) -> Co<absl::Status> {
      started = true;
      co_return absl::OkStatus();
    };
    EXPECT_TRUE(absl::IsResourceExhausted(Await(body(Counted()))));
    EXPECT_FALSE(started);
    EXPECT_EQ(Counted::live(), 0);
  });
}

#if defined(__cpp_exceptions)
TEST(LoopMaxFibersTest, OtherResultsThrow) {
  RunWithPortal(AtMost(1), [] {
    const auto body = [](Counted) -> Co<int> { co_return 1; };
    std::string what;
    try {
      Await(body(Counted()));
    } catch (const StackExhausted& error) {
      what = error.what();
    }
    EXPECT_THAT(what, HasSubstr("RunOptions::max_fibers"));
    EXPECT_EQ(Counted::live(), 0);
  });
}
#else
TEST(LoopMaxFibersDeathTest, OtherResultsDie) {
  EXPECT_DEATH(RunWithPortal(AtMost(1),
                             [] {
                               Signal signal;
                               Await(signal);
                             }),
               "RunOptions::max_fibers");
}
#endif  // defined(__cpp_exceptions)

TEST(LoopMaxFibersTest, TheLoopContinues) {
  std::vector<std::string> log;
  RunNurseryOk(AtMost(3), [&](Nursery& nursery) -> Co<void> {
    Event go;
    for (int i = 0; i < 4; ++i) {
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        absl::Status status = Await(go.Wait());
        log.push_back(status.ok() ? "waited" : "exhausted");
        if (status.ok()) co_return;
        // A native await needs no fiber, and later there is a fiber again.
        EXPECT_TRUE((co_await go.Wait()).ok());
        EXPECT_TRUE(Await(Checkpoint()).ok());
      }));
    }
    EXPECT_TRUE((co_await Checkpoint()).ok());
    EXPECT_EQ(Fibers(), 3u);
    EXPECT_EQ(go.waiters(), 4u);
    go.Set();
  });
  EXPECT_THAT(log, ElementsAre("exhausted", "exhausted", "waited", "waited"));
}

// ------------------------------------------------------------------- fairness

// Far more steps than the loop may take before it checks timers and I/O.
constexpr int kManySteps = 1'000;

TEST(LoopFairnessTest, CheckpointsDoNotStarveTimers) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    bool woken = false;
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
      woken = true;
    });
    EXPECT_TRUE((co_await Checkpoint()).ok());
    clock.Jump(absl::Seconds(1));
    for (int i = 0; i < kManySteps && !woken; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_TRUE(woken);
  });
}

TEST(LoopFairnessTest, SynchronousCheckpointsDoNotStarveTimers) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    bool woken = false;
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await Sleep(absl::Seconds(1))).ok());
      woken = true;
    });
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    clock.Jump(absl::Seconds(1));
    for (int i = 0; i < kManySteps && !woken; ++i) {
      EXPECT_TRUE(Await(Checkpoint()).ok());
    }
    EXPECT_TRUE(woken);
  });
}

TEST(LoopFairnessTest, CheckpointsDoNotStarvePosts) {
  greenback::Run([]() -> Co<void> {
    bool posted = false;
    Loop::Current()->RunSoonFromAnyThread([&] { posted = true; });
    EXPECT_FALSE(posted);
    for (int i = 0; i < kManySteps && !posted; ++i) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_TRUE(posted);
  });
}

TEST(LoopFairnessTest, SynchronousCheckpointsDoNotStarvePosts) {
  RunWithPortal([] {
    bool posted = false;
    Loop::Current()->RunSoonFromAnyThread([&] { posted = true; });
    for (int i = 0; i < kManySteps && !posted; ++i) {
      EXPECT_TRUE(Await(Checkpoint()).ok());
    }
    EXPECT_TRUE(posted);
  });
}

// Takes as long as the process does.
TEST(LoopFairnessTest, CheckpointsDoNotStarveIo) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    bool ended = false;
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await RunProcess({"true"})).ok());
      ended = true;
    });
    while (!ended) EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

TEST(LoopFairnessTest, SynchronousCheckpointsDoNotStarveIo) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    bool ended = false;
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await RunProcess({"true"})).ok());
      ended = true;
    });
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    while (!ended) EXPECT_TRUE(Await(Checkpoint()).ok());
  });
}

TEST(LoopFairnessTest, SynchronousCheckpointsDoNotStarveOthers) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    int steps = 0;
    nursery.StartSoon([&]() -> Co<void> {
      for (; steps < 100; ++steps) EXPECT_TRUE((co_await Checkpoint()).ok());
    });
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    int own_steps = 0;
    while (steps < 100) {
      ++own_steps;
      EXPECT_TRUE(Await(Checkpoint()).ok());
    }
    EXPECT_LE(own_steps, 101);
  });
}

// -------------------------------------------------------------- other threads

TEST(LoopThreadTest, PostsRunOnceAndInOrderOnTheRunsThread) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 1'000;
  std::vector<std::thread> threads;
  std::vector<int> next(kThreads, 0);
  bool in_order = true;
  bool on_the_thread = true;
  greenback::Run([&]() -> Co<void> {
    Loop* const loop = Loop::Current();
    const std::thread::id self = std::this_thread::get_id();
    Event all;
    int count = 0;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t, loop, self] {
        for (int i = 0; i < kPosts; ++i) {
          loop->RunSoonFromAnyThread([&, t, i, self] {
            if (std::this_thread::get_id() != self) on_the_thread = false;
            if (next[t]++ != i) in_order = false;
            if (++count == kThreads * kPosts) all.Set();
          });
        }
      });
    }
    EXPECT_TRUE((co_await all.Wait()).ok());
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(on_the_thread);
  EXPECT_TRUE(in_order);
}

TEST(LoopThreadTest, NoTaskRunsInAPost) {
  greenback::Run([]() -> Co<void> {
    Event ran;
    Loop::Current()->RunSoonFromAnyThread([&] {
      EXPECT_FALSE(HasPortal());
      ran.Set();
    });
    Task* const self = &CurrentTask();
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    EXPECT_TRUE(Await(ran.Wait()).ok());
    EXPECT_EQ(&CurrentTask(), self);
  });
}

// A thread that fires the signals that it is given, soon and at no particular
// moment.
class Firer {
 public:
  Firer() : thread_([this] { Main(); }) {}
  ~Firer() {
    stop_ = true;
    thread_.join();
  }

  void Offer(Signal& signal) {
    std::lock_guard lock(mutex_);
    offered_.push_back(&signal);
  }

 private:
  void Main() {
    std::minstd_rand random(1);
    int count = 0;
    while (!stop_) {
      Signal* const signal = Take();
      if (signal == nullptr) {
        std::this_thread::yield();
        continue;
      }
      Spin(random() % 300);
      signal->Fire(++count);
    }
  }
  Signal* Take() {
    std::lock_guard lock(mutex_);
    if (offered_.empty()) return nullptr;
    Signal* const signal = offered_.front();
    offered_.erase(offered_.begin());
    return signal;
  }

 public:
  static void Spin(unsigned turns) {
    for (unsigned i = 0; i < turns; ++i) asm volatile("");
  }

 private:
  std::mutex mutex_;
  std::vector<Signal*> offered_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

constexpr int kRounds = 100'000;

TEST(LoopThreadTest, R06_AnAwaitIsWokenAtAnyMoment) {
  Firer firer;
  int last = 0;
  RunWithPortal([&] {
    std::minstd_rand random(2);
    for (int i = 0; i < kRounds; ++i) {
      Signal signal;
      firer.Offer(signal);
      Firer::Spin(random() % 300);
      last = Await(signal);
    }
  });
  EXPECT_EQ(last, kRounds);
}

TEST(LoopThreadTest, R06_ANativeAwaitIsWokenAtAnyMoment) {
  Firer firer;
  int last = 0;
  greenback::Run([&]() -> Co<void> {
    std::minstd_rand random(2);
    for (int i = 0; i < kRounds; ++i) {
      Signal signal;
      firer.Offer(signal);
      Firer::Spin(random() % 300);
      last = co_await signal;
    }
  });
  EXPECT_EQ(last, kRounds);
}

TEST(LoopThreadTest, R06_SeveralTasksAreWokenAtAnyMoment) {
  Firer firer;
  int woken = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (unsigned task = 0; task < 4; ++task) {
      BestowPortal(nursery.StartSoon([&, task]() -> Co<void> {
        Task* const self = &CurrentTask();
        std::minstd_rand random(task + 1);
        for (int i = 0; i < kRounds / 8; ++i) {
          Signal signal;
          firer.Offer(signal);
          Firer::Spin(random() % 300);
          if (random() % 2 == 0) {
            Await(signal);
          } else {
            co_await signal;
          }
          ++woken;
          EXPECT_EQ(&CurrentTask(), self);
          if (random() % 4 == 0) Await(CancelShieldedCheckpoint());
        }
      }));
    }
    co_return;
  });
  EXPECT_EQ(woken, kRounds / 8 * 4);
}

// The last signal ends the run, perhaps before Fire() has returned.
TEST(LoopThreadTest, R06_ARunMayEndWhileItIsBeingWoken) {
  Firer firer;
  for (int i = 0; i < 1'000; ++i) {
    Signal signal;
    firer.Offer(signal);
    if (i % 2 == 0) {
      EXPECT_EQ(greenback::Run([&]() -> Signal& { return signal; }), i + 1);
    } else {
      RunWithPortal([&] { EXPECT_EQ(Await(signal), i + 1); });
    }
  }
}

// -------------------------------------------------------------- narrow places

// Posts itself again and again, without end.
struct PostsItself {
  boost::asio::io_context& io;
  int& calls;

  void operator()() const {
    // More often than any run needs.
    if (++calls < 100'000) boost::asio::post(io, *this);
  }
};

TEST(LoopTest, R34_ARunEndsAlthoughACallbackPostsItselfAgain) {
  int calls = 0;
  greenback::Run([&]() -> Co<void> {
    boost::asio::io_context& io =
        internal::Loop::Current()->reactor().context().io;
    boost::asio::post(io, PostsItself{io, calls});
    co_return;
  });
  EXPECT_EQ(calls, 1);
}

TEST(LoopTest, R34_WhatWasPostedBeforeTheEndIsCalledAndNothingAfter) {
  std::vector<std::string> log;
  greenback::Run([&]() -> Co<void> {
    boost::asio::io_context& io =
        internal::Loop::Current()->reactor().context().io;
    boost::asio::post(io, [&] {
      log.push_back("first");
      boost::asio::post(io, [&] { log.push_back("too late"); });
    });
    internal::Loop::Current()->RunSoonFromAnyThread(
        [&] { log.push_back("second"); });
    boost::asio::post(io, [&] { log.push_back("third"); });
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("first", "second", "third"));
}

// Everything that may happen between an awaitable's await_suspend and the park
// happens at once: the operation completes outside, in the very poll that finds
// another task ready, while something of its own task is ready, too.
TEST(LoopTest, AWakeInThePollBeforeAParkIsNotLost) {
  int rounds = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    EXPECT_TRUE((co_await EnsurePortal()).ok());
    const auto of_the_same_task = []() -> Detached {
      co_await CancelShieldedCheckpoint();
    };
    for (; rounds < 300; ++rounds) {
      Event event;
      nursery.StartSoon([&event] { return event.Wait(); });
      EXPECT_TRUE((co_await Checkpoint()).ok());
      // The loop polls once in so many steps: in some round it is right there.
      for (int i = 0; i < rounds; ++i) Await(CancelShieldedCheckpoint());
      Await(SuspendWith{[&](std::coroutine_handle<> handle) {
        of_the_same_task();
        Loop::Current()->RunSoonFromAnyThread([&event, handle] {
          event.Set();
          handle.resume();
        });
      }});
      while (nursery.child_count() > 0) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
    }
  });
  EXPECT_EQ(rounds, 300);
}

}  // namespace
}  // namespace greenback
