// What portals do, row by row, on every host. (P22, a whole server, is
// echo_test.cc.)

#include <algorithm>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/context/context.h"
#include "greenback/greenback.h"
#include "greenback/host/portal_access.h"
#include "gtest/gtest.h"
#include "tests/support/elsewhere_task.h"
#include "tests/support/hosts.h"
#include "tests/support/in_company.h"
#include "tests/support/test_awaitables.h"
#if defined(__cpp_exceptions)
#include <boost/coroutine2/coroutine.hpp>
#include <boost/version.hpp>
#endif

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

template <class Host>
class ParityTest : public testing::Test {
 public:
  using Void = typename Host::template Coroutine<void>;
  using Int = typename Host::template Coroutine<int>;

  // Not inlined: see "Threads" in greenback/asio/portal.h.
  static __attribute__((noinline)) Int Twice(int n) {
    co_await Host::Checkpoint();
    co_return 2 * n;
  }
  static int TwiceSynchronously(int n) { return Await(Twice(n)); }

  // The checkpoints that pass while make() is awaited, as a neighbour sees
  // them.
  static Int CountCheckpoints(std::function<Void()> make) {
    int count = -1;  // the neighbour's first step is no checkpoint of ours
    bool done = false;
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([&]() -> Void {
        while (!done) {
          ++count;
          co_await Host::Checkpoint();
        }
      });
      co_await Host::Checkpoint();
      co_await make();
      done = true;
      co_await Host::Checkpoint();
      co_await Host::Checkpoint();
    });
    co_return count;
  }
};

TYPED_TEST_SUITE(ParityTest, TestedHosts);

// Those that share nothing between tasks.
template <class Host>
class AnyThreadParityTest : public ParityTest<Host> {};
TYPED_TEST_SUITE(AnyThreadParityTest, TestedHostsOfAnyThreads);

// The names that a body needs.
#define PARITY_NAMES                                        \
  using Host [[maybe_unused]] = TypeParam;                  \
  using Void [[maybe_unused]] = typename TestFixture::Void; \
  using Int [[maybe_unused]] = typename TestFixture::Int

// ------------------------------------------------------------------- P01, P10

// An awaitable whose live objects are counted.
struct CountedReady {
  Counted counted;
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  void await_resume() const {}
};

// What Await() says where it is refused, word for word.
void ExpectRefused(PortalError::Reason reason, const std::string& text) {
  const std::source_location where = std::source_location::current();
  const std::string full =
      absl::StrCat("greenback::Await at ", where.file_name(), ":", where.line(),
                   " (", where.function_name(), "): ", text);
  EXPECT_EQ(TryAwait(CountedReady(), where),
            absl::FailedPreconditionError(full));
  EXPECT_EQ(Counted::live(), 0);
#if defined(__cpp_exceptions)
  try {
    Await(CountedReady(), where);
    ADD_FAILURE() << "not refused";
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), reason);
    EXPECT_EQ(error.what(), full);
  }
  EXPECT_EQ(Counted::live(), 0);
#else
  (void)reason;
  EXPECT_DEATH(Await(CountedReady(), where), HasSubstr(text));
#endif
}

TYPED_TEST(ParityTest, P01_WithoutAPortalAwaitNamesTheFixAndThePlace) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    const std::string task =
        absl::StrCat("task \"", Host::CurrentTask().name(), "\" ");
    ExpectRefused(PortalError::Reason::kNoPortal,
                  task +
                      "has no portal; co_await greenback::EnsurePortal(), or "
                      "run this through greenback::WithPortalRunSync()");
    // The task is unharmed.
    EXPECT_EQ(co_await TestFixture::Twice(1), 2);
    (void)co_await Host::EnsurePortal();
    EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
  });
}

TEST(Parity, P01_OutsideAnyTaskAwaitSaysSo) {
  ExpectRefused(PortalError::Reason::kNoTask,
                "no task is running on this thread; call it inside a coroutine "
                "that runs as a task, or inside co_await "
                "greenback::WithPortalRunSync()");
}

TYPED_TEST(ParityTest, P01_BelowANoAwaitScopeBothPlacesAreNamed) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    const std::string task =
        absl::StrCat("task \"", Host::CurrentTask().name(), "\" ");
    (void)co_await Host::EnsurePortal();
    const std::source_location where = std::source_location::current();
    {
      NoAwaitScope no_await(where);
      ExpectRefused(
          PortalError::Reason::kNoAwaitScope,
          absl::StrCat(task, "is inside the NoAwaitScope of ",
                       where.file_name(), ":", where.line(), " (",
                       where.function_name(),
                       "); end that scope first, or await outside it"));
    }
    EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
  });
}

TYPED_TEST(ParityTest, P10_APortalBestowedOnItselfIsUsableAfterACheckpoint) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    const std::string task =
        absl::StrCat("task \"", Host::CurrentTask().name(), "\" ");
    BestowPortal(Host::CurrentTask());
    EXPECT_FALSE(HasPortal());
    ExpectRefused(
        PortalError::Reason::kBestowedNow,
        task +
            "has bestowed a portal on itself, which is usable after its next "
            "checkpoint; co_await greenback::EnsurePortal() instead");
    co_await Host::Checkpoint();
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
  });
}

TYPED_TEST(ParityTest, P10_ACallWithAPortalMeanwhileDoesNotLoseIt) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    BestowPortal(Host::CurrentTask());
    co_await Host::WithPortalRunSync(
        [] { EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2); });
    EXPECT_FALSE(HasPortal());
    co_await Host::Checkpoint();
    EXPECT_TRUE(HasPortal());
  });
}

// ------------------------------------------------------------------------ P02

TYPED_TEST(ParityTest, P02_EnsurePortalAgainIsStillASchedulePoint) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    EXPECT_FALSE(HasPortal());
    const auto ensure = []() -> Void {
      const absl::Status opened = co_await Host::EnsurePortal();
      EXPECT_TRUE(opened.ok());
      EXPECT_TRUE(HasPortal());
    };
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(co_await TestFixture::CountCheckpoints(ensure), 1);
    }
  });
}

TYPED_TEST(ParityTest, P02_EnsurePortalAgainIsStillACancellationPoint) {
  PARITY_NAMES;
  int cancelled = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([&]() -> Void {
        group.Cancel();
        for (int i = 0; i < 3; ++i) {
          cancelled += absl::IsCancelled(co_await Host::EnsurePortal());
          EXPECT_TRUE(HasPortal());
        }
      });
      co_return;
    });
  });
  EXPECT_EQ(cancelled, 3);
}

// ------------------------------------------------------------------------ P03

TYPED_TEST(ParityTest, P03_APortalIsItsTasksAlone) {
  PARITY_NAMES;
  int looks = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([&]() -> Void {
        (void)co_await Host::EnsurePortal();
        co_await Host::InGroup([&](auto& inner) -> Void {
          inner.Spawn([&]() -> Void {
            EXPECT_FALSE(HasPortal());
            ++looks;
            co_return;
          });
          co_return;
        });
        EXPECT_TRUE(HasPortal());
      });
      group.Spawn([&]() -> Void {
        for (int i = 0; i < 5; ++i) {
          EXPECT_FALSE(HasPortal());
          ++looks;
          co_await Host::Checkpoint();
        }
      });
      for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(HasPortal());
        ++looks;
        co_await Host::Checkpoint();
      }
    });
  });
  EXPECT_EQ(looks, 11);
}

TYPED_TEST(ParityTest, P03_AThousandTasksLeaveNothingBehind) {
  PARITY_NAMES;
  int sum = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      for (int i = 0; i < 1'000; ++i) {
        group.Spawn([&sum, counted = std::make_shared<Counted>()]() -> Void {
          const std::shared_ptr<Counted> kept = counted;
          EXPECT_FALSE(HasPortal());
          (void)co_await Host::EnsurePortal();
          sum += TestFixture::TwiceSynchronously(1);
        });
      }
      co_return;
    });
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_FALSE(HasPortal());
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([]() -> Void {
        EXPECT_FALSE(HasPortal());
        co_return;
      });
      co_return;
    });
  });
  EXPECT_EQ(sum, 2'000);
}

// ------------------------------------------------------------------- P04, P05

TYPED_TEST(AnyThreadParityTest, P04_AwaitMixesWithNativeAwaitsInBothOrders) {
  PARITY_NAMES;
  int sum = 0;
  Host::Run([&]() -> Void {
    (void)co_await Host::EnsurePortal();
    for (int i = 0; i < 300; ++i) {
      sum += co_await TestFixture::Twice(i);
      sum += Await(TestFixture::Twice(i));
      sum += Await(TestFixture::Twice(i));
      sum += co_await TestFixture::Twice(i);
    }
  });
  EXPECT_EQ(sum, 8 * 300 * 299 / 2);
}

// Odd levels go through Await(), even ones natively.
template <class Host>
typename Host::template Coroutine<std::string> Down(int level);
template <class Host>
std::string DownSynchronously(int level) {
  return Await(Down<Host>(level));
}
template <class Host>
typename Host::template Coroutine<std::string> Down(int level) {
  co_await Host::Checkpoint();
  if (level == 0) {
#if defined(__cpp_exceptions)
    throw std::out_of_range("bottom");
#else
    co_return "bottom";
#endif
  }
  if (level % 2 == 1) co_return DownSynchronously<Host>(level - 1);
  co_return co_await Down<Host>(level - 1);
}

TYPED_TEST(AnyThreadParityTest, P05_ElevenLevelsAlternate) {
  InCompany<TypeParam>([] {
    EXPECT_TRUE(HasPortal());
#if defined(__cpp_exceptions)
    try {
      DownSynchronously<TypeParam>(11);
      FAIL() << "the exception of the bottom is lost";
    } catch (const std::out_of_range& error) {
      EXPECT_STREQ(error.what(), "bottom");
    }
#else
    EXPECT_EQ(DownSynchronously<TypeParam>(11), "bottom");
#endif
  });
}

template <class Host>
int Fold(int levels) {
  if (levels == 0) return 0;
  return 1 + Await([](int levels) -> typename Host::template Coroutine<int> {
           co_await Host::Checkpoint();
           co_return co_await Host::WithPortalRunSync(Fold<Host>, levels - 1);
         }(levels));
}

TYPED_TEST(AnyThreadParityTest, P05_EightLevelsOfPortalsNest) {
  InCompany<TypeParam>([] { EXPECT_EQ(Fold<TypeParam>(8), 8); });
}

// -------------------------------------------------------------- P06, P07, P08

TYPED_TEST(AnyThreadParityTest, P06_WithPortalRunOpensOneForTheCall) {
  PARITY_NAMES;
  Host::Run([&]() -> Void {
    const auto both = [](int n) -> Int {
      EXPECT_TRUE(HasPortal());
      co_return TestFixture::TwiceSynchronously(n) +
          co_await TestFixture::Twice(n);
    };
    EXPECT_EQ(co_await Host::WithPortalRun(both, 1), 4);
    EXPECT_FALSE(HasPortal());
    // A portal that is ensured inside does not outlive it.
    const auto ensure = []() -> Void { (void)co_await Host::EnsurePortal(); };
    co_await Host::WithPortalRun(ensure);
    EXPECT_FALSE(HasPortal());
    // Nested in itself, and around WithPortalRunSync().
    const auto inner = []() -> Void {
      EXPECT_EQ(
          co_await Host::WithPortalRunSync(TestFixture::TwiceSynchronously, 2),
          4);
      EXPECT_TRUE(HasPortal());
    };
    const auto outer = [inner]() -> Void {
      co_await Host::WithPortalRun(inner);
      EXPECT_TRUE(HasPortal());
    };
    co_await Host::WithPortalRun(outer);
    EXPECT_FALSE(HasPortal());
    // A portal that was there before stays.
    (void)co_await Host::EnsurePortal();
    EXPECT_EQ(co_await Host::WithPortalRun(both, 3), 12);
    EXPECT_TRUE(HasPortal());
  });
}

TYPED_TEST(AnyThreadParityTest, P07_WithPortalRunSyncOpensOneForTheCall) {
  PARITY_NAMES;
  Host::Run([&]() -> Void {
    EXPECT_EQ(
        co_await Host::WithPortalRunSync(TestFixture::TwiceSynchronously, 4),
        8);
    EXPECT_FALSE(HasPortal());
    const auto nested = [] {
      const auto inner = [] {
        EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
      };
      Await([](auto inner) -> Void {
        co_await Host::WithPortalRunSync(inner);
      }(inner));
      EXPECT_TRUE(HasPortal());
    };
    co_await Host::WithPortalRunSync(nested);
    EXPECT_FALSE(HasPortal());
    const auto owned = [](std::unique_ptr<int> taken) { return *taken; };
    EXPECT_EQ(co_await Host::WithPortalRunSync(owned, std::make_unique<int>(3)),
              3);
    (void)co_await Host::EnsurePortal();
    EXPECT_EQ(
        co_await Host::WithPortalRunSync(TestFixture::TwiceSynchronously, 4),
        8);
    EXPECT_TRUE(HasPortal());
  });
}

TYPED_TEST(ParityTest, P08_NeitherAddsACheckpoint) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    const auto both = []() -> Void {
      const auto nothing = []() -> Void { co_return; };
      co_await Host::WithPortalRun(nothing);
      co_await Host::WithPortalRunSync([] {});
    };
    EXPECT_EQ(co_await TestFixture::CountCheckpoints(both), 0);
  });
}

TYPED_TEST(ParityTest, P08_AwaitAddsNone) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    const auto count = [](auto body) {
      return TestFixture::CountCheckpoints(
          [body]() -> Void { co_await Host::WithPortalRunSync(body); });
    };
    EXPECT_EQ(co_await count([] { Await(Host::Checkpoint()); }), 1);
    EXPECT_EQ(co_await count([] { Await([]() -> Void { co_return; }()); }), 0);
    EXPECT_EQ(co_await count([] { TestFixture::TwiceSynchronously(1); }), 1);
  });
}

// ---------------------------------------------------------- P09, P11, P12, P13

TYPED_TEST(ParityTest, P09_APortalMayBeBestowedOnAnotherTask) {
  PARITY_NAMES;
  int awaited = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      PortalTask* other = nullptr;
      typename Host::Gate gate;
      group.Spawn([&]() -> Void {
        other = &Host::CurrentTask();
        (void)co_await gate.Wait();
        EXPECT_TRUE(HasPortal());
        awaited = TestFixture::TwiceSynchronously(5);
      });
      while (!gate.waited_for()) co_await Host::Checkpoint();
      EXPECT_FALSE(HasPortal(*other));
      for (int i = 0; i < 2; ++i) {  // again does nothing
        BestowPortal(*other);
        EXPECT_TRUE(HasPortal(*other));
        EXPECT_FALSE(HasPortal());
      }
      gate.Open(0);
      while (awaited == 0) co_await Host::Checkpoint();
    });
  });
  EXPECT_EQ(awaited, 10);
}

TYPED_TEST(ParityTest, P09_APortalMayBeBestowedFromOutsideAnyTask) {
  PARITY_NAMES;
  int awaited = 0;
  Host::Run([&]() -> Void {
    PortalTask& self = Host::CurrentTask();
    Host::PostCallback([&self] {
      BestowPortal(self);
      EXPECT_TRUE(HasPortal(self));
      EXPECT_FALSE(HasPortal());
    });
    while (!HasPortal()) co_await Host::Checkpoint();
    awaited = TestFixture::TwiceSynchronously(3);
  });
  EXPECT_EQ(awaited, 6);
}

TYPED_TEST(ParityTest, P11_SynchronousFramesMayBestowAPortal) {
  PARITY_NAMES;
  int awaited = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      PortalTask* other = nullptr;
      group.Spawn([&]() -> Void {
        other = &Host::CurrentTask();
        while (!HasPortal()) co_await Host::Checkpoint();
        awaited = TestFixture::TwiceSynchronously(2);
      });
      co_await Host::Checkpoint();
      co_await Host::WithPortalRunSync([&] {
        TestFixture::TwiceSynchronously(1);
        BestowPortal(*other);
        EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
      });
      while (awaited == 0) co_await Host::Checkpoint();
    });
  });
  EXPECT_EQ(awaited, 4);
}

TYPED_TEST(ParityTest, P12_BestowingSharesNoContextVariables) {
  PARITY_NAMES;
  TaskLocal<std::string> variable("unset");
  std::vector<std::string> log;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      PortalTask* other = nullptr;
      bool done = false;
      group.Spawn([&]() -> Void {
        variable.Set("theirs");
        other = &Host::CurrentTask();
        while (!HasPortal()) co_await Host::Checkpoint();
        log.push_back(variable.Get());
        TestFixture::TwiceSynchronously(1);
        log.push_back(variable.Get());
        done = true;
      });
      variable.Set("ours");
      co_await Host::Checkpoint();
      co_await Host::WithPortalRunSync([&] {
        BestowPortal(*other);
        TestFixture::TwiceSynchronously(1);
        EXPECT_EQ(variable.Get(), "ours");
      });
      while (!done) co_await Host::Checkpoint();
      EXPECT_EQ(variable.Get(), "ours");
    });
  });
  EXPECT_THAT(log, ElementsAre("theirs", "theirs"));
  EXPECT_EQ(variable.Get(), "unset");
}

TYPED_TEST(ParityTest, P13_HasPortalIsFalseWhereNoTaskRuns) {
  PARITY_NAMES;
  EXPECT_FALSE(HasPortal());
  int looks = 0;
  Host::Run([&]() -> Void {
    (void)co_await Host::EnsurePortal();
    std::thread([&] {
      EXPECT_FALSE(HasPortal());
      ++looks;
    }).join();
    Host::PostCallback([&] {
      EXPECT_FALSE(HasPortal());
      ++looks;
    });
    // One callback runs from the coroutine, one on a fiber of its own.
    while (looks != 2) co_await Host::Checkpoint();
    Host::PostCallback([&] {
      EXPECT_FALSE(HasPortal());
      ++looks;
    });
    while (looks != 3) Await(Host::Checkpoint());
    EXPECT_TRUE(HasPortal());
    EXPECT_TRUE(HasPortal(Host::CurrentTask()));
  });
  EXPECT_FALSE(HasPortal());
  EXPECT_EQ(looks, 3);
}

// ------------------------------------------------------------------------ P14

TYPED_TEST(ParityTest, P14_BothSidesOfAwaitShareOneContext) {
  PARITY_NAMES;
  TaskLocal<int> variable(0);
  std::vector<int> log;
  Host::Run([&]() -> Void {
    variable.Set(1);
    co_await Host::InGroup([&](auto& group) -> Void {
      bool done = false;
      group.Spawn([&]() -> Void {
        variable.Set(100);
        while (!done) {
          EXPECT_EQ(variable.Get(), 100);
          co_await Host::Checkpoint();
        }
      });
      co_await Host::WithPortalRunSync([&] {
        log.push_back(variable.Get());
        variable.Set(2);
        Await([](TaskLocal<int>& variable, std::vector<int>& log) -> Void {
          log.push_back(variable.Get());
          co_await Host::Checkpoint();
          variable.Set(3);
          co_await Host::Checkpoint();
        }(variable, log));
        log.push_back(variable.Get());
        // A nested run of a copy stays private, also over an Await().
        Context::Current().Run([&] {
          variable.Set(50);
          TestFixture::TwiceSynchronously(1);
          log.push_back(variable.Get());
        });
        log.push_back(variable.Get());
      });
      log.push_back(variable.Get());
      done = true;
      co_await Host::Checkpoint();
      co_await Host::Checkpoint();
    });
  });
  EXPECT_THAT(log, ElementsAre(1, 2, 3, 50, 3, 3));
}

// ------------------------------------------------------------------- P15, P16

#if defined(__cpp_exceptions)

TYPED_TEST(AnyThreadParityTest, P15_ExceptionsPassBothWaysAndClosePortals) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    try {
      co_await Host::WithPortalRunSync([] {
        TestFixture::TwiceSynchronously(1);
        throw std::runtime_error("of the synchronous function");
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "of the synchronous function");
    }
    EXPECT_FALSE(HasPortal());
    const auto fail = []() -> Void {
      co_await Host::Checkpoint();
      throw std::runtime_error("of the awaitable");
    };
    try {
      co_await Host::WithPortalRun(fail);
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "of the awaitable");
    }
    EXPECT_FALSE(HasPortal());
    co_await Host::WithPortalRunSync([fail] {
      try {
        Await(fail());
        ADD_FAILURE();
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "of the awaitable");
      }
    });
  });
}

TYPED_TEST(AnyThreadParityTest, P15_AnExceptionPropagatesOutOfAWholeTask) {
  PARITY_NAMES;
  try {
    Host::Run([]() -> Void {
      (void)co_await Host::EnsurePortal();
      TestFixture::TwiceSynchronously(1);
      throw std::runtime_error("of the task");
    });
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "of the task");
  }
}

struct Thrower {
  int when;  // which of the three functions
  void ThrowIf(int now) const {
    if (when == now) throw std::runtime_error(absl::StrCat("in ", now));
  }
  bool await_ready() const {
    ThrowIf(0);
    return when == 2;
  }
  void await_suspend(std::coroutine_handle<>) const { ThrowIf(1); }
  void await_resume() const { ThrowIf(2); }
};

TYPED_TEST(AnyThreadParityTest, P15_ExceptionsOfTheAwaiterItselfPass) {
  InCompany<TypeParam>([] {
    for (int when = 0; when < 3; ++when) {
      try {
        Await(Thrower{when});
        ADD_FAILURE();
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), absl::StrCat("in ", when));
      }
      // And the task continues.
      EXPECT_EQ(TestFixture::TwiceSynchronously(1), 2);
    }
  });
}

TYPED_TEST(ParityTest, P16_AnErrorArrivesAtEitherKindOfAwait) {
  PARITY_NAMES;
  std::vector<std::string> log;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      typename Host::Gate native;
      typename Host::Gate synchronous;
      const auto error = std::make_exception_ptr(std::runtime_error("woken"));
      group.Spawn([&]() -> Void {
        try {
          co_await native.Wait();
        } catch (const std::runtime_error& error) {
          log.push_back(absl::StrCat(error.what(), " natively"));
        }
      });
      group.Spawn([&]() -> Void {
        (void)co_await Host::EnsurePortal();
        try {
          Await(synchronous.Wait());
        } catch (const std::runtime_error& error) {
          log.push_back(absl::StrCat(error.what(), " in Await()"));
        }
      });
      while (!native.waited_for() || !synchronous.waited_for()) {
        co_await Host::Checkpoint();
      }
      native.Fail(error);
      synchronous.Fail(error);
      while (log.size() != 2) co_await Host::Checkpoint();
    });
  });
  // Two threads of a pool may have resumed the two tasks, in either order.
  EXPECT_THAT(log, UnorderedElementsAre("woken natively", "woken in Await()"));
}

#endif

// ------------------------------------------------------------------------ P17

// With member and free operators, and by an adapter.
struct WithMember {
  int value;
  CountedReady operator co_await() const { return CountedReady(); }
};
struct WithFree {
  int value;
};
struct ValueAwaiter {
  int value;
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<>) const { return false; }
  int await_resume() const { return value; }
};
ValueAwaiter operator co_await(const WithFree& free) { return {free.value}; }
struct WithAdapter {
  int value;
};

}  // namespace

template <>
struct AwaitableAdapter<WithAdapter> {
  static ValueAwaiter Adapt(const WithAdapter& foreign) {
    return {foreign.value};
  }
};

namespace {

TYPED_TEST(AnyThreadParityTest, P17_EveryKindOfAwaitableIsAwaited) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    Await(WithMember{1});
    EXPECT_EQ(Await(WithFree{2}), 2);
    EXPECT_EQ(Await(WithAdapter{3}), 3);
    // Ready at once; done inside await_suspend, by resuming and by returning
    // false; a handle to transfer to.
    Await(std::suspend_never());
    Await(SuspendWith{[](std::coroutine_handle<> waker) { waker.resume(); }});
    Await(SuspendWith{[](std::coroutine_handle<>) { return false; }});
    Await(SuspendWith{[](std::coroutine_handle<> waker) {
      waker.resume();
      return true;
    }});
    Await(SuspendWith{[](std::coroutine_handle<> waker) { return waker; }});
    // Coroutines: one that suspends, an lvalue, results of all kinds.
    EXPECT_EQ(Await(TestFixture::Twice(4)), 8);
    Int made = TestFixture::Twice(5);
    EXPECT_EQ(Await(std::move(made)), 10);
    auto owned =
        Await([]() -> typename Host::template Coroutine<std::unique_ptr<int>> {
          co_await Host::Checkpoint();
          co_return std::make_unique<int>(9);
        }());
    EXPECT_EQ(*owned, 9);
    // Fired on another thread.
    Signal signal;
    std::thread other([&] { signal.Fire(6); });
    EXPECT_EQ(Await(signal), 6);
    other.join();
  });
  EXPECT_EQ(Counted::live(), 0);
}

// ------------------------------------------------------------------------ P18

TYPED_TEST(AnyThreadParityTest,
           P18_AwaitWorksOnStacksThatGreenbackDoesNotKnow) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    int sum = 0;
    RunOnFiber([&] {
      for (int i = 0; i < 10; ++i) {
        sum += RunOnFiber([i] { return TestFixture::TwiceSynchronously(i); });
      }
    });
    EXPECT_EQ(sum, 90);
  });
}

#if defined(__cpp_exceptions)
TYPED_TEST(AnyThreadParityTest, P18_AwaitWorksInAGeneratorOfBoostCoroutine2) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    int sum = 0;
    {
      using Generator = boost::coroutines2::coroutine<int>;
      Generator::pull_type numbers([](Generator::push_type& yield) {
        for (int i = 0; i < 10; ++i) yield(TestFixture::TwiceSynchronously(i));
      });
      for (int number : numbers) {
        // And in the loop, while the generator is suspended.
        sum += number + TestFixture::TwiceSynchronously(1);
      }
    }
#if BOOST_VERSION >= 108800 && BOOST_VERSION < 109200
    // Boost.Context miscounts when it unwinds a generator, greenback or not.
    context::ThreadExceptionState()->uncaught = 0;
#endif
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(sum, 90 + 20);
  });
}
#endif

// ------------------------------------------------------------------- P19, P20

TYPED_TEST(ParityTest, P19_TheShorterWaitEndsFirst) {
  PARITY_NAMES;
  std::vector<std::string> log;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      const auto sleep = [&log](int milliseconds) {
        // Deep in synchronous frames.
        RunOnFiber([&] {
          Await(Host::Sleep(absl::Milliseconds(milliseconds)));
          log.push_back(absl::StrCat(milliseconds, " ms"));
        });
      };
      for (int milliseconds : {100, 1}) {
        group.Spawn([sleep, milliseconds]() -> Void {
          const auto mine = sleep;
          co_await Host::WithPortalRunSync(mine, milliseconds);
        });
      }
      co_return;
    });
  });
  EXPECT_THAT(log, ElementsAre("1 ms", "100 ms"));
}

TYPED_TEST(ParityTest, P20_NoCallbackRunsInAParkedTasksContext) {
  PARITY_NAMES;
  TaskLocal<int> variable(0);
  int looks = 0;
  const auto look = [&] {
    EXPECT_FALSE(HasPortal());
    EXPECT_EQ(variable.Get(), 0);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
    ++looks;
  };
  Host::Run([&]() -> Void {
    variable.Set(1);
    (void)co_await Host::EnsurePortal();
    const PortalTask* const self = &Host::CurrentTask();
    for (int i = 0; i < 10; ++i) {
      Host::PostCallback(look);
      const auto wait = [&] {
        while (looks == i) Await(Host::Sleep(absl::Milliseconds(1)));
      };
#if defined(__cpp_exceptions)
      try {
        throw std::runtime_error("in flight");
      } catch (const std::runtime_error&) {
        const std::exception_ptr mine = std::current_exception();
        wait();
        EXPECT_EQ(std::current_exception(), mine);
      }
#else
      wait();
#endif
      EXPECT_EQ(&Host::CurrentTask(), self);
      EXPECT_EQ(variable.Get(), 1);
    }
  });
  EXPECT_EQ(looks, 10);
}

// ------------------------------------------------------------------------ P21

TYPED_TEST(ParityTest, P21_CancellingWakesAnAwait) {
  PARITY_NAMES;
  bool woken = false;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      bool waits = false;
      group.Spawn([&]() -> Void {
        (void)co_await Host::EnsurePortal();
        waits = true;
        // Ends early, with or without an exception.
        GREENBACK_TRY { Await(Host::Sleep(absl::Hours(1'000'000))); }
        GREENBACK_CATCH_ALL {}
        woken = true;
      });
      while (!waits) co_await Host::Checkpoint();
      co_await Host::Checkpoint();
      EXPECT_FALSE(woken);
      group.Cancel();
    });
  });
  EXPECT_TRUE(woken);
}

TEST(Parity, P21_ScopesAndNurseriesInSynchronousCodeCloseInOrder) {
  std::vector<std::string> log;
  RuntimeHost::Run([&]() -> Co<void> {
    (void)co_await EnsurePortal();
    const auto synchronous = [&] {
      CancelScope outer;
      CancelScope inner = MoveOnAfter(absl::Seconds(1));
      const absl::Status nursery = Await(OpenNursery([&](Nursery& n) -> Co<> {
        n.StartSoon([&]() -> Co<void> {
          EXPECT_TRUE(absl::IsCancelled(co_await SleepForever()));
          log.push_back("child");
        });
        co_return;
      }));
      log.push_back("nursery");
      EXPECT_TRUE(inner.cancelled_caught());
      EXPECT_FALSE(outer.cancel_called());
      // Level-triggered: cancelled until the scope is left.
      EXPECT_TRUE(absl::IsCancelled(Await(Checkpoint())));
    };
    synchronous();
    EXPECT_TRUE(Await(Checkpoint()).ok());
  });
  EXPECT_THAT(log, ElementsAre("child", "nursery"));
}

TEST(ParityDeathTest, P21_ScopesOutOfOrderAreOneClearError) {
  EXPECT_DEATH(
      RuntimeHost::Run([]() -> Co<void> {
        co_await WithPortalRunSync([] {
          auto outer = std::make_unique<CancelScope>();
          CancelScope inner;
          (void)Await(Checkpoint());
          outer.reset();
        });
      }),
      "a CancelScope or Nursery of task \"main\" ends while one inside it is "
      "open; end them in reverse order");
}

// ------------------------------------------------------------------------ P23

// One source location for all.
std::source_location Here() { return std::source_location::current(); }

TEST(Parity, P23_TheErrorForAnotherHostsAwaitableNamesBothHosts) {
  ElsewhereTask task;
  internal::PortalAccess::Set(task, internal::PortalAccess::Portal::kOpen);
  const std::string full = absl::StrCat(
      "greenback::Await at ", internal::Describe(Here()),
      ": task \"stranger\" is run by Elsewhere, and this awaitable is for "
      "tasks "
      "that are run by greenback::Run(); await what Elsewhere has for it");
  EXPECT_EQ(TryAwait(Checkpoint(), Here()),
            absl::FailedPreconditionError(full));
  Event event;
  EXPECT_EQ(TryAwait(event.Wait(), Here()),
            absl::FailedPreconditionError(full));
#if defined(__cpp_exceptions)
  try {
    (void)Await(Checkpoint(), Here());
    ADD_FAILURE() << "not refused";
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
    EXPECT_EQ(error.what(), full);
  }
#else
  EXPECT_DEATH((void)Await(Checkpoint(), Here()), HasSubstr(full));
#endif
}

TEST(Parity, P23_TheErrorForOneNestedDeepInAnAwaitNamesBothHosts) {
  ElsewhereTask task;
  internal::PortalAccess::Set(task, internal::PortalAccess::Portal::kOpen);
  const char* const text =
      "task \"stranger\" is run by Elsewhere, and this is for tasks that are "
      "run by greenback::Run(); use what Elsewhere has for it";
  const auto checkpoint = []() -> Co<void> { (void)co_await Checkpoint(); };
  const auto nursery = [] {
    return OpenNursery([](Nursery&) -> Co<void> { co_return; });
  };
#if defined(__cpp_exceptions)
  const auto expect_refused = [text](auto await) {
    try {
      await();
      ADD_FAILURE() << "not refused";
    } catch (const PortalError& error) {
      EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  };
  expect_refused([&] { Await(checkpoint()); });
  expect_refused([&] { (void)Await(nursery()); });
  expect_refused([] { (void)Sleep(absl::Seconds(1)); });
#else
  EXPECT_DEATH(Await(checkpoint()), HasSubstr(text));
  EXPECT_DEATH((void)Await(nursery()), HasSubstr(text));
#endif
}

// ------------------------------------------- where coroutines cannot await

TYPED_TEST(AnyThreadParityTest, InComparatorsVisitorsAndOperators) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    std::vector<int> numbers = {5, 3, 9, 1, 7, 8, 2};
    std::sort(numbers.begin(), numbers.end(), [](int a, int b) {
      return TestFixture::TwiceSynchronously(a) <
             TestFixture::TwiceSynchronously(b);
    });
    EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 5, 7, 8, 9));

    const std::variant<int, std::string> variant = 4;
    const auto visitor = [](const auto& value) {
      if constexpr (std::is_same_v<decltype(value), const int&>) {
        return TestFixture::TwiceSynchronously(value);
      } else {
        return 0;
      }
    };
    EXPECT_EQ(std::visit(visitor, variant), 8);

    struct Table {
      int operator[](int index) const {
        return TestFixture::TwiceSynchronously(index);
      }
    };
    EXPECT_EQ(Table()[6], 12);
  });
}

template <class Host>
struct AwaitsWhenDestroyed {
  int& uncaught;
  ~AwaitsWhenDestroyed() {
    uncaught = std::uncaught_exceptions();
    Await(Host::Checkpoint());
    EXPECT_EQ(std::uncaught_exceptions(), uncaught);
  }
};

TYPED_TEST(AnyThreadParityTest, InDestructors) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    int uncaught = -1;
    {
      AwaitsWhenDestroyed<Host> awaits{uncaught};
    }
    EXPECT_EQ(uncaught, 0);
  });
}

#if defined(__cpp_exceptions)

TYPED_TEST(AnyThreadParityTest, R01_DestructorsMayAwaitWhileUnwinding) {
  PARITY_NAMES;
  InCompany<TypeParam>([] {
    int uncaught = -1;
    try {
      AwaitsWhenDestroyed<Host> awaits{uncaught};
      throw std::runtime_error("unwinding");
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "unwinding");
    }
    EXPECT_EQ(uncaught, 1);
  });
}

TYPED_TEST(ParityTest, R01_CatchBlocksOfSeveralTasksMayAwait) {
  PARITY_NAMES;
  int rounds = 0;
  Host::Run([&]() -> Void {
    co_await Host::InGroup([&](auto& group) -> Void {
      const auto work = [&rounds](int i) {
        for (int round = 0; round < 10; ++round) {
          const std::string mine = absl::StrCat(i, " ", round);
          try {
            try {
              throw std::runtime_error(mine);
            } catch (const std::runtime_error&) {
              const std::exception_ptr before = std::current_exception();
              Await(Host::Checkpoint());
              EXPECT_EQ(std::current_exception(), before);
              throw;
            }
          } catch (const std::runtime_error& error) {
            EXPECT_EQ(error.what(), mine);
            ++rounds;
          }
          EXPECT_EQ(std::current_exception(), nullptr);
        }
      };
      for (int i = 0; i < 3; ++i) {
        group.Spawn([work, i]() -> Void {
          const auto mine = work;
          co_await Host::WithPortalRunSync(mine, i);
        });
      }
      // Between their steps, other tasks see no exception.
      while (rounds != 30) {
        co_await Host::Checkpoint();
        EXPECT_EQ(std::current_exception(), nullptr);
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }
    });
  });
}

TYPED_TEST(AnyThreadParityTest, R01_APortalOpenedInACatchBlockStartsClean) {
  PARITY_NAMES;
  Host::Run([]() -> Void {
    bool opened = false;
    std::exception_ptr caught;
    try {
      throw std::runtime_error("outside");
    } catch (const std::runtime_error&) {
      caught = std::current_exception();
      // A coroutine cannot co_await here; a synchronous function can open a
      // portal where the host lets it run on the same thread.
      RunOnFiber([&] {
        EXPECT_EQ(std::current_exception(), nullptr);
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        opened = true;
      });
      EXPECT_EQ(std::current_exception(), caught);
    }
    EXPECT_TRUE(opened);
    co_return;
  });
}

#endif

}  // namespace
}  // namespace greenback
