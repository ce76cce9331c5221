#include "greenback/senders/sender.h"

#include <concepts>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/senders/places_for_test.h"
#include "greenback/senders/sender_algorithms_for_test.h"
#include "greenback/senders/sender_library_for_test.h"
#include "greenback/senders/senders_for_test.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/run_nursery.h"
#include "tests/support/worker.h"

namespace greenback {
namespace {

using demo::just;
using demo::just_error;
using demo::just_stopped;
using ::testing::HasSubstr;

// Types.

static_assert(Sender<decltype(just(1))>);
static_assert(!Sender<decltype(just(1))&>, "it has no reference");
static_assert(!Sender<int>);
static_assert(!Sender<Co<int>>);
static_assert(Awaitable<decltype(just(1))>);
static_assert(Awaitable<decltype(just(1))&>);
static_assert(Awaitable<const decltype(just(1))&>);

template <class... Vs>
using ResultOfJust = AwaitResult<demo::Just<demo::set_value_t, Vs...>>;
static_assert(std::same_as<ResultOfJust<int>, int>);
static_assert(std::same_as<ResultOfJust<>, void>);
static_assert(std::same_as<ResultOfJust<int, bool>, std::tuple<int, bool>>);
static_assert(std::same_as<ResultOfJust<const int&>, int>);
static_assert(
    std::same_as<ResultOfJust<std::tuple<int, bool>>, std::tuple<int, bool>>);
static_assert(std::same_as<AwaitResult<decltype(just_stopped())>, void>);
static_assert(std::same_as<AwaitResult<decltype(just_error(1))>, void>);
static_assert(std::same_as<AwaitResult<demo::Variety>,
                           std::variant<std::tuple<int>, std::tuple<int, bool>,
                                        std::tuple<>>>);

// A sender that can be awaited by itself is awaited as it says.
struct AwaitableSender : std::suspend_never {
  using sender_concept = demo::sender_tag;
  int await_resume() const noexcept { return 7; }
};
static_assert(!Sender<AwaitableSender>);
static_assert(std::same_as<AwaitResult<AwaitableSender>, int>);

// The environment answers the query for a stop token, and no other.
using Env = internal::SenderEnv<SenderLibrary<demo::sender_tag>>;
template <class Query>
concept Answered = requires(const Env& env, Query query) { env.query(query); };
static_assert(Answered<demo::get_stop_token_t>);
static_assert(!Answered<demo::get_answer_t>);

// In every place.

template <class Place>
class SenderTest : public ::testing::Test {};
using Places = ::testing::Types<AwaitInRun, CoAwaitInRun, AwaitInForeign>;
TYPED_TEST_SUITE(SenderTest, Places);

TYPED_TEST(SenderTest, OneValueIsTheResult) {
  EXPECT_EQ(Get<TypeParam>([] { return just(42); }), 42);
}

// Completes without a value, and counts how often.
struct CountsCompletions {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t()>;
  template <class R>
  struct Operation {
    int& completions;
    R receiver;
    void start() noexcept {
      ++completions;
      demo::set_value_t()(std::move(receiver));
    }
  };
  template <class R>
  Operation<R> connect(R receiver) const {
    return {completions, std::move(receiver)};
  }
  int& completions;
};

TYPED_TEST(SenderTest, NoValueIsVoid) {
  int completions = 0;
  const auto make = [&] { return CountsCompletions{completions}; };
  static_assert(std::is_void_v<decltype(Get<TypeParam>(make))>);
  Get<TypeParam>(make);
  EXPECT_EQ(completions, 1);
}

TYPED_TEST(SenderTest, SeveralValuesAreATuple) {
  EXPECT_EQ(Get<TypeParam>([] { return just(1, std::string("two")); }),
            std::tuple(1, std::string("two")));
}

TYPED_TEST(SenderTest, AValueMayBeMoveOnly) {
  EXPECT_EQ(*Get<TypeParam>([] { return just(std::make_unique<int>(7)); }), 7);
}

TYPED_TEST(SenderTest, DifferentValuesAreAVariant) {
  const auto get = [](int values) {
    return Get<TypeParam>([=] { return demo::Variety{values}; });
  };
  EXPECT_TRUE(std::holds_alternative<std::tuple<>>(get(0)));
  EXPECT_EQ(std::get<std::tuple<int>>(get(1)), std::tuple(1));
  EXPECT_EQ((std::get<std::tuple<int, bool>>(get(2))), std::tuple(2, true));
}

TYPED_TEST(SenderTest, TheOperationIsDestroyedWithTheAwait) {
  Get<TypeParam>([] { return just(); });
  EXPECT_EQ(demo::Counted::alive, 0);
}

TYPED_TEST(SenderTest, AnLvalueMayBeAwaitedAgain) {
  auto sender = just(std::string("kept"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Get<TypeParam>([&]() -> auto& { return sender; }), "kept");
  }
  EXPECT_EQ(Get<TypeParam>([&]() -> const auto& { return sender; }), "kept");
}

TYPED_TEST(SenderTest, CompletesOnAnotherThread) {
  Worker worker;
  for (int i = 0; i < 100; ++i) {
    const std::thread::id id = Get<TypeParam>([&] {
      return demo::then(demo::schedule(worker),
                        [] { return std::this_thread::get_id(); });
    });
    EXPECT_EQ(id, worker.id());
  }
}

TYPED_TEST(SenderTest, SendersMayBeComposed) {
  Worker one;
  Worker other;
  const auto value = [](Worker& worker, int v) {
    return demo::then(demo::schedule(worker), [v] { return v; });
  };
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Get<TypeParam>([&] {
                return demo::when_all(value(one, i), value(other, -i));
              }),
              std::tuple(i, -i));
  }
}

TYPED_TEST(SenderTest, AStatusSaysThatASenderWasStopped) {
  const absl::StatusOr<int> result = Get<TypeParam>(
      [] { return demo::StoppedInsteadOf<absl::StatusOr<int>>(); });
  EXPECT_TRUE(absl::IsCancelled(result.status()));
  EXPECT_THAT(result.status().message(), HasSubstr("set_stopped()"));
  const absl::Status status =
      Get<TypeParam>([] { return demo::StoppedInsteadOf<absl::Status>(); });
  EXPECT_TRUE(absl::IsCancelled(status));
}

#if defined(__cpp_exceptions)

TYPED_TEST(SenderTest, AnExceptionPtrIsRethrown) {
  EXPECT_THROW(
      Get<TypeParam>([] {
        return just_error(std::make_exception_ptr(std::out_of_range("9")));
      }),
      std::out_of_range);
}

TYPED_TEST(SenderTest, AnErrorCodeIsThrownAsASystemError) {
  try {
    Get<TypeParam>(
        [] { return just_error(std::make_error_code(std::errc::io_error)); });
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::io_error);
  }
}

TYPED_TEST(SenderTest, AnyOtherErrorIsThrownAsItIs) {
  EXPECT_THROW(Get<TypeParam>([] { return just_error(std::string("oh")); }),
               std::string);
  EXPECT_THROW(Get<TypeParam>([] { return just_error(7); }), int);
}

TYPED_TEST(SenderTest, AStoppedSenderThrows) {
  EXPECT_THROW(Get<TypeParam>([] { return just_stopped(); }), SenderStopped);
  EXPECT_EQ(demo::Counted::alive, 0);
}

// Its connect() throws.
struct Unconnectable {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t()>;
  struct Operation {
    void start() noexcept { FAIL(); }
  };
  template <class R>
  Operation connect(R) const {
    throw std::runtime_error("connect");
  }
};

TYPED_TEST(SenderTest, AnExceptionOfConnectPropagates) {
  EXPECT_THROW(Get<TypeParam>([] { return Unconnectable(); }),
               std::runtime_error);
}

#else

TEST(SenderDeathTest, WithoutExceptionsAnErrorEndsTheProgram) {
  EXPECT_DEATH(Get<AwaitInRun>([] { return just_error(7); }), "set_error");
  EXPECT_DEATH(Get<AwaitInRun>([] { return just_stopped(); }), "set_stopped");
}

#endif

// Completion inside start().

TEST(SenderStackTest, ManyAwaitsTakeNoStack) {
  constexpr int kAwaits = 100'000;
  int sum = 0;
  greenback::Run([&]() -> Co<void> {
    for (int i = 0; i < kAwaits; ++i) sum += co_await just(1);
    const auto await = [&] {
      for (int i = 0; i < kAwaits; ++i) sum += Await(just(1));
    };
    co_await WithPortalRunSync(std::ref(await));
  });
  EXPECT_EQ(sum, 2 * kAwaits);
}

// Cancellation.

using IntOr = absl::StatusOr<int>;

TEST(SenderCancelTest, CancellingTheTaskRequestsAStop) {
  demo::Manual<IntOr> natively;
  demo::Manual<IntOr> synchronously;
  for (demo::Manual<IntOr>* manual : {&natively, &synchronously}) {
    manual->on_stop = [=] { manual->SetStopped(); };
  }
  int ended = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      const IntOr result = co_await natively.sender();
      EXPECT_TRUE(absl::IsCancelled(result.status()));
      ++ended;
    });
    nursery.StartSoon([&]() -> Co<void> {
      const auto await = [&] {
        const IntOr result = Await(synchronously.sender());
        EXPECT_TRUE(absl::IsCancelled(result.status()));
      };
      co_await WithPortalRunSync(std::ref(await));
      ++ended;
    });
    (void)co_await Checkpoint();
    EXPECT_TRUE(natively.is_started());
    EXPECT_TRUE(synchronously.is_started());
    nursery.cancel_scope().Cancel();
  });
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(natively.stops(), 1);
  EXPECT_EQ(synchronously.stops(), 1);
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(SenderCancelTest, TheWaitEndsWhenTheSenderCompletes) {
  demo::Manual<int> manual;
  int result = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> { result = co_await manual.sender(); });
    (void)co_await Checkpoint();
    nursery.cancel_scope().Cancel();
    EXPECT_EQ(manual.stops(), 1);
    EXPECT_EQ(result, 0);
    manual.SetValue(7);
  });
  EXPECT_EQ(result, 7) << "the sender did not stop";
}

TEST(SenderCancelTest, InACancelledTaskAStopIsRequestedAtTheStart) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  greenback::Run([&]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    EXPECT_TRUE(absl::IsCancelled((co_await manual.sender()).status()));
  });
  EXPECT_EQ(manual.stops(), 1);
}

TEST(SenderCancelTest, TheStopReachesWhatASenderIsMadeOf) {
  demo::Manual<int> one;
  demo::Manual<int> other;
  for (demo::Manual<int>* manual : {&one, &other}) {
    manual->on_stop = [=] { manual->SetStopped(); };
  }
  bool stopped = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      const auto as_status = [](std::tuple<int, int>) {
        return absl::OkStatus();
      };
      const absl::Status status = co_await demo::then(
          demo::when_all(demo::SenderOf<int>(one.sender()),
                         demo::SenderOf<int>(other.sender())),
          as_status);
      stopped = absl::IsCancelled(status);
    });
    (void)co_await Checkpoint();
    nursery.cancel_scope().Cancel();
  });
  EXPECT_TRUE(stopped);
  EXPECT_EQ(one.stops(), 1);
  EXPECT_EQ(other.stops(), 1);
}

TEST(SenderCancelTest, AStopMayRaceWithACompletionOnAnotherThread) {
  Worker worker;
  for (int i = 0; i < 100; ++i) {
    demo::Manual<int> manual;
    int result = 0;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon(
          [&]() -> Co<void> { result = co_await manual.sender(); });
      (void)co_await Checkpoint();
      worker.Post([&] { manual.SetValue(7); });
      nursery.cancel_scope().Cancel();
    });
    EXPECT_EQ(result, 7);
  }
}

// Frames that are destroyed while they wait.

#if defined(__cpp_exceptions)

OwnedCoroutine AwaitIn(demo::Manual<int>& manual, bool& was_unwound) {
  const auto await = [&] {
    struct Unwound {
      bool& flag;
      ~Unwound() { flag = true; }
    } unwound{was_unwound};
    (void)Await(manual.sender());
    ADD_FAILURE() << "resumed";
  };
  co_await WithPortalRunSync(std::ref(await));
}

TEST(SenderAbandonedTest, AStopIsRequestedAndTheOperationOutlivesTheFrames) {
  demo::Manual<int> manual;
  bool unwound = false;
  {
    OwnedCoroutine waiting = AwaitIn(manual, unwound);
    EXPECT_TRUE(manual.is_started());
    EXPECT_EQ(demo::Counted::alive, 1);
  }
  EXPECT_TRUE(unwound);
  EXPECT_EQ(manual.stops(), 1);
  EXPECT_EQ(demo::Counted::alive, 1) << "destroyed before it has completed";
  manual.SetValue(7);
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(SenderAbandonedTest, TheOperationMayCompleteInsideTheRequest) {
  demo::Manual<int> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  bool unwound = false;
  {
    OwnedCoroutine waiting = AwaitIn(manual, unwound);
  }
  EXPECT_TRUE(unwound);
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(SenderAbandonedTest, TheOperationMayFailLater) {
  demo::Manual<int> manual;
  bool unwound = false;
  {
    OwnedCoroutine waiting = AwaitIn(manual, unwound);
  }
  manual.SetError(1);
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(SenderAbandonedTest, TheOperationMayCompleteOnAnotherThread) {
  for (int i = 0; i < 100; ++i) {
    demo::Manual<int> manual;
    {
      Worker worker;
      // The completion races with the end of the request.
      manual.on_stop = [&] { worker.Post([&] { manual.SetStopped(); }); };
      bool unwound = false;
      {
        OwnedCoroutine waiting = AwaitIn(manual, unwound);
      }
    }
    EXPECT_EQ(demo::Counted::alive, 0);
  }
}

#endif

}  // namespace
}  // namespace greenback
