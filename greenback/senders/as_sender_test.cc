#include "greenback/senders/as_sender.h"

#include <atomic>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/greenback.h"
#include "greenback/senders/internal/stop_token.h"
#include "greenback/senders/places_for_test.h"
#include "greenback/senders/sender_algorithms_for_test.h"
#include "greenback/senders/sender_library_for_test.h"
#include "greenback/senders/senders_for_test.h"
#include "gtest/gtest.h"
#include "tests/support/worker.h"

// The library is named once.
template <>
struct greenback::SenderLibrary<demo::sender_tag> {
  using receiver_concept = demo::receiver_tag;
  using operation_state_concept = demo::operation_state_tag;
  using set_value_t = demo::set_value_t;
  using set_error_t = demo::set_error_t;
  using set_stopped_t = demo::set_stopped_t;
  template <class... Signatures>
  using completion_signatures = demo::completion_signatures<Signatures...>;
  static constexpr auto& get_stop_token = demo::get_stop_token;
};

namespace greenback {
namespace {

using demo::just;
using demo::just_stopped;

template <class Fn, class... Args>
auto DemoSender(Fn fn, Args... args) {
  return AsSender<demo::sender_tag>(std::move(fn), std::move(args)...);
}

template <class Sender>
using SignaturesOf = typename Sender::completion_signatures;
static_assert(std::same_as<
              SignaturesOf<decltype(DemoSender([] { return 1; }))>,
              demo::completion_signatures<demo::set_value_t(int),
                                          demo::set_error_t(std::exception_ptr),
                                          demo::set_stopped_t()>>);
static_assert(
    std::same_as<SignaturesOf<decltype(DemoSender([] {}))>,
                 demo::completion_signatures<
                     demo::set_value_t(), demo::set_error_t(std::exception_ptr),
                     demo::set_stopped_t()>>);
static_assert(Sender<decltype(DemoSender([] {}))>);
static_assert(
    std::same_as<AwaitResult<decltype(AsSender([] { return 1; }))>, int>);

// Connects a sender to a receiver that records how it completes, on whatever
// thread, and that destroys the operation then.
template <class Sender, class R>
class Started {
 public:
  explicit Started(Sender&& sender) {
    operation_.emplace(std::move(sender), Receiver{this});
  }
  void Start() { operation_->op.start(); }
  void RequestStop() { source_.request_stop(); }

  bool done() const { return done_; }
  bool is_stopped() const { return is_stopped_; }
  bool is_destroyed() const { return !operation_.has_value(); }
  std::thread::id thread() const { return thread_; }
  std::optional<R> value;
  std::exception_ptr error;

 private:
  struct Env {
    internal::StopToken token;
    auto query(demo::get_stop_token_t) const noexcept { return token; }
  };
  struct Receiver {
    using receiver_concept = demo::receiver_tag;
    Started* started;
    void set_value(R result) noexcept {
      started->operation_.reset();
      started->value.emplace(std::move(result));
      started->Done();
    }
    void set_error(std::exception_ptr thrown) noexcept {
      started->operation_.reset();
      started->error = std::move(thrown);
      started->Done();
    }
    void set_stopped() noexcept {
      started->operation_.reset();
      started->is_stopped_ = true;
      started->Done();
    }
    Env get_env() const noexcept {
      return {internal::StopToken(started->source_.get_token())};
    }
  };
  struct Connected {
    Connected(Sender&& sender, Receiver receiver)
        : op(std::move(sender).connect(receiver)) {}
    decltype(std::declval<Sender>().connect(std::declval<Receiver>())) op;
  };

  void Done() {
    thread_ = std::this_thread::get_id();
    done_ = true;
  }

  std::stop_source source_;
  std::optional<Connected> operation_;
  std::thread::id thread_;
  bool is_stopped_ = false;
  std::atomic<bool> done_{false};
};
template <class R, class Fn>
auto Connect(Fn fn) {
  return Started<decltype(DemoSender(std::move(fn))), R>(
      DemoSender(std::move(fn)));
}

template <class Place>
class AsSenderTest : public ::testing::Test {};
using Places = ::testing::Types<AwaitInRun, CoAwaitInRun, AwaitInForeign>;
TYPED_TEST_SUITE(AsSenderTest, Places);

TYPED_TEST(AsSenderTest, ItsResultIsThatOfTheFunction) {
  EXPECT_EQ(Get<TypeParam>([] {
              return AsSender([](int a, int b) { return a + b; }, 40, 2);
            }),
            42);
  int calls = 0;
  Get<TypeParam>([&] { return AsSender([&] { ++calls; }); });
  EXPECT_EQ(calls, 1);
}

TYPED_TEST(AsSenderTest, ArgumentsAndResultMayBeMoveOnly) {
  EXPECT_EQ(*Get<TypeParam>([] {
    return AsSender([](std::unique_ptr<int> arg) { return arg; },
                    std::make_unique<int>(7));
  }),
            7);
}

TYPED_TEST(AsSenderTest, AStatusIsAValue) {
  const auto abort = [] { return absl::AbortedError(""); };
  EXPECT_TRUE(absl::IsAborted(Get<TypeParam>([&] { return AsSender(abort); })));
}

TYPED_TEST(AsSenderTest, TheFunctionMayAwait) {
  Worker worker;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Get<TypeParam>([&] {
                return AsSender([&] {
                  const int sum = Await(just(i)) + 1;
                  Await(demo::schedule(worker));
                  return sum;
                });
              }),
              i + 1);
  }
}

TYPED_TEST(AsSenderTest, AlgorithmsAcceptIt) {
  Worker one;
  Worker other;
  const auto on = [](Worker& worker, int value) {
    return demo::SenderOf<int>(DemoSender([&worker, value] {
      Await(demo::schedule(worker));
      return value;
    }));
  };
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Get<TypeParam>(
                  [&] { return demo::when_all(on(one, i), on(other, -i)); }),
              std::tuple(i, -i));
  }
}

TYPED_TEST(AsSenderTest, AnLvalueMayBeConnectedAgain) {
  auto sender =
      AsSender([](std::string text) { return text; }, std::string("kept"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Get<TypeParam>([&]() -> auto& { return sender; }), "kept");
  }
}

TEST(AsSenderCallTest, AReferenceStaysOne) {
  int variable = 0;
  const auto sender = DemoSender([&]() -> int& { return variable; });
  static_assert(
      std::same_as<
          SignaturesOf<std::remove_const_t<decltype(sender)>>,
          demo::completion_signatures<demo::set_value_t(int&),
                                      demo::set_error_t(std::exception_ptr),
                                      demo::set_stopped_t()>>);
  EXPECT_EQ(Get<CoAwaitInRun>([&]() -> auto& { return sender; }), 0);
}

TEST(AsSenderCallTest, WithoutAWaitItCompletesInStart) {
  bool called = false;
  auto started = Connect<int>([&] {
    called = true;
    return 7;
  });
  EXPECT_FALSE(called);
  started.Start();
  EXPECT_EQ(started.value, 7);
  EXPECT_TRUE(started.is_destroyed());
}

TEST(AsSenderCallTest, ACompletionContinuesItAtOnceOnItsThread) {
  demo::Manual<> manual;
  auto started = Connect<int>([&] {
    Await(manual.sender());
    return 7;
  });
  started.Start();
  EXPECT_FALSE(started.done());
  {
    std::thread completer([&] {
      manual.SetValue();
      EXPECT_EQ(started.value, 7);
      EXPECT_EQ(started.thread(), std::this_thread::get_id());
    });
    completer.join();
  }
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(AsSenderCallTest, ItMayWaitInsideAnother) {
  demo::Manual<int> manual;
  auto outer = Connect<int>([&] {
    return Await(DemoSender([&] { return Await(manual.sender()) + 1; })) + 1;
  });
  outer.Start();
  EXPECT_FALSE(outer.done());
  manual.SetValue(40);
  EXPECT_EQ(outer.value, 42);
}

TEST(AsSenderCallTest, ManyOfThemTakeNoStack) {
  int sum = 0;
  greenback::Run([&]() -> Co<void> {
    for (int i = 0; i < 100'000; ++i) {
      sum += co_await AsSender(+[] { return 1; });
    }
  });
  EXPECT_EQ(sum, 100'000);
}

#if defined(__cpp_exceptions)

TYPED_TEST(AsSenderTest, AnExceptionIsAnError) {
  EXPECT_THROW(Get<TypeParam>([] {
                 return AsSender([] { throw std::out_of_range("9"); });
               }),
               std::out_of_range);
}

TYPED_TEST(AsSenderTest, AStoppedSenderStopsIt) {
  EXPECT_THROW(
      Get<TypeParam>([] { return AsSender([] { Await(just_stopped()); }); }),
      SenderStopped);
}

TEST(AsSenderCallTest, SenderStoppedIsStopped) {
  auto started = Connect<int>([]() -> int {
    Await(just_stopped());
    return 7;
  });
  started.Start();
  EXPECT_TRUE(started.is_stopped());
  EXPECT_FALSE(started.error);
}

#endif

// Cancellation.

using IntOr = absl::StatusOr<int>;

TEST(AsSenderCancelTest, AStopReachesWhatTheFunctionAwaits) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  auto started = Connect<IntOr>([&] { return Await(manual.sender()); });
  started.Start();
  EXPECT_FALSE(started.done());
  started.RequestStop();
  EXPECT_TRUE(absl::IsCancelled(started.value.value().status()));
  EXPECT_EQ(manual.stops(), 1);
  EXPECT_EQ(demo::Counted::alive, 0);
}

TEST(AsSenderCancelTest, TheFunctionDecidesHowItEnds) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  demo::Manual<int> other;
  auto started = Connect<int>([&] {
    EXPECT_TRUE(absl::IsCancelled(Await(manual.sender()).status()));
    return Await(other.sender());
  });
  started.Start();
  started.RequestStop();
  EXPECT_FALSE(started.done());
  EXPECT_EQ(other.stops(), 1) << "it starts in a cancelled task";
  other.SetValue(7);
  EXPECT_EQ(started.value, 7);
}

TEST(AsSenderCancelTest, AStopBeforeTheStartCancelsTheTask) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  auto started = Connect<IntOr>([&] { return Await(manual.sender()); });
  started.RequestStop();
  started.Start();
  EXPECT_TRUE(absl::IsCancelled(started.value.value().status()));
}

TEST(AsSenderCancelTest, AStopInsideTheFunctionCancelsWhatItAwaitsNext) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  std::function<void()> request_stop;
  auto started = Connect<IntOr>([&] {
    request_stop();
    return Await(manual.sender());
  });
  request_stop = [&] { started.RequestStop(); };
  started.Start();
  EXPECT_TRUE(absl::IsCancelled(started.value.value().status()));
}

// Calls `request_stop` on another thread, after its own start.
struct Requesting {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t(IntOr),
                                  demo::set_stopped_t()>;
  template <class R>
  struct Operation {
    std::function<void()>& request_stop;
    decltype(std::declval<demo::Manual<IntOr>::Sender>().connect(
        std::declval<R>())) inner;
    void start() noexcept {
      inner.start();
      std::thread(request_stop).join();
    }
  };
  template <class R>
  Operation<R> connect(R receiver) && {
    return {request_stop, manual.sender().connect(receiver)};
  }
  std::function<void()>& request_stop;
  demo::Manual<IntOr>& manual;
};

TEST(AsSenderCancelTest, AStopReachesWhatIsStillBeingStarted) {
  demo::Manual<IntOr> second;
  second.on_stop = [&] { second.SetStopped(); };
  std::function<void()> request_stop;
  auto started =
      Connect<IntOr>([&] { return Await(Requesting{request_stop, second}); });
  request_stop = [&] { started.RequestStop(); };
  started.Start();
  EXPECT_TRUE(absl::IsCancelled(started.value.value().status()));
  EXPECT_EQ(second.stops(), 1);
}

TEST(AsSenderCancelTest, AStopMayRaceWithACompletion) {
  Worker completer;
  Worker requester;
  for (int i = 0; i < 300; ++i) {
    demo::Manual<IntOr> manual;
    std::atomic<bool> is_completed{false};
    auto started = Connect<IntOr>([&] {
      IntOr result = Await(manual.sender());
      // A wait that nothing but the task's host ends.
      Await(just());
      return result;
    });
    started.Start();
    completer.Post([&] {
      manual.SetValue(7);
      is_completed = true;
    });
    std::atomic<bool> is_requested{false};
    requester.Post([&] {
      started.RequestStop();
      is_requested = true;
    });
    while (!started.done() || !is_completed || !is_requested) {
      std::this_thread::yield();
    }
    EXPECT_EQ(*started.value.value(), 7);
    EXPECT_EQ(demo::Counted::alive, 0);
  }
}

TEST(AsSenderCancelTest, AStopMayRaceWithTheStart) {
  Worker completer;
  Worker requester;
  for (int i = 0; i < 300; ++i) {
    auto started = Connect<int>([&] {
      for (int waits = 0; waits < 3; ++waits) Await(demo::schedule(completer));
      return 7;
    });
    std::atomic<bool> is_requested{false};
    requester.Post([&] {
      started.RequestStop();
      is_requested = true;
    });
    started.Start();
    while (!started.done() || !is_requested) std::this_thread::yield();
    EXPECT_EQ(started.value, 7);
  }
}

TEST(AsSenderCancelTest, AStopThroughAnAlgorithmCancelsTheOthers) {
  demo::Manual<IntOr> manual;
  manual.on_stop = [&] { manual.SetStopped(); };
  bool cancelled = false;
  const auto wait = [&] {
    const IntOr result = Await(manual.sender());
    cancelled = absl::IsCancelled(result.status());
    return 1;
  };
  const absl::Status status = Get<AwaitInRun>([&] {
    return demo::then(demo::when_all(demo::SenderOf<int>(DemoSender(wait)),
                                     demo::StoppedInsteadOf<int>()),
                      [](std::tuple<int, int>) { return absl::OkStatus(); });
  });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_TRUE(cancelled);
}

#if GTEST_HAS_DEATH_TEST && !defined(NDEBUG)
TEST(AsSenderDeathTest, AnOperationMayNotBeDestroyedWhileItWaits) {
  EXPECT_DEATH(
      {
        demo::Manual<int> manual;
        auto started = Connect<int>([&] { return Await(manual.sender()); });
        started.Start();
      },
      "it has completed");
}
#endif

}  // namespace
}  // namespace greenback
