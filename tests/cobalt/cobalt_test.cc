// Portals in the coroutines of Boost.Cobalt: its executor is the way home, its
// cancellation slots reach what waits below, and it owns its handles.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/cobalt/op.hpp>
#include <boost/cobalt/race.hpp>
#include <boost/cobalt/run.hpp>
#include <boost/cobalt/spawn.hpp>
#include <boost/cobalt/task.hpp>
#include <boost/cobalt/this_coro.hpp>
#include <boost/cobalt/this_thread.hpp>
#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/asio/operation.h"
#include "greenback/await.h"
#include "greenback/from_callback.h"
#include "greenback/portal.h"
#include "gtest/gtest.h"
#include "tests/cobalt/cobalt_library.h"
#include "tests/support/foreign_host_suite.h"

namespace greenback {
namespace {

// (greenback::asio is another namespace.)
namespace net = ::boost::asio;
namespace cobalt = ::boost::cobalt;

// The rows that coroutines of every library have to pass.
class CobaltHost {
 public:
  using Task = cobalt::task<void>;

 private:
  struct State {
    bool ended = false;
    std::exception_ptr error;
    net::cancellation_signal signal;
    std::coroutine_handle<> coroutine;  // of the body
  };

  // Awaits a task, and notes its handle.
  template <class Awaiter>
  struct NoteHandle {
    Awaiter awaiter;
    std::coroutine_handle<>& handle;
    bool await_ready() { return awaiter.await_ready(); }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) {
      return handle = awaiter.await_suspend(h);
    }
    void await_resume() { awaiter.await_resume(); }
  };

  static Task Run(Task body, State& state) {
    co_await NoteHandle{body.operator co_await(), state.coroutine};
  }

 public:
  class Running {
   public:
    bool ended() const { return state_->ended; }

   private:
    friend class CobaltHost;
    std::shared_ptr<State> state_ = std::make_shared<State>();
  };

  template <class Body>
  Running Start(Body& body) {
    Running running;
    cobalt::spawn(io_.get_executor(), Run(body(), *running.state_),
                  net::bind_cancellation_slot(
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
        [this](auto done) { net::post(io_, [done]() mutable { done(); }); });
  }

  static constexpr const char* kNoCancel = nullptr;
  void Cancel(Running& running) {
    running.state_->signal.emit(net::cancellation_type::terminal);
  }
  static constexpr const char* kNoDestroy = nullptr;
  // As the owner of a handle does: what awaits the coroutine is destroyed with
  // it.
  void Destroy(Running& running) { running.state_->coroutine.destroy(); }
  static constexpr const char* kNoHop = "a task continues on its executor";

 private:
  net::io_context io_;
  // poll() and run_one() would stop the loop if there were no work.
  net::executor_work_guard<net::io_context::executor_type> work_ =
      net::make_work_guard(io_);
};
INSTANTIATE_TYPED_TEST_SUITE_P(Cobalt, ForeignHostTest, CobaltHost);

cobalt::task<int> Later(int value) {
  net::steady_timer timer(co_await cobalt::this_coro::executor,
                          std::chrono::milliseconds(0));
  co_await timer.async_wait(cobalt::use_op);
  if (value < 0) throw std::runtime_error("negative");
  co_return value;
}

TEST(CobaltTest, ItsTasksAreAwaitedBelow) {
  std::vector<std::string> log;
  const auto call = [&] {
    log.push_back(std::to_string(Await(Later(7))));
    try {
      Await(Later(-1));
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
  };
  const auto main = [&]() -> cobalt::task<void> {
    co_await WithPortalRunSync(call);
  };
  cobalt::run(main());
  EXPECT_EQ(log, (std::vector<std::string>{"7", "negative"}));
}

TEST(CobaltTest, ItsOperationsAreAwaitedBelow) {
  int fired = 0;
  const auto main = [&]() -> cobalt::task<void> {
    net::steady_timer timer(co_await cobalt::this_coro::executor,
                            std::chrono::milliseconds(0));
    co_await WithPortalRunSync([&] {
      Await(timer.async_wait(cobalt::use_op));
      ++fired;
      Await(timer.async_wait(net::deferred));
      ++fired;
    });
  };
  cobalt::run(main());
  EXPECT_EQ(fired, 2);
}

// Ends at once when it is cancelled.
class UntilCancelled {
 public:
  auto operator()() {
    return FromCallback<void>([this](auto done) { end_ = std::move(done); },
                              [this] {
                                was_cancelled_ = true;
                                std::exchange(end_, nullptr)();
                              });
  }
  bool was_cancelled() const { return was_cancelled_; }

 private:
  std::function<void()> end_;
  bool was_cancelled_ = false;
};

TEST(CobaltTest, R21_ARaceCancelsWhatWaitsBelow) {
  UntilCancelled wait;
  bool ended = false;
  const auto call = [&] {
    Await(wait());
    ended = true;
  };
  const auto loser = [&]() -> cobalt::task<void> {
    co_await WithPortalRunSync(call);
  };
  const auto main = [&]() -> cobalt::task<void> {
    net::steady_timer timer(co_await cobalt::this_coro::executor,
                            std::chrono::milliseconds(0));
    (void)co_await cobalt::race(timer.async_wait(cobalt::use_op), loser());
  };
  cobalt::run(main());
  EXPECT_TRUE(wait.was_cancelled());
  EXPECT_TRUE(ended) << "the race waits for its losers";
}

TEST(CobaltTest, R21_ACallMayRaceItself) {
  UntilCancelled wait;
  const auto main = [&]() -> cobalt::task<void> {
    net::steady_timer timer(co_await cobalt::this_coro::executor,
                            std::chrono::milliseconds(0));
    (void)co_await cobalt::race(timer.async_wait(cobalt::use_op),
                                WithPortalRunSync([&] { Await(wait()); }));
  };
  cobalt::run(main());
  EXPECT_TRUE(wait.was_cancelled());
}

TEST(CobaltTest, R21_ARaceCancelsOperationsBelow) {
  bool aborted = false;
  const auto main = [&]() -> cobalt::task<void> {
    const cobalt::executor executor = co_await cobalt::this_coro::executor;
    net::steady_timer timer(executor, std::chrono::milliseconds(0));
    net::steady_timer never(executor, net::steady_timer::time_point::max());
    const auto wait = [&] {
      const auto [error] =
          Await(never.async_wait(net::as_tuple(net::deferred)));
      aborted = error == net::error::operation_aborted;
    };
    (void)co_await cobalt::race(timer.async_wait(cobalt::use_op),
                                WithPortalRunSync(wait));
  };
  cobalt::run(main());
  EXPECT_TRUE(aborted);
}

TEST(CobaltTest, R21_AThreadHopComesHome) {
  ThreadHop hop;
  std::vector<std::thread::id> ids;
  const auto main = [&]() -> cobalt::task<void> {
    co_await WithPortalRunSync([&] {
      Await(hop);
      ids.push_back(IdOfThisThread());
    });
    ids.push_back(IdOfThisThread());
  };
  cobalt::run(main());
  EXPECT_EQ(ids, (std::vector<std::thread::id>(2, IdOfThisThread())));
}

TEST(CobaltTest, R19_ADestroyedLoopDestroysACoroutineWithItsFrames) {
  std::vector<std::string> log;
  const auto call = [&](net::steady_timer& timer) {
    const LeaveMark mark{log, "call"};
    Await(timer.async_wait(cobalt::use_op));
  };
  const auto main = [&]() -> cobalt::task<void> {
    const LeaveMark mark{log, "coroutine"};
    net::steady_timer timer(co_await cobalt::this_coro::executor,
                            net::steady_timer::time_point::max());
    co_await WithPortalRunSync([&] { call(timer); });
  };
  {
    net::io_context io;
    cobalt::this_thread::set_executor(io.get_executor());
    cobalt::spawn(io.get_executor(), main(), [](std::exception_ptr) {});
    io.poll();
    EXPECT_TRUE(log.empty());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"call unwound", "coroutine left"}));
}

}  // namespace
}  // namespace greenback
