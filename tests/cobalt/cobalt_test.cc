// Portals in the coroutines of Boost.Cobalt: its executor is the way home, its
// cancellation slots reach what waits below, and it owns its handles.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/cobalt/op.hpp>
#include <boost/cobalt/race.hpp>
#include <boost/cobalt/spawn.hpp>
#include <boost/cobalt/task.hpp>
#include <boost/cobalt/unique_handle.hpp>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/await.h"
#include "greenback/coroutine_library.h"
#include "greenback/from_callback.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "gtest/gtest.h"
#include "tests/support/foreign_host_suite.h"

namespace asio = ::boost::asio;
namespace cobalt = ::boost::cobalt;

// A promise of Cobalt's.
template <class Promise>
concept CobaltPromise = requires(Promise& promise) {
  { promise.get_executor() } -> std::convertible_to<cobalt::executor>;
  { promise.get_cancellation_slot() } -> std::same_as<asio::cancellation_slot>;
};

template <CobaltPromise Promise>
struct greenback::CoroutineLibrary<Promise> {
  static void Resume(Promise& promise, std::coroutine_handle<> frames) {
    asio::post(promise.get_executor(),
               [own = cobalt::unique_handle<void>(frames.address())]() mutable {
                 std::coroutine_handle<>::from_address(own.release()).resume();
               });
  }
  template <class Stop>
  static auto OnCancel(Promise& promise, Stop stop) {
    promise.get_cancellation_slot().assign(
        [stop](asio::cancellation_type) { stop(); });
    struct Clear {
      asio::cancellation_slot slot;
      ~Clear() { slot.clear(); }
    };
    return Clear{promise.get_cancellation_slot()};
  }
};

namespace greenback {
namespace {

// The rows that coroutines of every library have to pass.
class CobaltHost {
 public:
  using Task = cobalt::task<void>;

  class Running {
   public:
    bool ended() const { return state_->ended; }

   private:
    friend class CobaltHost;
    struct State {
      bool ended = false;
      std::exception_ptr error;
      asio::cancellation_signal signal;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
  };

  template <class Body>
  Running Start(Body& body) {
    Running running;
    cobalt::spawn(io_.get_executor(), body(),
                  asio::bind_cancellation_slot(
                      running.state_->signal.slot(),
                      [state = running.state_](std::exception_ptr error) {
                        state->ended = true;
                        state->error = error;
                      }));
    io_.poll();
    return running;
  }
  void RunToEnd(Running& running) {
    while (!running.ended()) io_.run_one();
    EXPECT_EQ(running.state_->error, nullptr);
  }
  auto Soon() {
    return FromCallback<void>(
        [this](auto done) { asio::post(io_, [done] { done(); }); });
  }

  static constexpr const char* kNoCancel = nullptr;
  void Cancel(Running& running) {
    running.state_->signal.emit(asio::cancellation_type::terminal);
  }
  static constexpr const char* kNoDestroy =
      "the io_context owns what it spawns";
  void Destroy(Running&) {}
  static constexpr const char* kNoHop = "a task continues on its executor";

 private:
  asio::io_context io_;
  // Cobalt's io_context is a plain one; there is work as long as this exists.
  asio::executor_work_guard<asio::io_context::executor_type> work_ =
      asio::make_work_guard(io_);
};
INSTANTIATE_TYPED_TEST_SUITE_P(Cobalt, ForeignHostTest, CobaltHost);

// Runs main() to its end.
template <class Main>
void RunTask(Main main) {
  asio::io_context io;
  bool ended = false;
  cobalt::spawn(io.get_executor(), main(io), [&](std::exception_ptr error) {
    ended = true;
    if (error != nullptr) std::rethrow_exception(error);
  });
  io.run();
  EXPECT_TRUE(ended);
}

TEST(CobaltTest, ItsOperationsAreAwaitedBelow) {
  bool fired = false;
  RunTask([&](asio::io_context& io) -> cobalt::task<void> {
    asio::steady_timer timer(io);
    co_await WithPortalRunSync([&] {
      timer.expires_after(std::chrono::milliseconds(0));
      Await(timer.async_wait(cobalt::use_op));
      fired = true;
    });
  });
  EXPECT_TRUE(fired);
}

TEST(CobaltTest, R21_ARaceCancelsWhatWaitsBelow) {
  bool was_cancelled = false;
  const auto wait = [&]() -> cobalt::task<void> {
    std::function<void()> end;
    co_await WithPortalRunSync([&] {
      Await(FromCallback<void>([&](auto done) { end = std::move(done); },
                               [&] {
                                 was_cancelled = true;
                                 std::exchange(end, nullptr)();
                               }));
    });
  };
  RunTask([&](asio::io_context& io) -> cobalt::task<void> {
    asio::steady_timer timer(io);
    timer.expires_after(std::chrono::milliseconds(0));
    co_await cobalt::race(timer.async_wait(cobalt::use_op), wait());
  });
  EXPECT_TRUE(was_cancelled);
}

TEST(CobaltTest, R21_AThreadHopComesHome) {
  std::thread::id before;
  std::thread::id inside;
  ThreadHop hop;
  RunTask([&](asio::io_context& io) -> cobalt::task<void> {
    const auto work = asio::make_work_guard(io);
    before = IdOfThisThread();
    co_await WithPortalRunSync([&] {
      Await(hop);
      inside = IdOfThisThread();
    });
  });
  EXPECT_EQ(inside, before);
}

TEST(CobaltTest, R19_DestroyingTheLoopUnwindsItsFrames) {
  std::vector<std::string> log;
  {
    asio::io_context io;
    asio::steady_timer timer(io, std::chrono::hours(1));
    cobalt::spawn(
        io.get_executor(),
        [](asio::steady_timer& timer,
           std::vector<std::string>& log) -> cobalt::task<void> {
          const auto wait = [&] {
            const LeaveMark mark{log, "call"};
            Await(timer.async_wait(cobalt::use_op));
          };
          co_await WithPortalRunSync(wait);
        }(timer, log),
        [](std::exception_ptr) {});
    io.poll();
    EXPECT_TRUE(log.empty());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"call unwound"}));
}

}  // namespace
}  // namespace greenback
