// The coroutines of any library accept every awaiter of greenback's.
#include <concepts>
#include <coroutine>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "greenback/awaitable.h"
#include "greenback/greenback.h"
#include "greenback/host/home_awaiter.h"
#include "gtest/gtest.h"
#include "tests/support/test_awaitables.h"
#include "util/async_generator.h"
#include "util/decorate_as_sync.h"
#if defined(GREENBACK_TEST_ON_ASIO)
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "greenback/asio/asio.h"
#endif

namespace greenback {
namespace {

// What corral, for one, asks of an awaiter.
template <class A>
concept GoodCitizen =
    requires(A awaiter, const A constant, std::coroutine_handle<> handle) {
      { constant.await_ready() } noexcept -> std::same_as<bool>;
      { awaiter.await_suspend(handle) } -> internal::SuspendResult;
      std::forward<A>(awaiter).await_resume();
    };
template <class Awaitable>
inline constexpr bool kGood = GoodCitizen<
    std::remove_reference_t<decltype(GetAwaiter(std::declval<Awaitable>()))>>;

// Besides, where an awaiter resumes the task and what it needs of the host. A
// new awaiter that did not declare this would work nevertheless, through a
// waker and with a later error, so it is checked here.
template <class Awaitable>
using AwaiterOf = std::remove_cvref_t<decltype(internal::GetAwaiterInTask(
    std::declval<Awaitable>()))>;
template <class Awaitable>
inline constexpr bool kHome = internal::HomeAwaiter<AwaiterOf<Awaitable>>;
template <class Awaitable>
inline constexpr const internal::HostService* kNeeds =
    internal::kNeededService<AwaiterOf<Awaitable>>;
// At home on every host; at home in a run; resumed wherever it is completed.
#define EXPECT_HOME(...)                        \
  static_assert(kGood<decltype(__VA_ARGS__)> && \
                kHome<decltype(__VA_ARGS__)> && \
                kNeeds<decltype(__VA_ARGS__)> == nullptr)
#define EXPECT_RUN(...)                         \
  static_assert(kGood<decltype(__VA_ARGS__)> && \
                kHome<decltype(__VA_ARGS__)> && \
                kNeeds<decltype(__VA_ARGS__)> == &internal::kRunService)
#define EXPECT_ANYWHERE(...) \
  static_assert(kGood<decltype(__VA_ARGS__)> && !kHome<decltype(__VA_ARGS__)>)

[[maybe_unused]] Co<int> One() { co_return 1; }
using Generator = AsyncGenerator<int, int>&;

EXPECT_HOME(One());
EXPECT_HOME(std::declval<Co<int&>>());
EXPECT_HOME(EnsurePortal());
EXPECT_HOME(WithPortalRun(One));
EXPECT_HOME(WithPortalRun(EnsurePortal, std::source_location()));
EXPECT_HOME(WithPortalRunSync([] { return 1; }));
EXPECT_HOME(DecorateAsSync([](auto fn) { return fn; })(One)());
EXPECT_ANYWHERE(FromCallback<int>([](auto) {}));
EXPECT_ANYWHERE(FromCallback([](auto) {}, [] {}));
EXPECT_RUN(Checkpoint());
EXPECT_RUN(CheckpointIfCancelled());
EXPECT_RUN(CancelShieldedCheckpoint());
EXPECT_RUN(Sleep(absl::Seconds(1)));
EXPECT_RUN(SleepUntil(absl::Now()));
EXPECT_RUN(std::declval<Event&>().Wait());
EXPECT_RUN(WaitTaskRescheduled<int>([] { return Abort::kFailed; }));
EXPECT_RUN(WaitTaskRescheduled<void>([] { return Abort::kFailed; }));
EXPECT_HOME(RunInThread([] { return 1; }));
EXPECT_HOME(OpenNursery([](Nursery&) -> Co<void> { co_return; }));
EXPECT_HOME(std::declval<Generator>().Next());
EXPECT_HOME(std::declval<Generator>().Send(1));
EXPECT_HOME(std::declval<Generator>().Close());
#if defined(__cpp_exceptions)
EXPECT_HOME(std::declval<Generator>().Throw(1));
#endif
EXPECT_RUN(internal::NurseryAccess::AllChildren(std::declval<Nursery&>()));

// Awaiters that wrap others, whether an inner await_ready() is const or not.
struct Fickle {
  bool await_ready() noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) noexcept {}
  void await_resume() noexcept {}
};
struct ToAdapt {};

}  // namespace

template <>
struct AwaitableAdapter<ToAdapt> {
  static Fickle Adapt(ToAdapt) { return {}; }
};

namespace {

EXPECT_ANYWHERE(ToAdapt());
EXPECT_HOME(internal::ComeHome(Fickle()));
EXPECT_HOME(internal::ComeHome(std::declval<Fickle&>()));
EXPECT_HOME(internal::ComeHome(ToAdapt()));
EXPECT_HOME(internal::ComeHome(One()));
#if !defined(__clang__)
static_assert(GoodCitizen<internal::AwaiterRef<Fickle&>>);
#endif
// A wrapper of an await_ready() that may throw is not noexcept.
struct Throws {
  bool await_ready() { return true; }
  void await_suspend(std::coroutine_handle<>) {}
  void await_resume() {}
};
static_assert(!kGood<decltype(internal::ComeHome(Throws()))>);
static_assert(Awaiter<decltype(internal::ComeHome(Throws()))>);

// The awaiters between greenback's own coroutines.
template <class Coroutine>
using FinalOf =
    decltype(std::declval<typename Coroutine::promise_type&>().final_suspend());
template <class A>
concept ConstNoexceptReady = requires(const A awaiter) {
  { awaiter.await_ready() } noexcept -> std::same_as<bool>;
};
static_assert(ConstNoexceptReady<FinalOf<Co<int>>>);
static_assert(ConstNoexceptReady<FinalOf<AsyncGenerator<int>>>);
static_assert(ConstNoexceptReady<
              decltype(std::declval<AsyncGenerator<int>::promise_type&>()
                           .yield_value(std::declval<int>()))>);
static_assert(ConstNoexceptReady<
              decltype(std::declval<AsyncGenerator<int>::promise_type&>()
                           .yield_value(std::declval<const int&>()))>);

#if defined(GREENBACK_TEST_ON_ASIO)
EXPECT_ANYWHERE(std::declval<boost::asio::awaitable<int>>());
EXPECT_ANYWHERE(boost::asio::this_coro::executor);
EXPECT_HOME(boost::asio::post(boost::asio::deferred));
EXPECT_ANYWHERE(boost::asio::post(std::declval<boost::asio::io_context&>(),
                                  boost::asio::deferred));
EXPECT_ANYWHERE(std::declval<boost::asio::steady_timer&>().async_wait(
    boost::asio::deferred));
#endif

#if defined(GREENBACK_TEST_ON_ASIO)

// Runs `body`, a coroutine of Asio's, to its end.
void RunAsio(boost::asio::awaitable<void> body) {
  boost::asio::io_context io;
  std::exception_ptr error;
  boost::asio::co_spawn(io, std::move(body),
                        [&](std::exception_ptr failed) { error = failed; });
  io.run();
  if (error) std::rethrow_exception(error);
}

// An awaiter that returns an rvalue reference into itself.
struct ReturnsPartOfItself {
  std::string text = std::string(100, 'x');
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<>) { return false; }
  std::string&& await_resume() { return std::move(text); }
};

TEST(AwaitersAsioTest, R18_AsAwaitableMovesTheResultOut) {
  bool done = false;
  const auto body = [&]() -> boost::asio::awaitable<void> {
    EXPECT_EQ(co_await asio::AsAwaitable(ReturnsPartOfItself()),
              std::string(100, 'x'));
    const auto await_in_function = [] { return Await(ReturnsPartOfItself()); };
    EXPECT_EQ(co_await asio::WithPortalRunSync(await_in_function),
              std::string(100, 'x'));
    done = true;
  };
  RunAsio(body());
  EXPECT_TRUE(done);
}

TEST(AwaitersAsioTest, R44_AsAwaitableOfACoThatWasAwaitedIsAClearError) {
  int errors = 0;
  const auto body = [&]() -> boost::asio::awaitable<void> {
    Co<int> one = One();
    const auto await_in_function = [&] { return Await(one); };
    EXPECT_EQ(co_await asio::WithPortalRunSync(await_in_function), 1);
    try {
      (void)co_await asio::AsAwaitable(std::move(one));
    } catch (const AwaitableError&) {
      ++errors;
    }
  };
  RunAsio(body());
  EXPECT_EQ(errors, 1);
}

#endif

// Their await_ready() must not throw, so their await_suspend() does.
TEST(AwaitersTest, R25_MisuseIsReportedAllTheSame) {
#if defined(__cpp_exceptions)
  int errors = 0;
  const auto body = [&]() -> Detached {
    try {
      (void)co_await EnsurePortal();
    } catch (const PortalError&) {
      ++errors;
    }
    try {
      (void)co_await CheckpointIfCancelled();
    } catch (const std::logic_error&) {
      ++errors;
    }
  };
  body();
  EXPECT_EQ(errors, 2);
#else
  const auto body = []() -> Detached { (void)co_await EnsurePortal(); };
  EXPECT_DEATH(body(), "greenback::EnsurePortal at .*no task is running");
#endif
}

}  // namespace
}  // namespace greenback
