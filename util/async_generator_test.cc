#include "util/async_generator.h"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/hosts.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<AsyncGenerator<int>>);
static_assert(std::is_nothrow_move_constructible_v<AsyncGenerator<int>>);
static_assert(std::is_nothrow_move_assignable_v<AsyncGenerator<int>>);

template <class Host>
class AsyncGeneratorTest : public testing::Test {
 public:
  using Void = typename Host::template Coroutine<void>;

  // Yields 0, 1, ... below `end`, with a checkpoint before each value and at
  // the end.
  static AsyncGenerator<int> Upto(int end) {
    Counted counted;
    for (int i = 0; i < end; ++i) {
      co_await Host::Checkpoint();
      co_yield i;
    }
    co_await Host::Checkpoint();
  }

  // Yields the sum of the values sent so far, with a checkpoint before each.
  // After a Next() the sum is -1.
  static AsyncGenerator<int, int> Sum() {
    Counted counted;
    int sum = 0;
    while (true) {
      const std::optional<int> sent = co_yield sum;
      co_await Host::Checkpoint();
      sum = sent ? sum + *sent : -1;
    }
  }

  ~AsyncGeneratorTest() override { EXPECT_EQ(Counted::live(), 0); }
};

TYPED_TEST_SUITE(AsyncGeneratorTest, TestedHosts);

// Tests that share nothing between tasks.
template <class Host>
class AnyThreadAsyncGeneratorTest : public AsyncGeneratorTest<Host> {};
TYPED_TEST_SUITE(AnyThreadAsyncGeneratorTest, TestedHostsOfAnyThreads);

// Short names for the members of the fixture.
#define FIXTURE                                                   \
  using Fixture [[maybe_unused]] = AsyncGeneratorTest<TypeParam>; \
  using Host [[maybe_unused]] = TypeParam;                        \
  using Void [[maybe_unused]] = typename Fixture::Void

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_NextReturnsEachValue) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> upto = Fixture::Upto(3);
    EXPECT_EQ(Counted::live(), 0);  // lazy
    std::vector<int> seen;
    while (std::optional<int> i = co_await Host::Adapt(upto.Next()))
      seen.push_back(*i);
    EXPECT_THAT(seen, ElementsAre(0, 1, 2));
    EXPECT_TRUE(upto.done());
    EXPECT_EQ(Counted::live(), 0);  // at the end, not when it is destroyed
    EXPECT_EQ(co_await Host::Adapt(upto.Next()), std::nullopt);
    EXPECT_EQ(co_await Host::Adapt(upto.Next()), std::nullopt);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_ASynchronousFunctionMayAwaitNext) {
  FIXTURE;
  Host::Run([]() -> Void {
    co_await Host::WithPortalRunSync([] {
      AsyncGenerator<int> upto = Fixture::Upto(3);
      std::vector<int> seen;
      while (std::optional<int> i = Await(upto.Next())) seen.push_back(*i);
      EXPECT_THAT(seen, ElementsAre(0, 1, 2));
      EXPECT_FALSE(Await(upto.Next()).has_value());
    });
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_AnEmptyOneEndsAtOnce) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> none = Fixture::Upto(0);
    EXPECT_FALSE(none.done());
    EXPECT_EQ(co_await Host::Adapt(none.Next()), std::nullopt);
    EXPECT_TRUE(none.done());
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_ItMayBeDestroyedAtAnyPoint) {
  FIXTURE;
  Host::Run([]() -> Void {
    for (int steps = 0; steps < 5; ++steps) {
      AsyncGenerator<int> upto = Fixture::Upto(3);
      for (int i = 0; i < steps; ++i) (void)co_await Host::Adapt(upto.Next());
      EXPECT_EQ(Counted::live(), steps == 0 || steps > 3 ? 0 : 1);
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_OneThatWasMovedFromIsAtItsEnd) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> first = Fixture::Upto(3);
    EXPECT_EQ(co_await Host::Adapt(first.Next()), 0);
    AsyncGenerator<int> second = std::move(first);
    EXPECT_EQ(co_await Host::Adapt(second.Next()), 1);
    EXPECT_TRUE(first.done());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(co_await Host::Adapt(first.Next()), std::nullopt);
    co_await Host::Adapt(first.Close());
    first = std::move(second);
    EXPECT_EQ(co_await Host::Adapt(first.Next()), 2);
  });
}

AsyncGenerator<Counted> MoveOnly() {
  Counted kept(1);
  co_yield std::move(kept);
  // The value was moved from here into the result.
  EXPECT_EQ(kept.value, -1);  // NOLINT(bugprone-use-after-move)
  co_yield Counted(2);
  co_yield Counted(3);
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_ValuesMayBeMoveOnly) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<Counted> values = MoveOnly();
    int sum = 0;
    while (std::optional<Counted> value = co_await Host::Adapt(values.Next())) {
      sum += value->value;
    }
    EXPECT_EQ(sum, 6);
  });
}

AsyncGenerator<std::string> Words() {
  const std::string constant = "one";
  std::string word = "two";
  co_yield constant;
  co_yield word;
  EXPECT_EQ(word, "two");  // copied
  co_yield "three";        // converted
  co_yield std::move(word);
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_LvaluesAreCopied) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<std::string> words = Words();
    std::vector<std::string> seen;
    while (std::optional<std::string> word =
               co_await Host::Adapt(words.Next())) {
      seen.push_back(*std::move(word));
    }
    EXPECT_THAT(seen, ElementsAre("one", "two", "three", "two"));
  });
}

AsyncGenerator<int&> Elements(std::vector<int>& elements) {
  for (int& element : elements) co_yield element;
}
AsyncGenerator<const std::string&> ConstWords() {
  const std::string word = "a word";
  co_yield word;
  co_yield "a temporary, which lives until the next step";
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_ValuesMayBeReferences) {
  FIXTURE;
  Host::Run([]() -> Void {
    std::vector<int> elements = {1, 2, 3};
    AsyncGenerator<int&> references = Elements(elements);
    while (int* element = co_await Host::Adapt(references.Next()))
      *element *= 2;
    EXPECT_THAT(elements, ElementsAre(2, 4, 6));
    EXPECT_EQ(co_await Host::Adapt(references.Next()), nullptr);

    AsyncGenerator<const std::string&> words = ConstWords();
    std::string all;
    while (const std::string* word = co_await Host::Adapt(words.Next()))
      all += *word;
    EXPECT_EQ(all, "a worda temporary, which lives until the next step");
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_GeneratorsMayStepOtherGenerators) {
  FIXTURE;
  const auto doubled = [](AsyncGenerator<int> from) -> AsyncGenerator<int> {
    while (std::optional<int> i = co_await from.Next()) co_yield 2 * *i;
  };
  Host::Run([&doubled]() -> Void {
    AsyncGenerator<int> values = doubled(doubled(Fixture::Upto(3)));
    EXPECT_EQ(co_await Host::Adapt(values.Next()), 0);
    EXPECT_EQ(co_await Host::Adapt(values.Next()), 4);
    EXPECT_EQ(Counted::live(), 1);
  });
}

TYPED_TEST(AsyncGeneratorTest, U05_ItAwaitsAwaitablesOfOtherLibraries) {
  FIXTURE;
  Signal signals[3];
  const auto values = [&signals]() -> AsyncGenerator<int> {
    for (Signal& signal : signals) co_yield co_await signal;
  };
  std::vector<int> seen;
  Host::Run([&]() -> Void {
    const auto body = [&](auto& group) -> Void {
      group.Spawn([&]() -> Void {
        AsyncGenerator<int> generator = values();
        while (std::optional<int> i = co_await Host::Adapt(generator.Next())) {
          seen.push_back(*i);
        }
      });
      for (int i = 0; i < 3; ++i) {
        while (!signals[i].awaited()) co_await Host::Checkpoint();
        EXPECT_EQ(seen.size(), static_cast<size_t>(i));
        signals[i].Fire(10 * i);
      }
    };
    co_await Host::InGroup(body);
  });
  EXPECT_THAT(seen, ElementsAre(0, 10, 20));
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_SendPassesAValueIn) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int, int> sum = Fixture::Sum();
    EXPECT_EQ(co_await Host::Adapt(sum.Next()), 0);
    EXPECT_EQ(co_await Host::Adapt(sum.Send(3)), 3);
    EXPECT_EQ(co_await Host::Adapt(sum.Send(4)), 7);
    EXPECT_EQ(co_await Host::Adapt(sum.Next()), -1);
    EXPECT_EQ(co_await Host::Adapt(sum.Send(4)), 3);
    co_await Host::Adapt(sum.Close());
    EXPECT_EQ(co_await Host::Adapt(sum.Send(4)), std::nullopt);
  });
}

AsyncGenerator<int, Counted> TakeMoveOnly() {
  std::optional<Counted> sent = co_yield 0;
  while (sent) sent = std::optional<Counted>(co_yield sent->value);
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_SendTakesMoveOnlyValues) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int, Counted> values = TakeMoveOnly();
    EXPECT_EQ(co_await Host::Adapt(values.Next()), 0);
    EXPECT_EQ(co_await Host::Adapt(values.Send(Counted(3))), 3);
    Counted four(4);
    EXPECT_EQ(co_await Host::Adapt(values.Send(std::move(four))), 4);
    {
      auto unawaited = values.Send(Counted(5));  // does nothing
    }
    EXPECT_EQ(co_await Host::Adapt(values.Next()), std::nullopt);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_UseAfterTheEndIsAnEnd) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int, int> sum = Fixture::Sum();
    (void)co_await Host::Adapt(sum.Next());
    co_await Host::Adapt(sum.Close());
    EXPECT_TRUE(sum.done());
    EXPECT_EQ(Counted::live(), 0);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(co_await Host::Adapt(sum.Next()), std::nullopt);
      EXPECT_EQ(co_await Host::Adapt(sum.Send(1)), std::nullopt);
#if defined(__cpp_exceptions)
      EXPECT_EQ(co_await Host::Adapt(sum.Throw(std::runtime_error("late"))),
                std::nullopt);
#endif
      co_await Host::Adapt(sum.Close());
    }
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_CloseMayComeBeforeTheFirstNext) {
  FIXTURE;
  Host::Run([]() -> Void {
    bool ran = false;
    const auto generate = [&ran]() -> AsyncGenerator<int> {
      ran = true;
      co_yield 1;
    };
    AsyncGenerator<int> generator = generate();
    EXPECT_FALSE(generator.NeedsClose());
    co_await Host::Adapt(generator.Close());
    EXPECT_TRUE(generator.done());
    EXPECT_FALSE(ran);
  });
}

// Destructors run in Close(), in any build; through a portal they may Await().
TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_CloseRunsDestructorsThatAwait) {
  FIXTURE;
  Host::Run([]() -> Void {
    (void)co_await Host::EnsurePortal();
    bool awaited = false;
    struct Cleanup {
      bool& awaited;
      ~Cleanup() {
        Await(Host::Checkpoint());
        awaited = true;
      }
    };
    const auto generate = [&awaited]() -> AsyncGenerator<int> {
      Cleanup cleanup{awaited};
      co_yield 1;
    };
    AsyncGenerator<int> generator = generate();
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 1);
    co_await Host::Adapt(generator.Close());
    EXPECT_TRUE(awaited);
    EXPECT_TRUE(generator.done());
  });
}

#if defined(__cpp_exceptions)

TYPED_TEST(AnyThreadAsyncGeneratorTest, U05_AFailureHalfWayIsThrown) {
  FIXTURE;
  const auto generate = []() -> AsyncGenerator<int> {
    Counted counted;
    co_yield 1;
    co_await Host::Checkpoint();
    throw std::runtime_error("half way");
  };
  Host::Run([&generate]() -> Void {
    AsyncGenerator<int> generator = generate();
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 1);
    std::string what;
    try {
      (void)co_await Host::Adapt(generator.Next());
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "half way");
    EXPECT_TRUE(generator.done());
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), std::nullopt);
  });
}

// Yields 1, 2, ...; after a std::runtime_error, 100 and the end.
AsyncGenerator<int> Catches() {
  Counted counted;
  for (int i = 1;; ++i) {
    bool caught = false;
    try {
      co_yield i;
    } catch (const std::runtime_error&) {
      caught = true;
    }
    if (caught) break;
  }
  co_yield 100;
}

TYPED_TEST(AnyThreadAsyncGeneratorTest,
           U06_AnExceptionThatIsThrownInPropagates) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> upto = Fixture::Upto(3);
    EXPECT_EQ(co_await Host::Adapt(upto.Next()), 0);
    std::string what;
    try {
      (void)co_await Host::Adapt(upto.Throw(std::runtime_error("passed on")));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "passed on");
    EXPECT_TRUE(upto.done());
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(co_await Host::Adapt(upto.Next()), std::nullopt);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest,
           U06_AnExceptionThatIsThrownInMayBeCaught) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> catches = Catches();
    EXPECT_EQ(co_await Host::Adapt(catches.Next()), 1);
    EXPECT_EQ(co_await Host::Adapt(catches.Next()), 2);
    EXPECT_EQ(co_await Host::Adapt(catches.Throw(
                  std::make_exception_ptr(std::runtime_error("caught")))),
              100);
    EXPECT_EQ(co_await Host::Adapt(catches.Next()), std::nullopt);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_ThrowBeforeTheFirstNextEndsIt) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> catches = Catches();
    bool caught = false;
    try {
      (void)co_await Host::Adapt(
          catches.Throw(std::runtime_error("nobody there")));
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_TRUE(catches.done());
    EXPECT_EQ(co_await Host::Adapt(catches.Next()), std::nullopt);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_CloseRunsItsCleanup) {
  FIXTURE;
  Host::Run([]() -> Void {
    std::vector<std::string> log;
    const auto generate = [&log]() -> AsyncGenerator<int> {
      Counted counted;
      bool closed = false;
      try {
        co_yield 1;
      } catch (const std::exception&) {
        log.push_back("an error");
      } catch (const GeneratorExit&) {
        closed = true;
      }
      if (closed) {
        co_await Host::Checkpoint();
        log.push_back("closed");
      }
    };
    AsyncGenerator<int> generator = generate();
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 1);
    EXPECT_TRUE(generator.NeedsClose());
    co_await Host::Adapt(generator.Close());
    EXPECT_THAT(log, ElementsAre("closed"));
    EXPECT_TRUE(generator.done());
    EXPECT_EQ(Counted::live(), 0);
    // If the body does not catch GeneratorExit, it does not propagate.
    AsyncGenerator<int> upto = Fixture::Upto(3);
    (void)co_await Host::Adapt(upto.Next());
    co_await Host::Adapt(upto.Close());
    EXPECT_TRUE(upto.done());
    // Destruction does not throw it.
    {
      AsyncGenerator<int> again = generate();
      EXPECT_EQ(co_await Host::Adapt(again.Next()), 1);
    }
    EXPECT_THAT(log, ElementsAre("closed"));
    EXPECT_EQ(Counted::live(), 0);
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_CloseThrowsWhatItsCleanupThrows) {
  FIXTURE;
  Host::Run([]() -> Void {
    const auto generate = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
        throw std::runtime_error("cannot be closed");
      }
    };
    AsyncGenerator<int> generator = generate();
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 1);
    std::string what;
    try {
      co_await Host::Adapt(generator.Close());
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "cannot be closed");
    EXPECT_TRUE(generator.done());
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_ACloseThatIsIgnoredIsAnError) {
  FIXTURE;
  Host::Run([]() -> Void {
    const auto generate = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
      }
      co_yield 2;
      co_yield 3;
    };
    AsyncGenerator<int> generator = generate();
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 1);
    std::string what;
    try {
      co_await Host::Adapt(generator.Close());
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_THAT(what,
                HasSubstr("let GeneratorExit propagate, or return after it"));
    EXPECT_EQ(co_await Host::Adapt(generator.Next()), 3);
    co_await Host::Adapt(generator.Close());
    EXPECT_TRUE(generator.done());
  });
}

TYPED_TEST(AnyThreadAsyncGeneratorTest, U06_SendBeforeTheFirstNextIsAnError) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int, int> sum = Fixture::Sum();
    std::string what;
    try {
      (void)co_await Host::Adapt(sum.Send(1));
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    EXPECT_THAT(what, HasSubstr("Send() before the first Next()"));
    EXPECT_EQ(co_await Host::Adapt(sum.Next()), 0);  // no harm done
  });
}

// Not a typed test: a host may await a copy of the step, which has not been
// awaited before.
TEST(AsyncGeneratorStepTest, R44_AwaitingAStepTwiceIsAClearError) {
  greenback::Run([]() -> Co<void> {
    AsyncGenerator<int, int> sum = []() -> AsyncGenerator<int, int> {
      for (int total = 0;;) total += (co_yield total).value_or(0);
    }();
    auto next = sum.Next();
    EXPECT_EQ(co_await next, 0);
    const auto refused = [](auto& step) -> Co<void> {
      std::string what = "nothing";
      try {
        (void)co_await step;
      } catch (const AwaitableError& error) {
        what = error.what();
      }
      EXPECT_THAT(what, HasSubstr("a step was awaited twice; call Next()"));
    };
    co_await refused(next);
    auto send = sum.Send(4);
    EXPECT_EQ(co_await send, 4);
    co_await refused(send);
    EXPECT_EQ(co_await sum.Send(1), 5);  // no harm done
    auto close = sum.Close();
    co_await close;
    EXPECT_TRUE(sum.done());
    // After the end, each step returns the end.
    co_await close;
    EXPECT_EQ(co_await send, std::nullopt);
  });
}

TYPED_TEST(AsyncGeneratorTest,
           R44_EveryStepThatIsBegunDuringAnotherIsAClearError) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int, int> sum = Fixture::Sum();
    EXPECT_EQ(co_await Host::Adapt(sum.Next()), 0);
    const auto body = [&sum](auto& group) -> Void {
      bool running = false;
      group.Spawn([&]() -> Void {
        running = true;
        EXPECT_EQ(co_await Host::Adapt(sum.Send(1)), 1);
      });
      while (!running) co_await Host::Checkpoint();
      int refused = 0;
      const auto refuse = [&refused](auto step) -> Void {
        try {
          co_await Host::Adapt(step);
        } catch (const AwaitableError& error) {
          EXPECT_THAT(error.what(), HasSubstr("while another one is under"));
          ++refused;
        }
      };
      co_await refuse(sum.Next());
      co_await refuse(sum.Send(2));
      co_await refuse(sum.Throw(std::runtime_error("thrown")));
      co_await refuse(sum.Close());
      EXPECT_EQ(refused, 4);
    };
    co_await Host::InGroup(body);
    EXPECT_EQ(co_await Host::Adapt(sum.Send(1)), 2);
  });
}

TYPED_TEST(AsyncGeneratorTest, U06_OneStepIsTakenAtATime) {
  FIXTURE;
  Host::Run([]() -> Void {
    AsyncGenerator<int> upto = Fixture::Upto(3);
    const auto body = [&upto](auto& group) -> Void {
      group.Spawn([&upto]() -> Void {
        EXPECT_EQ(co_await Host::Adapt(upto.Next()), 0);
        EXPECT_EQ(co_await Host::Adapt(upto.Next()), 1);
      });
      while (Counted::live() == 0) co_await Host::Checkpoint();
      std::string what;
      try {
        (void)co_await Host::Adapt(upto.Next());
      } catch (const std::logic_error& error) {
        what = error.what();
      }
      EXPECT_THAT(what, HasSubstr("while another one is under way"));
    };
    co_await Host::InGroup(body);
    EXPECT_EQ(co_await Host::Adapt(upto.Next()), 2);
  });
}

#endif  // defined(__cpp_exceptions)

#if !defined(GREENBACK_TEST_ON_ASIO)

AsyncGenerator<int> Ready(int end) {
  for (int i = 0; i < end; ++i) co_yield i;
}
AsyncGenerator<int> PassOn(AsyncGenerator<int> from) {
  while (std::optional<int> i = co_await from.Next()) co_yield *i;
}

constexpr int kMany = 1'000'000;

// Stacks that would overflow if each step left a few bytes on them.
RunOptions SmallStacks() { return RunOptions{.stack_size = 64 << 10}; }

TEST(AsyncGeneratorDepthTest, R13_AMillionValuesGrowNoStack) {
  greenback::Run(SmallStacks(), []() -> Co<void> {
    AsyncGenerator<int> values = PassOn(Ready(kMany));
    int count = 0;
    while (co_await values.Next()) ++count;
    EXPECT_EQ(count, kMany);
  });
}

TEST(AsyncGeneratorDepthTest,
     R13_AMillionValuesInASynchronousFunctionGrowNoStack) {
  greenback::Run(SmallStacks(), []() -> Co<void> {
    co_await WithPortalRunSync([] {
      AsyncGenerator<int> values = PassOn(Ready(kMany));
      int count = 0;
      while (Await(values.Next())) ++count;
      EXPECT_EQ(count, kMany);
    });
  });
}

// A coroutine of another library, outside any task.
Detached CountOutside(int& count) {
  AsyncGenerator<int> values = PassOn(Ready(kMany));
  while (co_await values.Next()) ++count;
}

TEST(AsyncGeneratorDepthTest,
     R13_AMillionValuesInAForeignCoroutineGrowNoStack) {
  int count = 0;
  CountOutside(count);
  EXPECT_EQ(count, kMany);
}

// The body waits for another library's event, outside any task: the coroutine
// resumes in the call that fires the event.
TEST(AsyncGeneratorForeignTest, U05_AForeignCoroutineMayStepIt) {
  Signal signals[2];
  std::vector<int> seen;
  bool done = false;
  const auto values = [&signals]() -> AsyncGenerator<int> {
    co_yield -1;
    for (Signal& signal : signals) co_yield co_await signal;
  };
  const auto consume = [&]() -> Detached {
    AsyncGenerator<int> generator = values();
    while (std::optional<int> i = co_await generator.Next()) {
      seen.push_back(*i);
    }
    done = true;
  };
  consume();
  EXPECT_THAT(seen, ElementsAre(-1));
  signals[0].Fire(5);
  EXPECT_THAT(seen, ElementsAre(-1, 5));
  EXPECT_FALSE(done);
  signals[1].Fire(6);
  EXPECT_THAT(seen, ElementsAre(-1, 5, 6));
  EXPECT_TRUE(done);
}

AsyncGenerator<int> AfterCheckpoints(int begin) {
  Counted counted;
  for (int i = begin;; ++i) {
    (void)co_await Checkpoint();
    co_yield i;
  }
}

OwnedCoroutine TakeOne(AsyncGenerator<int>& generator, std::vector<int>& log) {
  std::optional<int> value = co_await generator.Next();
  log.push_back(value.value_or(-1));
}

TEST(AsyncGeneratorDestroyedTest, R36_AStepThatIsDestroyedEndsTheGenerator) {
  greenback::Run([]() -> Co<void> {
    std::vector<int> log;
    AsyncGenerator<int> generator = AfterCheckpoints(5);
    EXPECT_EQ(co_await generator.Next(), 5);
    {
      const OwnedCoroutine step = TakeOne(generator, log);
    }
    EXPECT_TRUE(generator.done());
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(co_await generator.Next(), std::nullopt);
    // A generator that this one iterates over is destroyed with it.
    AsyncGenerator<int> outer = PassOn(AfterCheckpoints(7));
    {
      const OwnedCoroutine step = TakeOne(outer, log);
    }
    EXPECT_EQ(Counted::live(), 0);
    for (int i = 0; i < 3; ++i) (void)co_await Checkpoint();
    EXPECT_THAT(log, ElementsAre());
  });
}

TEST(AsyncGeneratorDestroyedTest, R36_AStepThatIsOverLeavesItAsItIs) {
  greenback::Run([]() -> Co<void> {
    std::vector<int> log;
    AsyncGenerator<int> generator = AfterCheckpoints(5);
    const OwnedCoroutine step = TakeOne(generator, log);
    while (log.empty()) (void)co_await Checkpoint();
    EXPECT_EQ(co_await generator.Next(), 6);
    AsyncGenerator<int> moved = std::move(generator);
    EXPECT_EQ(co_await moved.Next(), 7);
  });
  EXPECT_EQ(Counted::live(), 0);
}

// Has a task wait in a step, natively or in synchronous code, and calls fn().
template <class Fn>
void InAStep(bool native, Fn fn) {
  greenback::Run([&]() -> Co<void> {
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      auto generator =
          std::make_unique<AsyncGenerator<int>>(AfterCheckpoints(0));
      nursery.StartSoon([&]() -> Co<void> {
        (void)co_await EnsurePortal();
        if (native) {
          (void)co_await generator->Next();
        } else {
          (void)Await(generator->Next());
        }
      });
      while (Counted::live() == 0) (void)co_await Checkpoint();
      fn(generator);
    });
  });
}

TEST(AsyncGeneratorDestroyedDeathTest,
     R36_DestroyingItInAStepOfAnotherTaskIsAnError) {
  for (const bool native : {true, false}) {
    EXPECT_DEATH(InAStep(native, [](auto& generator) { generator.reset(); }),
                 "AsyncGenerator: destroyed while a step is under way");
    EXPECT_DEATH(InAStep(native,
                         [](auto& generator) {
                           const auto other = std::move(*generator);
                         }),
                 "AsyncGenerator: moved while a step is under way");
  }
}

TEST(AsyncGeneratorDestroyedDeathTest, R36_DestroyingItInItsBodyIsAnError) {
  const auto run = [] {
    greenback::Run([]() -> Co<void> {
      std::unique_ptr<AsyncGenerator<int>> generator;
      const auto body = [&generator]() -> AsyncGenerator<int> {
        generator.reset();
        co_yield 1;
      };
      generator = std::make_unique<AsyncGenerator<int>>(body());
      (void)co_await generator->Next();
    });
  };
  EXPECT_DEATH(run(), "AsyncGenerator: destroyed while a step is under way");
}

#endif  // !defined(GREENBACK_TEST_ON_ASIO)

}  // namespace
}  // namespace greenback
