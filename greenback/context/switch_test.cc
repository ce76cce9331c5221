#include "greenback/context/switch.h"

#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/context/internal/fiber_for_test.h"
#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/stack_pool.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

Stack NewStack() {
  StackOrError made = StackPool::Default().Acquire();
  EXPECT_EQ(made.error, "");
  return std::move(made.stack);
}

bool IsOn(const Stack& stack, const void* address) {
  return address >= stack.limit() && address < stack.top();
}

// The real stack's, also where a sanitizer keeps locals elsewhere.
__attribute__((noinline)) const void* FrameAddress() {
  return __builtin_frame_address(0);
}

// ---------------------------------------------------------------- one fiber

TEST(SavedContextTest, IsEmptyByDefault) { EXPECT_FALSE(SavedContext()); }

TEST(SavedContextTest, IsSavedFromCreationToFirstSwitch) {
  struct State {
    SavedContext test;
    SavedContext fiber;
    bool fiber_was_saved_inside = true;
    bool test_was_saved_inside = false;
  } state;
  const Stack stack = NewStack();
  state.fiber = SavedContext::Create(
      stack,
      [](void* argument) {
        State& state = *static_cast<State*>(argument);
        state.fiber_was_saved_inside = static_cast<bool>(state.fiber);
        state.test_was_saved_inside = static_cast<bool>(state.test);
        FinalSwitch(state.test);
      },
      &state);
  EXPECT_TRUE(state.fiber);
  Switch(state.test, state.fiber);
  EXPECT_FALSE(state.fiber_was_saved_inside);
  EXPECT_TRUE(state.test_was_saved_inside);
  EXPECT_FALSE(state.test);
}

TEST(SwitchTest, SwitchesThereAndBack) {
  std::string log;
  TestFiber fiber([&](TestFiber& self) {
    log += "1";
    self.Yield();
    log += "2";
    self.Yield();
    log += "3";
  });
  log += "a";
  fiber.Resume();
  log += "b";
  fiber.Resume();
  log += "c";
  fiber.Resume();
  EXPECT_EQ(log, "a1b2c3");
  EXPECT_TRUE(fiber.done());
}

TEST(SwitchTest, RunsOnTheStackItWasGiven) {
  const void* frame = nullptr;
  TestFiber fiber([&](TestFiber&) { frame = FrameAddress(); });
  fiber.Resume();
  EXPECT_TRUE(IsOn(fiber.stack(), frame));
  EXPECT_FALSE(IsOn(fiber.stack(), FrameAddress()));
}

TEST(SwitchTest, LocalsOfBothSidesSurvive) {
  // More than there are registers, all changed between the switches.
  const auto step = [](uint64_t(&values)[24]) {
    for (uint64_t& value : values) {
      value = value * 6364136223846793005u + 1442695040888963407u;
    }
  };
  const auto sum = [](const uint64_t(&values)[24], double factor) {
    uint64_t total = 0;
    for (uint64_t value : values) total = total * 31 + value;
    return static_cast<double>(total % 1000003) * factor;
  };
  const auto run = [&](uint64_t first, const std::function<void()>& pause) {
    uint64_t values[24];
    double factor = 1.0;
    for (uint64_t& value : values) value = first++;
    for (int i = 0; i < 100; ++i) {
      step(values);
      pause();
      factor += 0.25;
    }
    return sum(values, factor);
  };
  double on_fiber = 0;
  TestFiber fiber(
      [&](TestFiber& self) { on_fiber = run(7, [&] { self.Yield(); }); });
  const double on_thread = run(900, [&] { fiber.Resume(); });
  fiber.Resume();
  ASSERT_TRUE(fiber.done());
  EXPECT_EQ(on_fiber, run(7, [] {}));
  EXPECT_EQ(on_thread, run(900, [] {}));
}

TEST(SwitchTest, StacksAreAlignedAsTheAbiWants) {
  // Aligned vector moves into a misaligned frame would fault.
  struct alignas(16) Vector {
    double values[2];
  };
  bool aligned = false;
  TestFiber fiber([&](TestFiber&) {
    volatile Vector vector = {{1, 2}};
    aligned = reinterpret_cast<uintptr_t>(&vector) % 16 == 0 &&
              reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) % 16 == 0;
  });
  fiber.Resume();
  EXPECT_TRUE(aligned);
}

TEST(SwitchTest, MakesManyRoundTrips) {
  constexpr int kRounds = 100'000;
  int rounds = 0;
  TestFiber fiber([&](TestFiber& self) {
    while (rounds < kRounds) {
      ++rounds;
      self.Yield();
    }
  });
  while (!fiber.done()) fiber.Resume();
  EXPECT_EQ(rounds, kRounds);
}

// --------------------------------------------------------------- many fibers

TEST(SwitchTest, FibersNest) {
  std::string log;
  TestFiber outer([&](TestFiber& outer_self) {
    TestFiber middle([&](TestFiber& middle_self) {
      TestFiber inner([&](TestFiber& inner_self) {
        log += "i";
        inner_self.Yield();
        log += "I";
      });
      log += "m";
      inner.Resume();
      middle_self.Yield();
      inner.Resume();
      EXPECT_TRUE(inner.done());
      log += "M";
    });
    log += "o";
    middle.Resume();
    outer_self.Yield();
    middle.Resume();
    EXPECT_TRUE(middle.done());
    log += "O";
  });
  outer.Resume();
  log += "|";
  outer.Resume();
  EXPECT_TRUE(outer.done());
  EXPECT_EQ(log, "omi|IMO");
}

TEST(SwitchTest, FiberMayResumeAnotherThanTheOneThatMadeIt) {
  std::string log;
  std::unique_ptr<TestFiber> second;
  TestFiber first([&](TestFiber& self) {
    second = std::make_unique<TestFiber>([&](TestFiber& second_self) {
      log += "2";
      second_self.Yield();
      log += "4";
    });
    log += "1";
    second->Resume();
    log += "3";
    self.Yield();
  });
  first.Resume();
  second->Resume();
  EXPECT_TRUE(second->done());
  EXPECT_EQ(log, "1234");
}

TEST(SwitchTest, ManyFibersSwitchSymmetrically) {
  constexpr int kFibers = 100;
  constexpr int kLaps = 50;
  struct Ring {
    struct Member {
      Ring* ring;
      int index;
      SavedContext context;
      Stack stack;
    };
    SavedContext test;
    std::vector<Member> members{kFibers};
    std::vector<int> visits;
    int ended = 0;
  } ring;
  for (int i = 0; i < kFibers; ++i) {
    Ring::Member& member = ring.members[i];
    member.ring = &ring;
    member.index = i;
    member.stack = NewStack();
    member.context = SavedContext::Create(
        member.stack,
        [](void* argument) {
          Ring::Member& self = *static_cast<Ring::Member*>(argument);
          Ring::Member& next = self.ring->members[(self.index + 1) % kFibers];
          for (int lap = 0; lap < kLaps; ++lap) {
            self.ring->visits.push_back(self.index);
            Switch(self.context, next.context);
          }
          ++self.ring->ended;
          FinalSwitch(self.index + 1 == kFibers ? self.ring->test
                                                : next.context);
        },
        &member);
  }
  Switch(ring.test, ring.members[0].context);
  EXPECT_EQ(ring.ended, kFibers);
  ASSERT_EQ(ring.visits.size(), size_t{kFibers * kLaps});
  for (size_t i = 0; i < ring.visits.size(); ++i) {
    ASSERT_EQ(ring.visits[i], static_cast<int>(i % kFibers));
  }
}

// ------------------------------------------------------- SwitchThen and ends

struct HookState {
  std::string log;
  SavedContext test;
  SavedContext fiber;
  const void* hook_frame = nullptr;
};

TEST(SwitchThenTest, HookRunsBeforeTheFirstStepOfANewFiber) {
  HookState state;
  const Stack stack = NewStack();
  state.fiber = SavedContext::Create(
      stack,
      [](void* argument) {
        HookState& state = *static_cast<HookState*>(argument);
        state.log += "fiber;";
        FinalSwitch(state.test);
      },
      &state);
  SwitchThen(
      state.test, state.fiber,
      [](void* argument) {
        HookState& state = *static_cast<HookState*>(argument);
        state.log += state.test ? "hook, test saved;" : "hook, test not saved;";
        state.hook_frame = FrameAddress();
      },
      &state);
  EXPECT_EQ(state.log, "hook, test saved;fiber;");
  EXPECT_TRUE(IsOn(stack, state.hook_frame));
}

TEST(SwitchThenTest, HookRunsBeforeAFiberContinues) {
  HookState state;
  const Stack stack = NewStack();
  state.fiber = SavedContext::Create(
      stack,
      [](void* argument) {
        HookState& state = *static_cast<HookState*>(argument);
        SwitchThen(
            state.fiber, state.test,
            [](void* argument) {
              HookState& state = *static_cast<HookState*>(argument);
              state.log += state.fiber ? "hook, fiber saved;" : "not saved;";
              state.hook_frame = FrameAddress();
            },
            &state);
        state.log += "fiber;";
        FinalSwitch(state.test);
      },
      &state);
  Switch(state.test, state.fiber);
  state.log += "test;";
  Switch(state.test, state.fiber);
  EXPECT_EQ(state.log, "hook, fiber saved;test;fiber;");
  EXPECT_FALSE(IsOn(stack, state.hook_frame));
}

TEST(FinalSwitchTest, HookMayReturnTheStack) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  struct State {
    SavedContext test;
    SavedContext fiber;
    Stack stack;
    int ended = 0;
  } state;
  for (int i = 0; i < 10; ++i) {
    StackOrError made = pool.Acquire();
    ASSERT_EQ(made.error, "");
    state.stack = std::move(made.stack);
    state.fiber = SavedContext::Create(
        state.stack,
        [](void* argument) {
          State& state = *static_cast<State*>(argument);
          FinalSwitch(
              state.test,
              [](void* argument) {
                State& state = *static_cast<State*>(argument);
                state.stack = Stack();
                ++state.ended;
              },
              &state);
        },
        &state);
    Switch(state.test, state.fiber);
    EXPECT_EQ(pool.stats().in_use, 0u);
  }
  EXPECT_EQ(state.ended, 10);
}

TEST(FinalSwitchTest, HookMayUnmapTheStack) {
  // Without warm stacks, a slab is unmapped when its last stack is returned.
  StackPool pool({.stack_size = 64 << 10, .max_warm = 0});
  struct State {
    SavedContext test;
    SavedContext fiber;
    Stack stack;
  } state;
  state.stack = pool.Acquire().stack;
  state.fiber = SavedContext::Create(
      state.stack,
      [](void* argument) {
        FinalSwitch(
            static_cast<State*>(argument)->test,
            [](void* argument) {
              static_cast<State*>(argument)->stack = Stack();
            },
            argument);
      },
      &state);
  Switch(state.test, state.fiber);
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
}

TEST(FinalSwitchTest, StackServesManyFibersInTurn) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  int ran = 0;
  for (int i = 0; i < 1'000; ++i) {
    TestFiber fiber(pool, [&](TestFiber& self) {
      self.Yield();
      ++ran;
    });
    fiber.Resume();
    fiber.Resume();
  }
  EXPECT_EQ(ran, 1'000);
}

TEST(SavedContextTest, MayBeMovedBeforeItsFirstSwitch) {
  struct State {
    SavedContext test;
    bool ran = false;
  } state;
  const Stack stack = NewStack();
  SavedContext made = SavedContext::Create(
      stack,
      [](void* argument) {
        State& state = *static_cast<State*>(argument);
        state.ran = true;
        FinalSwitch(state.test);
      },
      &state);
  auto moved = std::make_unique<SavedContext>(std::move(made));
  made = SavedContext();
  Switch(state.test, *moved);
  EXPECT_TRUE(state.ran);
}

TEST(SavedContextTest, MayBeMovedWhileSaved) {
  struct State {
    SavedContext test;
    SavedContext fiber;
    int steps = 0;
  } state;
  const Stack stack = NewStack();
  state.fiber = SavedContext::Create(
      stack,
      [](void* argument) {
        State& state = *static_cast<State*>(argument);
        ++state.steps;
        Switch(state.fiber, state.test);
        ++state.steps;
        FinalSwitch(state.test);
      },
      &state);
  Switch(state.test, state.fiber);
  auto moved = std::make_unique<SavedContext>(std::move(state.fiber));
  state.fiber = SavedContext();
  Switch(state.test, *moved);
  EXPECT_EQ(state.steps, 2);
}

TEST(FinalSwitchTest, OwnContextMayServeAnotherFlowAtOnce) {
  // The context that a flow started from is the owner's again.
  struct State {
    SavedContext test;
    SavedContext fiber;
    Stack second_stack;
    std::string log;
  } state;
  const Stack stack = NewStack();
  state.second_stack = NewStack();
  state.fiber = SavedContext::Create(
      stack,
      [](void* argument) {
        State& state = *static_cast<State*>(argument);
        state.log += "1";
        state.fiber = SavedContext::Create(
            state.second_stack,
            [](void* argument) {
              State& state = *static_cast<State*>(argument);
              state.log += "2";
              FinalSwitch(state.test);
            },
            &state);
        FinalSwitch(state.fiber);
      },
      &state);
  Switch(state.test, state.fiber);
  EXPECT_EQ(state.log, "12");
}

// ------------------------------------------------- floating-point environment

#if defined(__x86_64__) || defined(__aarch64__)

// Whether a division rounds up, whatever fegetround() says: by SSE for a
// double, by x87 for a long double where there is one.
template <class T>
__attribute__((noinline)) bool RoundsUp() {
  volatile T one = 1;
  volatile T minus_one = -1;
  volatile T three = 3;
  volatile T positive = one / three;
  volatile T negative = minus_one / three;
  return positive > -negative;
}

TEST(SwitchTest, RoundingModeIsTheFibersOwn) {
  if (sanitizer::kValgrind) GTEST_SKIP() << "Valgrind does not round x87 so";
  bool kept = false;
  TestFiber fiber([&](TestFiber& self) {
    std::fesetround(FE_UPWARD);
    self.Yield();
    kept = std::fegetround() == FE_UPWARD && RoundsUp<double>() &&
           RoundsUp<long double>();
  });
  fiber.Resume();
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  EXPECT_FALSE(RoundsUp<double>());
  EXPECT_FALSE(RoundsUp<long double>());
  fiber.Resume();
  EXPECT_TRUE(kept);
}

TEST(SwitchTest, RoundingModeIsTheThreadsOwn) {
  int on_fiber = -1;
  TestFiber fiber([&](TestFiber& self) {
    self.Yield();
    on_fiber = std::fegetround();
  });
  fiber.Resume();
  std::fesetround(FE_DOWNWARD);
  fiber.Resume();
  const int on_thread = std::fegetround();
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(on_fiber, FE_TONEAREST);
  EXPECT_EQ(on_thread, FE_DOWNWARD);
}

#endif

// -------------------------------------------------------------- many threads

// The running thread's loop. Not inlined, and opaque: a fiber that asks again
// after a switch may be on another thread.
__attribute__((noinline)) SavedContext& ThreadLoop() {
  thread_local SavedContext loop;
  SavedContext* result = &loop;
  asm volatile("" : "+r"(result)::"memory");
  return *result;
}

TEST(SwitchThenTest, AnotherThreadMayResumeRightAwayThroughAnAtomic) {
  constexpr int kRounds = 1'000;
  struct Ball {
    SavedContext context;
    std::atomic<int> side{0};  // whose turn it is; 2: the end
    int hops = 0;              // guarded by `side`
  } ball;
  const Stack stack = NewStack();
  ball.context = SavedContext::Create(
      stack,
      [](void* argument) {
        Ball& ball = *static_cast<Ball*>(argument);
        while (ball.hops < kRounds) {
          ++ball.hops;
          SwitchThen(
              ball.context, ThreadLoop(),
              [](void* argument) {
                Ball& ball = *static_cast<Ball*>(argument);
                ball.side.store(1 - ball.side.load(std::memory_order_relaxed),
                                std::memory_order_release);
              },
              &ball);
        }
        FinalSwitch(
            ThreadLoop(),
            [](void* argument) {
              static_cast<Ball*>(argument)->side.store(
                  2, std::memory_order_release);
            },
            &ball);
      },
      &ball);
  const auto play = [&ball](int side) {
    for (;;) {
      const int turn = ball.side.load(std::memory_order_acquire);
      if (turn == 2) return;
      if (turn == side) {
        Switch(ThreadLoop(), ball.context);
      } else {
        std::this_thread::yield();
      }
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(ball.hops, kRounds);
}

// Threads that run whatever fiber is ready.
class Crew {
 public:
  struct Fiber {
    Crew* crew;
    std::function<void(Fiber&)> body;
    Stack stack;
    SavedContext context;
  };

  // Before Run().
  void Add(std::function<void(Fiber&)> body) {
    auto fiber = std::make_unique<Fiber>();
    fiber->crew = this;
    fiber->body = std::move(body);
    fiber->stack = NewStack();
    fiber->context = SavedContext::Create(
        fiber->stack,
        [](void* argument) {
          Fiber& fiber = *static_cast<Fiber*>(argument);
          fiber.body(fiber);
          FinalSwitch(
              ThreadLoop(),
              [](void* argument) {
                Fiber& fiber = *static_cast<Fiber*>(argument);
                std::lock_guard lock(fiber.crew->mutex_);
                fiber.stack = Stack();
                --fiber.crew->alive_;
                fiber.crew->changed_.notify_all();
              },
              argument);
        },
        fiber.get());
    ready_.push_back(fiber.get());
    fibers_.push_back(std::move(fiber));
    ++alive_;
  }

  // On the fiber: lets others run. Any thread may resume it.
  static void Yield(Fiber& fiber) {
    SwitchThen(
        fiber.context, ThreadLoop(),
        [](void* argument) {
          Fiber& fiber = *static_cast<Fiber*>(argument);
          std::lock_guard lock(fiber.crew->mutex_);
          fiber.crew->ready_.push_back(&fiber);
          fiber.crew->changed_.notify_one();
        },
        &fiber);
  }

  void Run(int threads) {
    std::vector<std::thread> others;
    for (int i = 0; i < threads; ++i) others.emplace_back([this] { Work(); });
    for (std::thread& other : others) other.join();
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    while (alive_ > 0) {
      if (ready_.empty()) {
        changed_.wait(lock);
        continue;
      }
      Fiber* const next = ready_.front();
      ready_.pop_front();
      lock.unlock();
      Switch(ThreadLoop(), next->context);
      lock.lock();
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fiber*> ready_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  int alive_ = 0;
};

TEST(SwitchThenTest, AnotherThreadMayResumeRightAwayThroughAMutex) {
  constexpr int kFibers = 64;
  constexpr int kHops = 50;
  Crew crew;
  std::vector<int> hops(kFibers);  // each touched by its fiber only
  for (int i = 0; i < kFibers; ++i) {
    crew.Add([&hops, i](Crew::Fiber& self) {
      std::string local = "x";
      for (int hop = 0; hop < kHops; ++hop) {
        ++hops[i];
        local += "y";
        Crew::Yield(self);
      }
      EXPECT_EQ(local.size(), size_t{kHops + 1});
    });
  }
  crew.Run(4);
  EXPECT_EQ(hops, std::vector<int>(kFibers, kHops));
}

// std::this_thread::get_id() is inline, and the compiler may keep its answer
// across a switch.
__attribute__((noinline)) std::thread::id ThisThread() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

TEST(SwitchTest, FiberMadeOnOneThreadEndsOnAnother) {
  std::thread::id began;
  std::thread::id ended;
  TestFiber fiber([&](TestFiber& self) {
    began = ThisThread();
    self.Yield();
    ended = ThisThread();
  });
  fiber.Resume();
  std::thread other([&] { fiber.Resume(); });
  const std::thread::id other_id = other.get_id();
  other.join();
  EXPECT_EQ(began, std::this_thread::get_id());
  EXPECT_EQ(ended, other_id);
}

// -------------------------------------------------------------------- misuse

#if !defined(NDEBUG)
TEST(SwitchDeathTest, SwitchingToAContextThatIsNotSavedDies) {
  SavedContext test;
  SavedContext empty;
  EXPECT_DEATH(Switch(test, empty), "context that is not saved");
}
#endif

TEST(SwitchDeathTest, EntryMustNotReturn) {
  EXPECT_DEATH(
      {
        SavedContext test;
        const Stack stack = NewStack();
        SavedContext fiber = SavedContext::Create(stack, [](void*) {}, nullptr);
        Switch(test, fiber);
      },
      "");
}

#if defined(__cpp_exceptions)
TEST(SwitchDeathTest, ExceptionOutOfEntryTerminates) {
  EXPECT_DEATH(
      {
        TestFiber fiber([](TestFiber&) { throw 42; });
        fiber.Resume();
      },
      "terminate called after throwing an instance of 'int'");
}
#endif

}  // namespace
}  // namespace greenback::context
