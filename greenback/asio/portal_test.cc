#include "greenback/asio/portal.h"

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "greenback/asio/asio.h"
#include "greenback/asio/awaitable.h"
#include "greenback/greenback.h"
#include "greenback/host/portal_access.h"
#include "gtest/gtest.h"
#include "instrument/greenback_instrument.h"
#include "tests/support/elsewhere_task.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using boost::asio::awaitable;
using boost::asio::deferred;
using boost::asio::detached;
using boost::asio::io_context;
using boost::asio::use_awaitable;

// Not inlined: see "Threads" in portal.h.
__attribute__((noinline)) awaitable<int> PostTwice(int value) {
  co_await boost::asio::post(use_awaitable);
  co_await boost::asio::post(use_awaitable);
  co_return value;
}

Co<int> PostInCo(io_context& io, int value) {
  co_await boost::asio::post(io, deferred);
  co_return value;
}

TEST(AsioPortalTest, EnsurePortalWorksInAPlainCoSpawn) {
  io_context io;
  std::vector<int> log;
  auto body = [&]() -> awaitable<void> {
    EXPECT_FALSE(HasPortal());
    EXPECT_TRUE((co_await asio::EnsurePortal()).ok());
    EXPECT_TRUE(HasPortal());
    Await(boost::asio::post(io, deferred));
    log.push_back(1);
    log.push_back(Await(PostTwice(2)));
    log.push_back(Await(PostInCo(io, 3)));
    log.push_back(co_await PostTwice(4));
    EXPECT_TRUE(HasPortal());
    log.push_back(co_await asio::AsAwaitable(PostInCo(io, 5)));
    log.push_back(Await(PostTwice(6)));
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_FALSE(HasPortal());
}

TEST(AsioPortalTest, AnAwaitedCoroutineHasThePortal) {
  io_context io;
  int result = 0;
  auto inner = [&]() -> awaitable<int> {
    EXPECT_TRUE(HasPortal());
    co_await boost::asio::post(use_awaitable);
    EXPECT_TRUE(HasPortal());
    const int value = Await(PostTwice(20));
    co_await boost::asio::post(use_awaitable);
    EXPECT_TRUE(HasPortal());
    co_return value + Await(PostTwice(1));
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    result = Await(inner()) + co_await inner();
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, SoHasACoroutineThatACoAwaits) {
  io_context io;
  int result = 0;
  auto inner = [&]() -> awaitable<int> {
    co_await boost::asio::post(use_awaitable);
    EXPECT_TRUE(HasPortal());
    co_return Await(PostTwice(20));
  };
  auto middle = [&]() -> Co<int> {
    const int native = co_await inner();
    EXPECT_TRUE(HasPortal());
    co_return native + Await(inner()) + Await(PostInCo(io, 1));
  };
  auto body = [&]() -> awaitable<void> {
    result = co_await asio::WithPortalRun(middle) + co_await PostTwice(1);
    EXPECT_FALSE(HasPortal());
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, ACallHasAPortalAndTheSpawnedTaskHasNone) {
  io_context io;
  int result = 0;
  auto sync = [&](int value) {
    EXPECT_TRUE(HasPortal());
    return Await(PostTwice(value)) + Await(PostInCo(io, 1));
  };
  auto body = [&]() -> awaitable<int> {
    EXPECT_FALSE(HasPortal());
    const int value = co_await asio::WithPortalRunSync(sync, 40);
    EXPECT_FALSE(HasPortal());
    co_return value + co_await asio::WithPortalRun([&]() -> awaitable<int> {
      EXPECT_TRUE(HasPortal());
      co_return Await(PostTwice(1));
    });
  };
  asio::CoSpawn(io, body(), [&](std::exception_ptr error, int value) {
    EXPECT_FALSE(error);
    EXPECT_FALSE(HasPortal());
    result = value;
  });
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, ReferencesAreReturnedAsReferenceWrappers) {
  io_context io;
  int value = 0;
  bool ended = false;
  auto select = [&]() -> Co<int&> {
    co_await boost::asio::post(io, deferred);
    co_return value;
  };
  auto select_synchronously = [&]() -> const int& { return Await(select()); };
  auto move = [&]() -> int&& { return std::move(value); };
  auto body = [&]() -> awaitable<void> {
    int& one = co_await asio::AsAwaitable(select());
    EXPECT_EQ(&one, &value);
    int& two = co_await asio::WithPortalRun(select);
    EXPECT_EQ(&two, &value);
    const int& three = co_await asio::WithPortalRunSync(select_synchronously);
    EXPECT_EQ(&three, &value);
    value = 7;
    EXPECT_EQ(co_await asio::WithPortalRunSync(move), 7);
    ended = true;
  };
  asio::CoSpawn(io, body(), detached);
  io.run();
  EXPECT_TRUE(ended);
}

TEST(AsioPortalTest, P03_ChildrenHaveNoPortal) {
  io_context io;
  int children = 0;
  auto child = [&]() -> awaitable<void> {
    EXPECT_FALSE(HasPortal());
    co_await boost::asio::post(use_awaitable);
    EXPECT_FALSE(HasPortal());
    (void)co_await asio::EnsurePortal();
    EXPECT_EQ(Await(PostTwice(3)), 3);
    ++children;
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    boost::asio::co_spawn(co_await boost::asio::this_coro::executor, child(),
                          detached);
    asio::CoSpawn(co_await boost::asio::this_coro::executor, child(), detached);
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(Await(PostTwice(1)), 1);
    co_await boost::asio::co_spawn(co_await boost::asio::this_coro::executor,
                                   child(), use_awaitable);
    EXPECT_TRUE(HasPortal());
    EXPECT_EQ(Await(PostTwice(2)), 2);
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(children, 3);
}

// ------------------------------------------------------ what is called where

TEST(AsioPortalTest, T09_TheErrorForWhatNeedsARunNamesBothHosts) {
  io_context io;
  std::string native, synchronous;
  auto tree = []() -> Co<void> {
    (void)co_await OpenNursery([](Nursery&) -> Co<void> { co_return; });
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    try {
      (void)Await(Checkpoint());
    } catch (const PortalError& error) {
      EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
      synchronous = error.what();
    }
    try {
      co_await asio::AsAwaitable(tree());
    } catch (const PortalError& error) {
      native = error.what();
    }
    EXPECT_EQ(Await(PostTwice(1)), 1);
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_THAT(synchronous, HasSubstr("is run by Boost.Asio, and this awaitable "
                                     "is for tasks that are run by "
                                     "greenback::Run()"));
  EXPECT_THAT(native, HasSubstr("is run by Boost.Asio, and this is for tasks "
                                "that are run by greenback::Run()"));
}

TEST(AsioPortalTest, T09_WhatNeedsATaskTreeIsRefused) {
  io_context io;
  int refused = 0;
  auto in_tree = []() -> Co<void> {
    auto nothing = []() -> Co<void> { co_return; };
    co_await WithPortalRunTree(nothing);
  };
  auto enter = []() -> Co<void> {
    PortalsForTree tree;
    co_await tree.Enter();
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    for (int i = 0; i < 3; ++i) {
      try {
        if (i == 0) {
          PortalsForChildren children;
        } else {
          Co<void> made = i == 1 ? in_tree() : enter();
          co_await asio::AsAwaitable(std::move(made));
        }
      } catch (const PortalError& error) {
        EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
        EXPECT_THAT(error.what(), HasSubstr("is run by Boost.Asio"));
        ++refused;
      }
    }
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(refused, 3);
}

TEST(AsioPortalTest, AnAwaitableIsAwaitedInARun) {
  int result = 0;
  auto native = []() -> Co<int> { co_return co_await PostTwice(20); };
  auto fails = []() -> awaitable<void> {
    co_await boost::asio::post(use_awaitable);
    throw std::runtime_error("of Asio's");
  };
  const auto main = [&]() -> Co<void> {
    (void)co_await EnsurePortal();
    result = co_await native() + Await(PostTwice(22));
    try {
      Await(fails());
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "of Asio's");
    }
    // The scope's cancellation reaches Asio's coroutine.
    CancelScope scope;
    scope.Cancel();
    try {
      Await([]() -> awaitable<void> {
        boost::asio::steady_timer never(
            co_await boost::asio::this_coro::executor,
            boost::asio::steady_timer::time_point::max());
        co_await never.async_wait(use_awaitable);
      }());
      ADD_FAILURE();
    } catch (const boost::system::system_error& error) {
      EXPECT_EQ(error.code(), boost::asio::error::operation_aborted);
    }
    EXPECT_TRUE(scope.cancelled_caught());
  };
  greenback::Run(main);
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, P23_AnAwaitableThatNoHostCanRunIsRefused) {
  ElsewhereTask task;
  internal::PortalAccess::Set(task, internal::PortalAccess::Portal::kOpen);
  try {
    Await(PostTwice(1));
    ADD_FAILURE();
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), PortalError::Reason::kWrongHost);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("is run by Elsewhere"), HasSubstr("Boost.Asio"),
                      HasSubstr("co_spawn")));
  }
}

TEST(AsioPortalTest, AnAwaitableMayHaveAnExecutorOfItsOwnType) {
  using Executor = asio::PortalExecutor<io_context::executor_type>;
  io_context io;
  int result = 0;
  auto post = [&](int value) -> awaitable<int, Executor> {
    co_await boost::asio::post(boost::asio::use_awaitable_t<Executor>());
    EXPECT_TRUE(HasPortal());
    co_return value;
  };
  auto body = [&]() -> awaitable<void, Executor> {
    EXPECT_TRUE((co_await asio::EnsurePortal<Executor>()).ok());
    result = Await(post(20)) + co_await post(22);
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(result, 42);
}

TEST(AsioPortalTest, CompletionIsNeverCalledInsideCoSpawn) {
  io_context io;
  bool returned = false;
  bool ended = false;
  boost::asio::post(io, [&] {
    asio::CoSpawn(
        io, []() -> awaitable<void> { co_return; },
        [&](std::exception_ptr) {
          EXPECT_TRUE(returned);
          EXPECT_FALSE(HasPortal());
          ended = true;
        });
    returned = true;
  });
  io.run();
  EXPECT_TRUE(ended);
}

// Boost 1.89 and newer have a list of launches, with records on the stacks that
// call co_spawn().
TEST(AsioPortalTest, ACoroutineThatAStepSpawnsMayParkThatStep) {
  io_context io;
  Signal event;
  std::vector<std::string> order;
  auto ended = [&](const char* name) {
    return [&order, name](std::exception_ptr) { order.push_back(name); };
  };
  auto waits = [&](const char* name) -> awaitable<void> {
    Await(event);  // in the portal of the step in which it is spawned
    order.push_back(name);
    co_return;
  };
  auto spawner = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    boost::asio::co_spawn(io, waits("inner"), ended("inner ended"));
    order.push_back("after it");
  };
  auto completes = []() -> awaitable<void> { co_return; };
  auto fires = [&]() -> awaitable<void> {
    event.Fire();  // continues the step inside this launch
    order.push_back("set");
    co_return;
  };
  boost::asio::co_spawn(io, spawner(), ended("spawner ended"));
  io.run_one();
  while (io.poll_one() > 0) {
  }
  EXPECT_THAT(order, ElementsAre());
  boost::asio::post(io, [&] {
    boost::asio::co_spawn(io, fires(), ended("fires ended"));
    boost::asio::co_spawn(io, completes(), ended("completes ended"));
    order.push_back("spawned");
  });
  io.restart();
  io.run();
  EXPECT_THAT(
      order, ElementsAre("inner", "after it", "spawner ended", "set", "spawned",
                         "inner ended", "fires ended", "completes ended"));
}

// ------------------------------------------------------- R03: results arrive

TEST(AsioPortalTest, R03_WhatAHandlerThrowsPropagatesOutOfRun) {
  io_context io;
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    Await(PostTwice(1));
  };
  int thrown = 0;
  for (int i = 0; i < 3; ++i) {
    boost::asio::co_spawn(io, body(), [](std::exception_ptr) {
      throw std::runtime_error("of the handler");
    });
  }
  for (;;) {
    try {
      io.run();
      break;
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "of the handler");
      ++thrown;
    }
  }
  EXPECT_EQ(thrown, 3);
}

TEST(AsioPortalTest, R03_AnOperationMayCompleteInsideItsInitiation) {
  io_context io;
  int rounds = 0;
  auto dispatches = []() -> awaitable<int> {
    co_await boost::asio::dispatch(use_awaitable);
    co_return 1;
  };
  auto throws = []() -> awaitable<int> {
    throw std::runtime_error("at once");
    co_return 1;
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    for (int i = 0; i < 10'000; ++i) {
      rounds += Await(dispatches());
      Await(boost::asio::dispatch(io, deferred));
      rounds += Await(deferred.values(1));
      rounds += co_await asio::AsAwaitable([]() -> Co<int> { co_return 1; }());
    }
    try {
      Await(throws());
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "at once");
    }
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_EQ(rounds, 30'000);
}

// --------------------------------------------------------- R12: cancellation

__attribute__((noinline)) awaitable<void> WaitForEver() {
  boost::asio::steady_timer never(co_await boost::asio::this_coro::executor,
                                  boost::asio::steady_timer::time_point::max());
  co_await never.async_wait(use_awaitable);
}

TEST(AsioPortalTest, R12_ASlotReachesWhatIsAwaited) {
  for (int what = 0; what < 4; ++what) {
    io_context io;
    boost::asio::cancellation_signal signal;
    boost::system::error_code code;
    bool handled = false;
    auto wait_in_co = [&]() -> Co<void> {
      boost::asio::steady_timer never(
          io, boost::asio::steady_timer::time_point::max());
      co_await never.async_wait(deferred);
    };
    auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      boost::asio::steady_timer never(
          io, boost::asio::steady_timer::time_point::max());
      try {
        switch (what) {
          case 0:
            Await(never.async_wait(deferred));
            break;
          case 1:
            Await(WaitForEver());
            break;
          case 2:
            Await(wait_in_co());
            break;
          case 3:
            Await([&]() -> awaitable<void> {
              Await(WaitForEver());
              co_return;
            }());
            break;
        }
        ADD_FAILURE() << what;
      } catch (const boost::system::system_error& error) {
        code = error.code();
      }
      co_return;
    };
    boost::asio::co_spawn(
        io, body(),
        boost::asio::bind_cancellation_slot(
            signal.slot(), [&](std::exception_ptr) { handled = true; }));
    while (io.poll() != 0) {
    }
    EXPECT_FALSE(handled);
    signal.emit(boost::asio::cancellation_type::terminal);
    io.restart();
    io.run();
    EXPECT_TRUE(handled);
    EXPECT_EQ(code, boost::asio::error::operation_aborted) << what;
    signal.emit(boost::asio::cancellation_type::terminal);  // has no effect
  }
}

TEST(AsioPortalTest, R12_TheSlowerSideOfAnOrIsCancelled) {
  using boost::asio::experimental::awaitable_operators::operator||;
  io_context io;
  std::vector<std::string> log;
  auto slow = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    try {
      Await(WaitForEver());
    } catch (const boost::system::system_error& error) {
      log.push_back(error.code() == boost::asio::error::operation_aborted
                        ? "cancelled"
                        : "?");
    }
  };
  auto fast = [&]() -> awaitable<void> {
    EXPECT_FALSE(HasPortal());
    co_await PostTwice(1);
    log.push_back("fast");
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    co_await (slow() || fast());
    EXPECT_TRUE(HasPortal());
    Await([&]() -> awaitable<void> { co_await (fast() || slow()); }());
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_THAT(log, ElementsAre("fast", "cancelled", "fast", "cancelled"));
}

// The cancellation state that one awaitable sets is not the next one's.
TEST(AsioPortalTest, R12_EachAwaitableStartsWithItsOwnCancellationState) {
  io_context io;
  boost::asio::cancellation_signal signal;
  std::vector<std::string> log;
  auto deaf = [&](bool more) -> awaitable<int> {
    co_await boost::asio::this_coro::reset_cancellation_state(
        boost::asio::disable_cancellation());
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    co_await boost::asio::post(use_awaitable);
    if (more) {
      co_await asio::WithPortalRunSync([&] { Await(PostTwice(1)); });
    }
    co_return 1;
  };
  auto cancelled = [&]() -> awaitable<void> {
    boost::asio::steady_timer never(
        io, boost::asio::steady_timer::time_point::max());
    boost::asio::post(
        io, [&] { signal.emit(boost::asio::cancellation_type::all); });
    try {
      co_await never.async_wait(use_awaitable);
    } catch (const boost::system::system_error& error) {
      EXPECT_EQ(error.code(), boost::asio::error::operation_aborted);
      log.push_back("cancelled");
    }
    try {
      co_await boost::asio::post(use_awaitable);
      log.push_back("not reached");
    } catch (const boost::system::system_error& error) {
      log.push_back("refused");
    }
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync([&] {
      EXPECT_EQ(Await(deaf(false)) + Await(deaf(true)), 2);
      Await(cancelled());
      log.push_back("waited");
    });
  };
  boost::asio::co_spawn(
      io, body(),
      boost::asio::bind_cancellation_slot(signal.slot(), [](auto) {}));
  io.run();
  EXPECT_THAT(log, ElementsAre("cancelled", "refused", "waited"));
}

// The coroutine itself never suspended. But it could not have been cancelled if
// co_spawn() had not returned.
TEST(AsioPortalTest, R12_CancellingWhileNothingListensDoesNoHarm) {
  for (int what = 0; what < 3; ++what) {
    io_context io;
    boost::asio::cancellation_signal signal;
    bool completed = false;
    auto cancel = [&] {
      boost::asio::post(
          io, [&] { signal.emit(boost::asio::cancellation_type::all); });
    };
    auto post_in_co = [&]() -> Co<void> {
      co_await boost::asio::post(deferred);
    };
    auto wait = [&] {
      cancel();
      switch (what) {
        case 0:
          Await(boost::asio::post(deferred));
          break;
        case 1:
          Await(post_in_co());
          break;
        case 2:
          Await([&]() -> awaitable<void> {
            co_await boost::asio::this_coro::throw_if_cancelled(false);
            co_await boost::asio::post(use_awaitable);
          }());
          break;
      }
    };
    auto in_co = [&]() -> Co<void> {
      wait();
      co_return;
    };
    auto body = [&]() -> awaitable<void> {
      if (what == 1) {
        co_await asio::WithPortalRun(in_co);
      } else {
        co_await asio::WithPortalRunSync(wait);
      }
    };
    boost::asio::co_spawn(io, body(),
                          boost::asio::bind_cancellation_slot(
                              signal.slot(), [&](std::exception_ptr error) {
                                EXPECT_FALSE(error);
                                completed = true;
                              }));
    io.run();
    EXPECT_TRUE(completed);
  }
}

// ------------------------------------------ checkpoints inside an Await()

Co<int> PostInOrder(std::vector<std::string>& log, int times) {
  for (int i = 0; i < times; ++i) {
    log.push_back(std::to_string(i));
    co_await boost::asio::post(deferred);
  }
  co_return times;
}

// Each of them lets others run, and continues where it was, whatever it has
// awaited before.
TEST(AsioPortalTest, CheckpointsInsideAnAwaitLetOthersRun) {
  io_context io;
  std::vector<std::string> log;
  bool done = false;
  auto nested = [&]() -> Co<int> {
    int sum = co_await PostInOrder(log, 2);
    // From here on it is resumed elsewhere, and then again on the waiting stack
    // for the functions that it calls.
    boost::asio::steady_timer timer(io, std::chrono::nanoseconds(1));
    co_await timer.async_wait(deferred);
    sum += co_await PostInOrder(log, 1);
    auto call = [&] {
      Await(boost::asio::post(deferred));
      return Await(PostInOrder(log, 2));
    };
    sum += call();
    log.push_back("last");
    co_await boost::asio::post(deferred);
    co_return sum;
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync([&] {
      EXPECT_EQ(Await(PostInOrder(log, 1)), 1);
      EXPECT_EQ(Await(nested()), 5);
      Await(boost::asio::post(deferred));
    });
    done = true;
  };
  auto other = [&]() -> awaitable<void> {
    while (!done) {
      if (!log.empty() && log.back() != "other") log.push_back("other");
      co_await boost::asio::post(use_awaitable);
    }
  };
  boost::asio::co_spawn(io, body(), detached);
  boost::asio::co_spawn(io, other(), detached);
  io.run();
  EXPECT_TRUE(done);
  EXPECT_THAT(
      log, ElementsAre("0", "other", "0", "other", "1", "other", "0", "other",
                       "0", "other", "1", "other", "last", "other"));
}

TEST(AsioPortalTest, ACoroutineThatIsNotAwaitedOutlivesTheAwait) {
  io_context io;
  std::vector<std::string> log;
  auto begin = [&log]() -> Detached {
    co_await PostInOrder(log, 3);
    log.push_back("end");
  };
  auto in_co = [&]() -> Co<void> {
    begin();
    co_await boost::asio::post(deferred);
    log.push_back("awaited");
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync([&] { Await(in_co()); });
    log.push_back("after");
    for (int i = 0; i < 3; ++i) co_await boost::asio::post(use_awaitable);
  };
  boost::asio::co_spawn(io, body(), detached);
  io.run();
  EXPECT_THAT(log, ElementsAre("0", "1", "awaited", "after", "2", "end"));
}

// What an executor does with a function that it is to execute.
enum class Fate { kExecuted, kRefused, kLost };

struct FatefulExecutor {
  io_context::executor_type inner;
  const Fate* fate;
  bool operator==(const FatefulExecutor&) const noexcept = default;
  boost::asio::execution_context& query(
      boost::asio::execution::context_t) const noexcept {
    return inner.context();
  }
  static constexpr boost::asio::execution::blocking_t query(
      boost::asio::execution::blocking_t) noexcept {
    return boost::asio::execution::blocking.never;
  }
  template <class Fn>
  void execute(Fn&& fn) const {
    if (*fate == Fate::kRefused) throw std::runtime_error("no room");
    if (*fate == Fate::kLost)
      return (void)std::decay_t<Fn>(std::forward<Fn>(fn));
    boost::asio::require(inner, boost::asio::execution::blocking.never)
        .execute(std::forward<Fn>(fn));
  }
};

TEST(AsioPortalTest, R03_ACheckpointThatCannotBePostedThrows) {
  io_context io;
  Fate fate = Fate::kExecuted;
  int caught = 0;
  auto in_co = [&]() -> Co<int> {
    co_await boost::asio::post(deferred);
    fate = Fate::kRefused;
    try {
      co_await boost::asio::post(deferred);
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "no room");
      ++caught;
    }
    fate = Fate::kExecuted;
    co_await boost::asio::post(deferred);
    co_return 4;
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync([&] {
      fate = Fate::kRefused;
      EXPECT_THAT([&] { Await(boost::asio::post(deferred)); },
                  testing::ThrowsMessage<std::runtime_error>("no room"));
      fate = Fate::kExecuted;
      EXPECT_EQ(Await(in_co()), 4);
      Await(boost::asio::post(deferred));
    });
    ++caught;
  };
  asio::CoSpawn(
      boost::asio::any_io_executor(FatefulExecutor{io.get_executor(), &fate}),
      body(), detached);
  io.run();
  EXPECT_EQ(caught, 2);
}

// ---------------------------------------------------------- R02: abandonment

// Logs that it is destroyed, and how.
struct Mark {
  std::vector<std::string>& log;
  std::string name;
  ~Mark() {
    log.push_back(name +
                  (std::uncaught_exceptions() > 0 ? " unwound" : " left"));
  }
};

TEST(AsioPortalTest, R02_DestroyingTheContextUnwindsWhatWaits) {
  std::vector<std::string> log;
  for (int round = 0; round < 12; ++round) {
    const int what = round / 2;
    const bool on_strand = round % 2 == 1;
    log.clear();
    {
      io_context io;
      auto never_in_co = [&]() -> Co<void> {
        co_await boost::asio::steady_timer(
            io, boost::asio::steady_timer::time_point::max())
            .async_wait(deferred);
      };
      auto post_in_co = []() -> Co<void> {
        co_await boost::asio::post(deferred);
      };
      auto wait = [&] {
        Mark mark{log, "frame"};
        boost::asio::steady_timer never(
            io, boost::asio::steady_timer::time_point::max());
        switch (what) {
          case 0:
            Await(never.async_wait(deferred));
            break;
          case 1:
            Await(WaitForEver());
            break;
          case 2:
            Await(never_in_co());
            break;
          case 3:
            // It never completes.
            Await(std::suspend_always());
            break;
          case 4:
            io.stop();
            Await(boost::asio::post(deferred));
            break;
          case 5:
            io.stop();
            Await(post_in_co());
            break;
        }
        log.push_back("not reached");
      };
      auto body = [&]() -> awaitable<void> {
        Mark mark{log, "coroutine"};
        co_await asio::WithPortalRunSync(wait);
        log.push_back("not reached");
      };
      if (on_strand) {
        // The first strand is made after the first task.
        asio::CoSpawn(io, []() -> awaitable<void> { co_return; }, detached);
        boost::asio::co_spawn(boost::asio::make_strand(io), body(), detached);
      } else {
        boost::asio::co_spawn(io, body(), detached);
      }
      while (io.poll() != 0) {
      }
      EXPECT_THAT(log, ElementsAre());
    }
    ASSERT_EQ(log.size(), 2u) << what;
    EXPECT_EQ(log[0], "frame unwound") << what;
    EXPECT_THAT(log[1], testing::StartsWith("coroutine")) << what;
  }
}

TEST(AsioPortalTest, R02_ManyAndNestedOnesAreUnwound) {
  std::vector<std::string> log;
  {
    io_context io;
    auto inner = [&]() -> awaitable<void> {
      co_await boost::asio::post(use_awaitable);
      Mark mark{log, "inner"};
      Await(WaitForEver());
    };
    auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      Mark mark{log, "outer"};
      Await(inner());
    };
    for (int i = 0; i < 100; ++i) boost::asio::co_spawn(io, body(), detached);
    while (io.poll() != 0) {
    }
  }
  EXPECT_EQ(log.size(), 200u);
  for (const std::string& line : log) {
    EXPECT_THAT(line, testing::EndsWith("unwound"));
  }
}

// If the result could not report it, the process would die.
TEST(AsioPortalTest, R24_ADestructorOnTheWayGetsOperationAborted) {
  std::vector<std::string> log;
  struct Flushes {
    boost::asio::steady_timer& timer;
    std::vector<std::string>& log;
    ~Flushes() {
      const auto [error] =
          Await(timer.async_wait(boost::asio::as_tuple(deferred)));
      const auto [group_error, number] = Await(Grouped(timer));
      log.push_back(error == boost::asio::error::operation_aborted &&
                            group_error == error
                        ? "aborted"
                        : error.message() + ", " + group_error.message());
    }
    static Co<std::pair<boost::system::error_code, int>> Grouped(
        boost::asio::steady_timer& timer) {
      const auto [error] =
          co_await timer.async_wait(boost::asio::as_tuple(deferred));
      co_return std::pair(error, 1);
    }
  };
  {
    io_context io;
    auto body = [&]() -> awaitable<void> {
      co_await asio::WithPortalRunSync([&] {
        Mark mark{log, "frame"};
        boost::asio::steady_timer timer(
            io, boost::asio::steady_timer::time_point::max());
        Flushes flushes{timer, log};
        Await(timer.async_wait(deferred));
        log.push_back("not reached");
      });
    };
    boost::asio::co_spawn(io, body(), detached);
    io.poll();
  }
  EXPECT_THAT(log, ElementsAre("aborted", "frame unwound"));
}

// A task may be abandoned while its context exists. The awaitable that it
// awaited then belongs to no task, but it continues, and so do its frames.
TEST(AsioPortalTest, R02_OneMayBeAbandonedBeforeItsContext) {
  for (const bool cancellable : {false, true}) {
    std::vector<std::string> log;
    boost::asio::cancellation_signal signal;
    io_context io;
    boost::asio::steady_timer timer(
        io, boost::asio::steady_timer::time_point::max());
    asio::internal::CoroutineTaskPtr task;
    auto inner = [&]() -> awaitable<void> {
      Mark mark{log, "inner"};
      boost::system::error_code error;
      co_await timer.async_wait(
          boost::asio::redirect_error(use_awaitable, error));
      co_await boost::asio::post(use_awaitable);
      EXPECT_EQ(error, boost::asio::error::operation_aborted);
      log.push_back("went on");
    };
    auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      task.reset(asio::internal::CoroutineTask::Current());
      Await(inner());
      log.push_back("not reached");
    };
    if (cancellable) {
      boost::asio::co_spawn(
          io, body(),
          boost::asio::bind_cancellation_slot(signal.slot(), detached));
    } else {
      boost::asio::co_spawn(io, body(), detached);
    }
    io.poll();
    ASSERT_NE(task, nullptr);
    std::exchange(task, nullptr)->AbandonCoroutine();
    EXPECT_THAT(log, ElementsAre());
    timer.cancel();
    io.run();
    EXPECT_THAT(log, ElementsAre("went on", "inner left"));
  }
}

// A destructor that runs while the frames are unwound may start a coroutine
// that makes a checkpoint, and destroy it.
TEST(AsioPortalTest, R02_ACheckpointWhileUnwindingIsNotPosted) {
  std::vector<std::string> log;
  io_context io;
  asio::internal::CoroutineTaskPtr task;
  const auto waiting = [&]() -> OwnedCoroutine {
    Mark mark{log, "waiting"};
    (void)co_await greenback::EnsurePortal();
    log.push_back("not reached");
  };
  struct AtEnd {
    decltype(waiting)& waiting_;
    ~AtEnd() {
      const OwnedCoroutine destroyed = waiting_();
      EXPECT_FALSE(destroyed.done());
    }
  };
  auto body = [&]() -> awaitable<void> {
    (void)co_await asio::EnsurePortal();
    task.reset(asio::internal::CoroutineTask::Current());
    AtEnd at_end{waiting};
    boost::asio::steady_timer never(
        io, boost::asio::steady_timer::time_point::max());
    Await(never.async_wait(deferred));
    log.push_back("not reached");
  };
  boost::asio::co_spawn(io, body(), detached);
  io.poll();
  ASSERT_NE(task, nullptr);
  std::exchange(task, nullptr)->AbandonCoroutine();
  io.poll();
  EXPECT_THAT(log, ElementsAre("waiting unwound"));
}

TEST(AsioPortalTest, R02_WhatAnExecutorDropsIsUnwound) {
  for (const bool in_co : {false, true}) {
    std::vector<std::string> log;
    Fate fate = Fate::kExecuted;
    io_context io;
    auto post_in_co = [&]() -> Co<void> {
      Mark mark{log, "co"};
      co_await boost::asio::post(deferred);
      fate = Fate::kLost;
      co_await boost::asio::post(deferred);
    };
    auto body = [&]() -> awaitable<void> {
      co_await asio::WithPortalRunSync([&] {
        Mark mark{log, "frame"};
        if (in_co) {
          Await(post_in_co());
        } else {
          fate = Fate::kLost;
          Await(boost::asio::post(deferred));
        }
        log.push_back("not reached");
      });
    };
    asio::CoSpawn(
        boost::asio::any_io_executor(FatefulExecutor{io.get_executor(), &fate}),
        body(), detached);
    io.run();
    if (in_co) {
      EXPECT_THAT(log, ElementsAre("co unwound", "frame unwound"));
    } else {
      EXPECT_THAT(log, ElementsAre("frame unwound"));
    }
  }
}

TEST(AsioPortalTest, R02_WhatNeverBeganToWaitIsDestroyedAsUsual) {
  std::vector<std::string> log;
  {
    io_context io;
    auto in_co = [&](bool posts) -> Co<void> {
      Mark mark{log, "coroutine"};
      if (posts) {
        io.stop();
        co_await boost::asio::post(deferred);
      } else {
        boost::asio::steady_timer never(
            io, boost::asio::steady_timer::time_point::max());
        co_await never.async_wait(deferred);
      }
      log.push_back("not reached");
    };
    auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      Mark mark{log, "coroutine"};
      co_await WaitForEver();
    };
    boost::asio::co_spawn(io, body(), detached);
    asio::CoSpawn(io, body(), detached);
    while (io.poll() != 0) {
    }
    for (const bool posts : {false, true}) {
      io.restart();
      boost::asio::co_spawn(io, asio::AsAwaitable(in_co(posts)), detached);
      io.poll();
    }
  }
  EXPECT_THAT(log, ElementsAre("coroutine left", "coroutine left",
                               "coroutine left", "coroutine left"));
}

// ------------------------------------------------- R05, R06: several threads

// Compilers take std::this_thread::get_id() for a constant.
__attribute__((noinline)) std::thread::id ThisThreadId() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

// Asio posts the cancellation of a coroutine that co_spawn() has spawned, with
// a pointer to a signal of its handler's. Here the coroutine, and what waits
// for it, end before the cancellation is executed.
TEST(AsioPortalTest, R12_AnAwaitableInARunEndsBeforeItsCancellationArrives) {
  greenback::Run([]() -> Co<void> {
    (void)co_await EnsurePortal();
    Event begun;
    CancelScope* scope = nullptr;
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        (void)co_await EnsurePortal();
        CancelScope inner;
        scope = &inner;
        const auto body = [&]() -> awaitable<int> {
          begun.Set();
          co_await boost::asio::post(boost::asio::use_awaitable);
          co_return 7;
        };
        EXPECT_EQ(Await(body()), 7);
      });
      (void)co_await begun.Wait();
      scope->Cancel();
    });
  });
}

// Two threads take turns and run a handler each.
TEST(AsioPortalTest, R05_ATaskMayResumeOnAnotherThread) {
  constexpr int kTasks = 3;
  constexpr int kRounds = 500;
  io_context io;
  int rounds = 0;
  int moved = 0;
  TaskLocal<int> variable(0);
  auto work = [&](int mine) {
    variable.Set(mine);
    try {
      throw std::runtime_error(std::to_string(mine));
    } catch (const std::runtime_error&) {
      const std::exception_ptr error = std::current_exception();
      for (int i = 0; i < kRounds; ++i) {
        const std::thread::id before = ThisThreadId();
        Await(boost::asio::post(deferred));
        moved += ThisThreadId() != before;
        EXPECT_EQ(std::current_exception(), error);
        EXPECT_TRUE(HasPortal());
        EXPECT_EQ(variable.Get(), mine);
        ++rounds;
      }
    }
  };
  auto body = [&](int mine) -> awaitable<void> {
    co_await asio::WithPortalRunSync(work, mine);
    EXPECT_EQ(std::current_exception(), nullptr);
    EXPECT_FALSE(HasPortal());
  };
  for (int i = 1; i <= kTasks; ++i) asio::CoSpawn(io, body(i), detached);
  std::binary_semaphore turns[2] = {std::binary_semaphore(1),
                                    std::binary_semaphore(0)};
  auto take_turns = [&](int mine) {
    while (!io.stopped()) {
      turns[mine].acquire();
      io.run_one();
      turns[1 - mine].release();
    }
  };
  std::thread other(take_turns, 1);
  take_turns(0);
  other.join();
  EXPECT_EQ(rounds, kTasks * kRounds);
  EXPECT_GT(moved, kRounds);
}

// Completed by another thread, at any moment around the park.
TEST(AsioPortalTest, R06_CompletionsRaceWithTheParking) {
  constexpr int kRounds = 100'000;
  boost::asio::thread_pool pool(1);
  io_context io;
  int sum = 0;
  auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      // The other thread resumes while this one is returning to its loop.
      Await(boost::asio::post(pool, deferred));
      ++sum;
    }
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync(work);
  };
  const auto guard = boost::asio::make_work_guard(io);
  boost::asio::co_spawn(io, body(), [&](std::exception_ptr error) {
    EXPECT_FALSE(error);
    io.stop();
  });
  io.run();
  EXPECT_EQ(sum, kRounds);
}

Co<int> PostTwiceInCo(int value) {
  co_await boost::asio::post(deferred);
  co_await boost::asio::post(deferred);
  co_return value;
}

TEST(AsioPortalTest, R06_CompletionsRaceWithTheParkingOnAPoolWithoutAStrand) {
  constexpr int kRounds = 20'000;
  boost::asio::thread_pool pool(4);
  std::atomic<int> sum = 0;
  auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      Await(boost::asio::post(pool, deferred));
      sum += Await(PostTwice(1));
      sum += Await(PostTwiceInCo(1));
    }
  };
  auto body = [&]() -> awaitable<void> {
    co_await asio::WithPortalRunSync(work);
  };
  for (int i = 0; i < 4; ++i) asio::CoSpawn(pool, body(), detached);
  pool.join();
  EXPECT_EQ(sum, 2 * 4 * kRounds);
}

// -------------------------------------------------------------- stack overflow

size_t Recurse(size_t depth) {
  volatile char frame[512];
  frame[depth % sizeof(frame)] = 1;
  if (depth == size_t{1} << 30) return 0;  // not reached
  return Recurse(depth + 1) + static_cast<size_t>(frame[0]);
}

TEST(AsioPortalDeathTest, R35_AnOverflowIsReportedOnAThreadThatOnlyResumes) {
  const auto overflow = [] {
    io_context io;
    std::function<void()> done;
    auto body = [&]() -> awaitable<void> {
      (void)co_await asio::EnsurePortal();
      Await(FromCallback<>([&done](auto callback) {
        done = [callback]() mutable { callback(); };
      }));
      EXPECT_NE(Recurse(0), 1u);
    };
    boost::asio::co_spawn(io, body(), detached);
    std::thread([&] { io.poll(); }).join();
    std::thread([&] {
      boost::asio::post(io, [&] { done(); });
      io.restart();
      io.run();
    }).join();
  };
  EXPECT_DEATH(overflow(),
               "greenback: fiber stack overflow in task \".*\", stack size "
               "1048576 bytes; call what recurses in greenback::RunOnFiber");
}

}  // namespace
}  // namespace greenback
