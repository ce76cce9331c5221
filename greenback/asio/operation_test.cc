#include "greenback/asio/operation.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect_pipe.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/asio/run_executor.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::boost::asio::as_tuple;
using ::boost::asio::buffer;
using ::boost::asio::deferred;
using ::boost::asio::steady_timer;
using ::boost::asio::error::operation_aborted;
using ::boost::asio::ip::tcp;
using ::boost::system::error_code;
using ::greenback::asio::RunExecutor;
using Local = ::boost::asio::local::stream_protocol;

constexpr auto kQuiet = as_tuple(deferred);
constexpr auto kLong = std::chrono::hours(1);

// How a test awaits.
enum class Way { kCoAwait, kAwait };

template <class Operation>
__attribute__((noinline)) AwaitResult<Operation> AwaitInFunction(
    Operation&& operation) {
  return Await(std::forward<Operation>(operation));
}

// Only operations are tested here, so that each test is a task with a portal.
template <class Body>
void RunInPortal(const RunOptions& options, Body body) {
  bool done = false;
  greenback::Run(options, [&]() -> Co<void> {
    const absl::Status opened = co_await EnsurePortal();
    EXPECT_TRUE(opened.ok()) << opened;
    co_await body();
    done = true;
  });
  EXPECT_TRUE(done);
}
template <class Body>
void RunInPortal(Body body) {
  RunInPortal(RunOptions(), std::move(body));
}

class AsioOperationTest : public ::testing::TestWithParam<Way> {
 protected:
  // co_await -> the result of `operation`.
  template <class Operation>
  static Co<AwaitResult<Operation>> Do(Operation operation) {
    if (GetParam() == Way::kAwait) {
      co_return AwaitInFunction(std::move(operation));
    }
    co_return co_await std::move(operation);
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, AsioOperationTest,
                         ::testing::Values(Way::kCoAwait, Way::kAwait),
                         [](const auto& info) {
                           return info.param == Way::kAwait ? "Await"
                                                            : "CoAwait";
                         });

// An operation that the test completes by hand, or drops.
// (any_completion_handler of Boost 1.81 cannot be moved.)
template <class Signature>
class Manual;
template <class... Args>
class Manual<void(Args...)> {
 public:
  template <class Token>
  auto AsyncWait(Token&& token) {
    return boost::asio::async_initiate<Token, void(Args...)>(
        [this](auto handler) {
          kept_ = std::make_unique<Keep<decltype(handler)>>(std::move(handler));
        },
        token);
  }
  bool started() const { return kept_ != nullptr; }
  void End(Args... args) {
    std::exchange(kept_, nullptr)->Call(std::forward<Args>(args)...);
  }
  void Drop() { kept_.reset(); }

 private:
  struct Kept {
    virtual ~Kept() = default;
    virtual void Call(Args... args) = 0;
  };
  template <class Handler>
  struct Keep final : Kept {
    explicit Keep(Handler&& from) : handler(std::move(from)) {}
    void Call(Args... args) override {
      std::move(handler)(std::forward<Args>(args)...);
    }
    Handler handler;
  };

  std::unique_ptr<Kept> kept_;
};

steady_timer Never() { return steady_timer(RunExecutor(), kLong); }

// ---------------------------------------------------------------------- types

template <class Operation>
using Result = AwaitResult<Operation>;

using TimerWait =
    decltype(std::declval<steady_timer&>().async_wait(boost::asio::deferred));
static_assert(Awaitable<TimerWait>);
static_assert(Awaitable<TimerWait&>);
static_assert(Awaitable<const TimerWait&>);
static_assert(std::is_void_v<Result<TimerWait>>);
static_assert(
    std::is_same_v<
        Result<decltype(std::declval<steady_timer&>().async_wait(kQuiet))>,
        std::tuple<error_code>>);
static_assert(
    std::is_same_v<Result<decltype(std::declval<tcp::socket&>().async_read_some(
                       std::declval<boost::asio::mutable_buffer>(), deferred))>,
                   size_t>);
static_assert(
    std::is_same_v<Result<decltype(std::declval<tcp::socket&>().async_read_some(
                       std::declval<boost::asio::mutable_buffer>(), kQuiet))>,
                   std::tuple<error_code, size_t>>);
static_assert(
    std::is_same_v<
        Result<decltype(std::declval<Manual<void(error_code, int, char)>>()
                            .AsyncWait(deferred))>,
        std::tuple<int, char>>);
static_assert(std::is_same_v<
              Result<decltype(std::declval<Manual<void(std::exception_ptr,
                                                       std::unique_ptr<int>)>>()
                                  .AsyncWait(deferred))>,
              std::unique_ptr<int>>);
static_assert(std::is_same_v<
              Result<decltype(std::declval<Manual<void(const std::string&)>>()
                                  .AsyncWait(deferred))>,
              std::string>);
// Parts of chains are not operations.
static_assert(!Awaitable<decltype(deferred([](auto x) { return x.y; }))>);
static_assert(!Awaitable<boost::asio::deferred_t>);
static_assert(!Awaitable<boost::asio::deferred_noop>);

// ----------------------------------------------------------------- operations

TEST_P(AsioOperationTest, TimersAreAwaited) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
    co_await Do(timer.async_wait(deferred));
    EXPECT_LE(timer.expiry(), steady_timer::clock_type::now());
  });
}

TEST_P(AsioOperationTest, TcpSocketsAreAwaited) {
  RunInPortal([]() -> Co<void> {
    tcp::acceptor acceptor(
        RunExecutor(),
        tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    std::string reply;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        tcp::socket peer = co_await acceptor.async_accept(deferred);
        std::string request;
        size_t length = co_await boost::asio::async_read_until(
            peer, boost::asio::dynamic_buffer(request), '\n', deferred);
        EXPECT_EQ(request.substr(0, length), "hello\n");
        co_await boost::asio::async_write(peer, buffer(request), deferred);
      });
      tcp::socket socket(RunExecutor());
      co_await Do(socket.async_connect(acceptor.local_endpoint(), deferred));
      size_t sent = co_await Do(boost::asio::async_write(
          socket, buffer(std::string_view("hello\n")), deferred));
      EXPECT_EQ(sent, 6u);
      auto [error, received] = co_await Do(boost::asio::async_read(
          socket, boost::asio::dynamic_buffer(reply), kQuiet));
      EXPECT_EQ(error, boost::asio::error::eof);
      EXPECT_EQ(received, 6u);
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(reply, "hello\n");
  });
}

TEST_P(AsioOperationTest, UnixSocketsAreAwaited) {
  RunInPortal([]() -> Co<void> {
    Local::socket one(RunExecutor());
    Local::socket two(RunExecutor());
    boost::asio::local::connect_pair(one, two);
    // More than the socket holds, so that both must continue in turns.
    const std::string sent(1 << 20, 'x');
    std::string received(sent.size(), '\0');
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        EXPECT_EQ(
            co_await boost::asio::async_write(one, buffer(sent), deferred),
            sent.size());
      });
      EXPECT_EQ(
          co_await Do(boost::asio::async_read(two, buffer(received), deferred)),
          sent.size());
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(received == sent);
  });
}

TEST_P(AsioOperationTest, SignalsAreAwaited) {
  RunInPortal([]() -> Co<void> {
    boost::asio::signal_set signals(RunExecutor(), SIGUSR1);
    raise(SIGUSR1);
    EXPECT_EQ(co_await Do(signals.async_wait(deferred)), SIGUSR1);
  });
}

TEST_P(AsioOperationTest, PipesAreAwaited) {
  RunInPortal([]() -> Co<void> {
    boost::asio::readable_pipe in(RunExecutor());
    boost::asio::writable_pipe out(RunExecutor());
    boost::asio::connect_pipe(in, out);
    co_await Do(
        out.async_write_some(buffer(std::string_view("abc")), deferred));
    out.close();
    std::array<char, 8> text;
    EXPECT_EQ(co_await Do(in.async_read_some(buffer(text), deferred)), 3u);
    EXPECT_EQ(
        std::get<0>(co_await Do(in.async_read_some(buffer(text), kQuiet))),
        boost::asio::error::eof);
  });
}

TEST_P(AsioOperationTest, DescriptorsAreAwaited) {
  RunInPortal([]() -> Co<void> {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    boost::asio::posix::stream_descriptor in(RunExecutor(), ends[0]);
    boost::asio::posix::stream_descriptor out(RunExecutor(), ends[1]);
    co_await Do(out.async_wait(out.wait_write, deferred));
    co_await Do(
        boost::asio::async_write(out, buffer(std::string_view("a")), deferred));
    co_await Do(in.async_wait(in.wait_read, deferred));
    char letter = 0;
    EXPECT_EQ(co_await Do(in.async_read_some(buffer(&letter, 1), deferred)),
              1u);
    EXPECT_EQ(letter, 'a');
  });
}

// A post() passes through the run's queue of handlers.
TEST_P(AsioOperationTest, PostIsAwaited) {
  RunInPortal([]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    co_await Do(boost::asio::post(RunExecutor(), deferred));
    co_await Do(boost::asio::post(deferred));
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

TEST_P(AsioOperationTest, ItMayCompleteInsideItsInitiation) {
  RunInPortal([]() -> Co<void> {
    EXPECT_EQ(co_await Do(deferred.values(7)), 7);
    auto [number, text] = co_await Do(deferred.values(8, std::string("eight")));
    EXPECT_EQ(number, 8);
    EXPECT_EQ(text, "eight");
    auto pointer = co_await Do(deferred.values(std::make_unique<int>(9)));
    EXPECT_EQ(*pointer, 9);
    co_await Do(deferred.values());
  });
}

TEST_P(AsioOperationTest, ChainsAreAwaited) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
    EXPECT_EQ(co_await Do(
                  timer.async_wait(deferred) | deferred([&](error_code error) {
                    timer.expires_after(std::chrono::milliseconds(1));
                    return timer.async_wait(deferred([error](error_code again) {
                      return deferred.values(!error && !again);
                    }));
                  })),
              true);
  });
}

TEST_P(AsioOperationTest, DeferredMayBeTheDefaultToken) {
  RunInPortal([]() -> Co<void> {
    using Timer = boost::asio::as_tuple_t<
        boost::asio::deferred_t>::as_default_on_t<steady_timer>;
    Timer timer(RunExecutor(), std::chrono::milliseconds(1));
    auto [error] = co_await Do(timer.async_wait());
    EXPECT_FALSE(error);
  });
}

// An lvalue can be awaited again.
TEST(AsioOperationOnceTest, LvalueMayBeAwaitedAgain) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
    auto operation = timer.async_wait(deferred);
    co_await operation;
    co_await operation;
    Await(operation);
    const auto& constant = operation;
    co_await constant;
    Await(std::move(operation));
  });
}

TEST(AsioOperationOnceTest, MixesWithEverythingElse) {
  RunInPortal([]() -> Co<void> {
    Local::socket one(RunExecutor());
    Local::socket two(RunExecutor());
    boost::asio::local::connect_pair(one, two);
    for (int i = 0; i < 100; ++i) {
      co_await boost::asio::async_write(one, buffer(&i, sizeof(i)), deferred);
      EXPECT_TRUE((co_await Checkpoint()).ok());
      int received = -1;
      AwaitInFunction(boost::asio::async_read(
          two, buffer(&received, sizeof(received)), deferred));
      EXPECT_TRUE(Await(Checkpoint()).ok());
      EXPECT_EQ(received, i);
    }
  });
}

// A run polls while an operation is under way, whatever else is ready.
TEST_P(AsioOperationTest, IsNotStarvedByTasksThatNeverWait) {
  RunInPortal([]() -> Co<void> {
    bool done = false;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        while (!done) (void)co_await Checkpoint();
      });
      boost::asio::thread_pool pool(1);
      steady_timer timer(pool, std::chrono::milliseconds(1));
      co_await Do(timer.async_wait(deferred));
      done = true;
    });
    EXPECT_TRUE(status.ok()) << status;
  });
}

// --------------------------------------------------------------------- errors

TEST_P(AsioOperationTest, ErrorsAreReturnedInTuples) {
  RunInPortal([]() -> Co<void> {
    tcp::acceptor acceptor(
        RunExecutor(),
        tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    const tcp::endpoint nobody = acceptor.local_endpoint();
    acceptor.close();
    tcp::socket socket(RunExecutor());
    auto [error] = co_await Do(socket.async_connect(nobody, kQuiet));
    EXPECT_EQ(error, boost::asio::error::connection_refused);
  });
}

TEST_P(AsioOperationTest, AnotherTaskMayAbortIt) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer = Never();
    CancelScope scope;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        timer.cancel();
        co_return;
      });
      auto [error] = co_await Do(timer.async_wait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

// An operation that never completes is an error, where the signature has one.
TEST_P(AsioOperationTest, ADroppedHandlerReportsOperationAborted) {
  Manual<void(error_code, int)> manual;
  RunInPortal([&]() -> Co<void> {
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        manual.Drop();
        co_return;
      });
      auto [error, value] = co_await Do(manual.AsyncWait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
      EXPECT_EQ(value, 0);
    });
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST_P(AsioOperationTest, ADestroyedIoContextReportsOperationAborted) {
  RunInPortal([]() -> Co<void> {
    auto io = std::make_unique<boost::asio::io_context>();
    auto timer = std::make_unique<steady_timer>(*io, kLong);
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        timer.reset();  // its handler is queued as aborted, and never called
        io.reset();
        co_return;
      });
      auto [error] = co_await Do(timer->async_wait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
    });
    EXPECT_TRUE(status.ok()) << status;
  });
}

#if defined(__cpp_exceptions)

TEST_P(AsioOperationTest, ErrorsAreThrown) {
  RunInPortal([]() -> Co<void> {
    Local::socket one(RunExecutor());
    Local::socket two(RunExecutor());
    boost::asio::local::connect_pair(one, two);
    one.close();
    error_code error;
    char letter;
    try {
      co_await Do(two.async_read_some(buffer(&letter, 1), deferred));
    } catch (const boost::system::system_error& thrown) {
      error = thrown.code();
    }
    EXPECT_EQ(error, boost::asio::error::eof);
  });
}

TEST_P(AsioOperationTest, ExceptionPointersAreThrown) {
  RunInPortal([]() -> Co<void> {
    std::string caught;
    try {
      co_await Do(boost::asio::async_initiate<const boost::asio::deferred_t,
                                              void(std::exception_ptr, int)>(
          [](auto handler) {
            std::move(handler)(
                std::make_exception_ptr(std::runtime_error("oops")), 0);
          },
          deferred));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "oops");
    EXPECT_EQ(
        co_await Do(boost::asio::async_initiate<const boost::asio::deferred_t,
                                                void(std::exception_ptr, int)>(
            [](auto handler) { std::move(handler)(nullptr, 5); }, deferred)),
        5);
  });
}

TEST_P(AsioOperationTest, AnExceptionOfTheInitiationPropagates) {
  RunInPortal([]() -> Co<void> {
    std::string caught;
    try {
      co_await Do(
          boost::asio::async_initiate<const boost::asio::deferred_t, void()>(
              [](auto) { throw std::runtime_error("not today"); }, deferred));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "not today");
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
}

// The handler still exists, and would report to a wait that has ended.
TEST_P(AsioOperationTest, TheInitiationMayThrowAfterItHasStarted) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
    std::string caught;
    try {
      co_await Do(boost::asio::async_initiate<const boost::asio::deferred_t,
                                              void(error_code)>(
          [&](auto handler) {
            timer.async_wait(std::move(handler));
            throw std::runtime_error("too late");
          },
          deferred));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "too late");
    EXPECT_LE(timer.expiry(), steady_timer::clock_type::now());
  });
}

TEST_P(AsioOperationTest, ADroppedHandlerWithoutRoomForAnErrorThrows) {
  RunInPortal([]() -> Co<void> {
    error_code error;
    try {
      co_await Do(
          boost::asio::async_initiate<const boost::asio::deferred_t, void(int)>(
              [](auto) {}, deferred));
    } catch (const boost::system::system_error& thrown) {
      error = thrown.code();
    }
    EXPECT_EQ(error, operation_aborted);
  });
}

#else

TEST_P(AsioOperationTest, ErrorsNameTheTokenToUse) {
  const auto fail = [] {
    RunInPortal([]() -> Co<void> {
      Local::socket socket(RunExecutor());
      char letter;
      co_await Do(socket.async_read_some(buffer(&letter, 1), deferred));
    });
  };
  EXPECT_DEATH(fail(),
               "an Asio operation failed: Bad file descriptor.*\n.*"
               "as_tuple\\(deferred\\)");
}

#endif

// -------------------------------------------------------------------- threads

TEST_P(AsioOperationTest, OperationsOfOtherThreadsAreAwaited) {
  boost::asio::thread_pool pool(2);
  RunInPortal([&]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    for (int i = 0; i < 200; ++i) {
      co_await Do(boost::asio::post(pool, deferred));
      EXPECT_EQ(std::this_thread::get_id(), thread);
    }
    steady_timer timer(pool, std::chrono::milliseconds(1));
    auto [error] = co_await Do(timer.async_wait(kQuiet));
    EXPECT_FALSE(error);
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

// Its handler runs where it is completed, perhaps before the wait has begun.
TEST_P(AsioOperationTest, ItMayCompleteOnAnotherThreadAtOnce) {
  boost::asio::thread_pool pool(2);
  RunInPortal([&]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    for (int i = 0; i < 200; ++i) {
      const int value = co_await Do(
          boost::asio::async_initiate<const boost::asio::deferred_t, void(int)>(
              [&](auto handler) {
                boost::asio::post(pool,
                                  [handler = std::move(handler), i]() mutable {
                                    std::move(handler)(i);
                                  });
              },
              deferred));
      EXPECT_EQ(value, i);
      EXPECT_EQ(std::this_thread::get_id(), thread);
    }
  });
}

// All steps of a composed operation are on the run's thread, so that it can be
// cancelled from there.
TEST_P(AsioOperationTest, R12_AComposedOperationOfAnotherThreadIsCancelled) {
  boost::asio::thread_pool pool(2);
  RunInPortal([&]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    Local::socket one(pool);
    Local::socket two(pool);
    boost::asio::local::connect_pair(one, two);
    for (int i = 0; i < 50; ++i) {
      CancelScope scope;
      std::string text;
      absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
        nursery.StartSoon([&]() -> Co<> {
          co_await boost::asio::async_write(one, buffer(std::string_view("ab")),
                                            deferred);
          scope.Cancel();
        });
        auto [error, count] = co_await Do(boost::asio::async_read(
            two, boost::asio::dynamic_buffer(text),
            [&](const error_code& so_far, size_t) -> size_t {
              EXPECT_EQ(std::this_thread::get_id(), thread);
              return so_far ? 0 : 100;
            },
            kQuiet));
        EXPECT_EQ(error, operation_aborted);
      });
      EXPECT_TRUE(scope.cancelled_caught());
    }
  });
}

// --------------------------------------------------------------- cancellation

TEST_P(AsioOperationTest, R12_AScopeCancelledDuringTheOperationEndsIt) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer = Never();
    CancelScope scope;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        scope.Cancel();
        EXPECT_FALSE(scope.cancelled_caught());
        co_return;
      });
      auto [error] = co_await Do(timer.async_wait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
      EXPECT_TRUE(scope.cancelled_caught());
    });
  });
}

TEST_P(AsioOperationTest, R12_AScopeCancelledBeforeTheOperationEndsIt) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer = Never();
    CancelScope scope;
    scope.Cancel();
    // Again, each time that it is awaited.
    for (int i = 0; i < 3; ++i) {
      auto [error] = co_await Do(timer.async_wait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
    }
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_P(AsioOperationTest, R12_ADeadlineEndsTheOperation) {
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  RunInPortal(options, []() -> Co<void> {
    boost::asio::readable_pipe in(RunExecutor());
    boost::asio::writable_pipe out(RunExecutor());
    boost::asio::connect_pipe(in, out);
    std::string text;
    CancelScope scope = MoveOnAfter(absl::Hours(1));
    auto [error, count] = co_await Do(boost::asio::async_read_until(
        in, boost::asio::dynamic_buffer(text), '\n', kQuiet));
    EXPECT_EQ(error, operation_aborted);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

#if defined(__cpp_exceptions)
TEST_P(AsioOperationTest, R12_ACancelledOperationThrows) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer = Never();
    CancelScope scope;
    scope.Cancel();
    error_code error;
    try {
      co_await Do(timer.async_wait(deferred));
    } catch (const boost::system::system_error& thrown) {
      error = thrown.code();
    }
    EXPECT_EQ(error, operation_aborted);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

// The way in which an operation that is a coroutine of Asio's reports it.
TEST_P(AsioOperationTest, R12_TheOperationMayThrowTheCancellation) {
  RunInPortal([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    error_code error;
    try {
      co_await Do(boost::asio::async_initiate<const boost::asio::deferred_t,
                                              void(std::exception_ptr)>(
          [](auto handler) {
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            auto kept = std::make_shared<decltype(handler)>(std::move(handler));
            slot.assign([kept](boost::asio::cancellation_type) {
              std::move (*kept)(std::make_exception_ptr(
                  boost::system::system_error(operation_aborted)));
            });
          },
          deferred));
    } catch (const boost::system::system_error& thrown) {
      error = thrown.code();
    }
    EXPECT_EQ(error, operation_aborted);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}
#endif

TEST_P(AsioOperationTest, R12_CancelledNurseryEndsOperationsOfItsTasks) {
  RunInPortal([]() -> Co<void> {
    int aborted = 0;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      for (int i = 0; i < 10; ++i) {
        nursery.StartSoon([&]() -> Co<> {
          EXPECT_TRUE((co_await EnsurePortal()).ok());
          steady_timer timer = Never();
          auto [error] = co_await Do(timer.async_wait(kQuiet));
          if (error == operation_aborted) ++aborted;
        });
      }
      for (int i = 0; i < 5; ++i) (void)co_await Checkpoint();
      nursery.cancel_scope().Cancel();
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(aborted, 10);
  });
}

TEST_P(AsioOperationTest, R12_AShieldedOperationContinues) {
  RunInPortal([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    {
      CancelScope shielded;
      shielded.set_shield(true);
      steady_timer timer(RunExecutor(), std::chrono::milliseconds(1));
      auto [error] = co_await Do(timer.async_wait(kQuiet));
      EXPECT_FALSE(error);
    }
    EXPECT_FALSE(scope.cancelled_caught());
    // Without the shield it is cancelled.
    CancelScope shielded;
    shielded.set_shield(true);
    steady_timer timer = Never();
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        shielded.set_shield(false);
        co_return;
      });
      auto [error] = co_await Do(timer.async_wait(kQuiet));
      EXPECT_EQ(error, operation_aborted);
    });
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

// It is cancelled after it has succeeded: its result is not lost.
TEST_P(AsioOperationTest, R12_AResultThatIsThereIsDelivered) {
  RunInPortal([]() -> Co<void> {
    Local::socket one(RunExecutor());
    Local::socket two(RunExecutor());
    boost::asio::local::connect_pair(one, two);
    EXPECT_EQ(one.write_some(buffer(std::string_view("ab"))), 2u);
    CancelScope scope;
    scope.Cancel();
    char letter;
    auto [error, count] =
        co_await Do(two.async_read_some(buffer(&letter, 1), kQuiet));
    EXPECT_FALSE(error);
    EXPECT_EQ(count, 1u);
    EXPECT_FALSE(scope.cancelled_caught());
  });
}

// Its handler has run, and its task is about to run: too late to cancel it.
TEST_P(AsioOperationTest,
       R12_CancellingBetweenItsEndAndItsTasksStepComesTooLate) {
  Manual<void(error_code, int)> manual;
  RunInPortal([&]() -> Co<void> {
    CancelScope scope;
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        manual.End(error_code(), 5);
        scope.Cancel();
        co_return;
      });
      auto [error, value] = co_await Do(manual.AsyncWait(kQuiet));
      EXPECT_FALSE(error);
      EXPECT_EQ(value, 5);
      EXPECT_FALSE(scope.cancelled_caught());
    });
  });
}

// The wait has ended: a later cancellation of the task does not reach it.
TEST_P(AsioOperationTest, R12_CancellingAfterItsEndDoesNotTouchIt) {
  RunInPortal([]() -> Co<void> {
    CancelScope scope;
    co_await Do(boost::asio::post(RunExecutor(), deferred));
    co_await Do(deferred.values(1));
    scope.Cancel();
    EXPECT_FALSE((co_await Checkpoint()).ok());
  });
}

// An initiation may do anything.
TEST_P(AsioOperationTest, R12_ItsOwnInitiationMayCancelIt) {
  RunInPortal([]() -> Co<void> {
    steady_timer timer = Never();
    CancelScope scope;
    auto [error] = co_await Do(
        boost::asio::async_initiate<decltype(kQuiet), void(error_code)>(
            [&](auto handler) {
              scope.Cancel();
              timer.async_wait(std::move(handler));
            },
            kQuiet));
    EXPECT_EQ(error, operation_aborted);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

// timeout || operation
TEST_P(AsioOperationTest, R12_OfATimeoutAndAnOperationTheSlowerIsCancelled) {
  using boost::asio::experimental::make_parallel_group;
  using boost::asio::experimental::wait_for_one;
  RunInPortal([]() -> Co<void> {
    Local::socket one(RunExecutor());
    Local::socket two(RunExecutor());
    boost::asio::local::connect_pair(one, two);
    std::string text(2, '\0');
    CancelScope scope;
    {
      steady_timer timeout(RunExecutor(), std::chrono::milliseconds(1));
      auto [order, timed_out, read, count] =
          co_await Do(make_parallel_group(
                          timeout.async_wait(deferred),
                          boost::asio::async_read(two, buffer(text), deferred))
                          .async_wait(wait_for_one(), deferred));
      EXPECT_EQ(order[0], 0u);
      EXPECT_FALSE(timed_out);
      EXPECT_EQ(read, operation_aborted);
    }
    {
      steady_timer timeout = Never();
      one.write_some(buffer(std::string_view("ab")));
      auto [order, timed_out, read, count] =
          co_await Do(make_parallel_group(
                          timeout.async_wait(deferred),
                          boost::asio::async_read(two, buffer(text), deferred))
                          .async_wait(wait_for_one(), deferred));
      EXPECT_EQ(order[0], 1u);
      EXPECT_EQ(timed_out, operation_aborted);
      EXPECT_FALSE(read);
      EXPECT_EQ(text, "ab");
    }
    EXPECT_FALSE(scope.cancelled_caught());
    // All members of the group are cancelled.
    scope.Cancel();
    steady_timer timeout = Never();
    auto [order, timed_out, read, count] =
        co_await Do(make_parallel_group(
                        timeout.async_wait(deferred),
                        boost::asio::async_read(two, buffer(text), deferred))
                        .async_wait(wait_for_one(), deferred));
    EXPECT_EQ(timed_out, operation_aborted);
    EXPECT_EQ(read, operation_aborted);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_P(AsioOperationTest, R12_AGroupOfManyOperationsIsCancelled) {
  RunInPortal([]() -> Co<void> {
    std::vector<steady_timer> timers;
    for (int i = 0; i < 5; ++i) timers.push_back(Never());
    std::vector<TimerWait> waits;
    for (steady_timer& timer : timers) {
      waits.push_back(timer.async_wait(deferred));
    }
    CancelScope scope;
    scope.Cancel();
    auto [order, errors] = co_await Do(
        boost::asio::experimental::make_parallel_group(std::move(waits))
            .async_wait(boost::asio::experimental::wait_for_all(), deferred));
    EXPECT_EQ(errors, std::vector<error_code>(5, operation_aborted));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_P(AsioOperationTest, R12_OperationsOfOtherThreadsAreCancelled) {
  boost::asio::thread_pool pool(2);
  RunInPortal([&]() -> Co<void> {
    for (int i = 0; i < 50; ++i) {
      steady_timer timer(pool, kLong);
      CancelScope scope;
      absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
        nursery.StartSoon([&]() -> Co<> {
          scope.Cancel();
          co_return;
        });
        auto [error] = co_await Do(timer.async_wait(kQuiet));
        EXPECT_EQ(error, operation_aborted);
      });
      EXPECT_TRUE(scope.cancelled_caught());
    }
  });
}

TEST_P(AsioOperationTest, R12_AGroupOnOtherThreadsIsCancelled) {
  using boost::asio::experimental::make_parallel_group;
  using boost::asio::experimental::wait_for_one;
  boost::asio::thread_pool pool(2);
  RunInPortal([&]() -> Co<void> {
    for (int i = 0; i < 50; ++i) {
      steady_timer timeout(pool, std::chrono::microseconds(100));
      steady_timer timer(pool, kLong);
      auto [order, timed_out, timer_error] =
          co_await Do(make_parallel_group(timeout.async_wait(deferred),
                                          timer.async_wait(deferred))
                          .async_wait(wait_for_one(), deferred));
      EXPECT_EQ(order[0], 0u);
      EXPECT_FALSE(timed_out);
      EXPECT_EQ(timer_error, operation_aborted);
      timeout.expires_after(kLong);
      CancelScope scope;
      scope.Cancel();
      auto [order2, timed_out2, timer_error2] =
          co_await Do(make_parallel_group(timeout.async_wait(deferred),
                                          timer.async_wait(deferred))
                          .async_wait(wait_for_one(), deferred));
      EXPECT_EQ(timed_out2, operation_aborted);
      EXPECT_EQ(timer_error2, operation_aborted);
      EXPECT_TRUE(scope.cancelled_caught());
    }
  });
}

// ------------------------------------------------------------------ lifetimes

TEST_P(AsioOperationTest, OnlyOneResultIsAlive) {
  ASSERT_EQ(Counted::live(), 0);
  Manual<void(error_code, Counted)> manual;
  RunInPortal([&]() -> Co<void> {
    absl::Status status = co_await OpenNursery([&](Nursery& nursery) -> Co<> {
      nursery.StartSoon([&]() -> Co<> {
        manual.End(error_code(), Counted(6));
        co_return;
      });
      Counted counted = co_await Do(manual.AsyncWait(deferred));
      EXPECT_EQ(counted.value, 6);
      EXPECT_EQ(Counted::live(), 1);
    });
    EXPECT_TRUE(status.ok()) << status;
  });
  EXPECT_EQ(Counted::live(), 0);
}

template <class Operation, class Value>
OwnedCoroutine AwaitWithoutTask(Operation operation, Value& value) {
  value = co_await GetAwaiter(std::move(operation));
}

TEST(AsioOperationOnceTest, ItMayBeAwaitedOutsideATask) {
  Manual<void(error_code, int)> manual;
  int value = 0;
  OwnedCoroutine waits = AwaitWithoutTask(manual.AsyncWait(deferred), value);
  EXPECT_TRUE(manual.started());
  EXPECT_FALSE(waits.done());
  manual.End(error_code(), 7);
  EXPECT_TRUE(waits.done());
  EXPECT_EQ(value, 7);
}

// Outside a task, it completes where the I/O object does.
TEST(AsioOperationOnceTest, OutsideATaskItCompletesOnTheIoContext) {
  boost::asio::io_context io;
  steady_timer timer(io, std::chrono::milliseconds(1));
  std::tuple<error_code> value(operation_aborted);
  OwnedCoroutine waits = AwaitWithoutTask(timer.async_wait(kQuiet), value);
  io.run();
  EXPECT_TRUE(waits.done());
  EXPECT_FALSE(std::get<0>(value));
}

TEST(AsioOperationOnceTest, TheWaiterMayBeDestroyedFirst) {
  ASSERT_EQ(Counted::live(), 0);
  Manual<void(error_code, Counted)> ended;
  Manual<void(error_code, Counted)> dropped;
  Counted value;
  {
    OwnedCoroutine one = AwaitWithoutTask(ended.AsyncWait(deferred), value);
    OwnedCoroutine two = AwaitWithoutTask(dropped.AsyncWait(deferred), value);
  }
  EXPECT_TRUE(ended.started());
  ended.End(error_code(), Counted(8));
  dropped.Drop();
  EXPECT_EQ(Counted::live(), 1);
}

// In a run, handlers run on its thread, whatever the operation.
TEST_P(AsioOperationTest, HandlersAreBoundToTheRunsThread) {
  boost::asio::thread_pool pool(1);
  RunInPortal([&]() -> Co<void> {
    const std::thread::id thread = std::this_thread::get_id();
    const auto run_on = [&](auto candidate) {
      return boost::asio::async_initiate<const boost::asio::deferred_t, void()>(
          [&, candidate](auto handler) {
            auto executor =
                boost::asio::get_associated_executor(handler, candidate);
            EXPECT_TRUE(executor == executor);
            std::thread([&] {
              executor.execute([&, handler = std::move(handler)]() mutable {
                EXPECT_EQ(std::this_thread::get_id(), thread);
                std::move(handler)();
              });
            }).join();
          },
          deferred);
    };
    co_await Do(run_on(RunExecutor()));
    co_await Do(run_on(pool.get_executor()));
    co_await Do(run_on(boost::asio::any_io_executor(RunExecutor())));
    co_await Do(run_on(boost::asio::any_io_executor(pool.get_executor())));
    co_await Do(
        run_on(boost::asio::any_completion_executor(pool.get_executor())));
    // Unless the program binds the handler itself: then the task is resumed on
    // its own thread.
    co_await Do(boost::asio::post(boost::asio::bind_executor(pool, deferred)));
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

}  // namespace
}  // namespace greenback
