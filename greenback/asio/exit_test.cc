// Programs with a static io_context, or a thread_local one: synchronous code
// that waits in it is unwound when the thread's caches have ended. Each test is
// a process that exits while something waits.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>

#include "greenback/asio/asio.h"
#include "greenback/from_callback.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"

namespace greenback {
namespace {

using ::testing::ExitedWithCode;

using boost::asio::awaitable;
using boost::asio::deferred;
using boost::asio::detached;
using boost::asio::io_context;
using boost::asio::thread_pool;

// Destroyed last in a process. Prints how many frames were unwound.
struct Unwound {
  int count = 0;
  ~Unwound() { std::fprintf(stderr, "%d unwound\n", count); }
};
struct Mark {
  Unwound& unwound;
  ~Mark() { unwound.count += std::uncaught_exceptions() > 0; }
};

// An awaiter of another library, which needs a waker.
struct Foreign {
  std::function<void()>& complete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    complete = [waiter] { waiter.resume(); };
  }
  void await_resume() const noexcept {}
};

// The kinds of waits. Each waits until complete() is called, if it ever is, in
// `kMarks` frames with a Mark.
using Wait = awaitable<void> (*)(Unwound& unwound,
                                 std::function<void()>& complete);
constexpr int kMarks = 2;

awaitable<void> WaitForForeignAwaiter(Unwound& unwound,
                                      std::function<void()>& complete) {
  (void)co_await asio::EnsurePortal();
  const auto call = [&] {
    Mark mark{unwound};
    Await(Foreign{complete});
  };
  Mark mark{unwound};
  call();
}

awaitable<void> WaitForCallback(Unwound& unwound,
                                std::function<void()>& complete) {
  (void)co_await asio::EnsurePortal();
  const auto call = [&] {
    Mark mark{unwound};
    Await(FromCallback<>(
        [&complete](auto done) { complete = [done] { done(); }; }));
  };
  Mark mark{unwound};
  call();
}

Co<void> AwaitForeign(std::function<void()>& complete) {
  co_await Foreign{complete};
}

awaitable<void> WaitForCo(Unwound& unwound, std::function<void()>& complete) {
  (void)co_await asio::EnsurePortal();
  const auto call = [&] {
    Mark mark{unwound};
    Await(AwaitForeign(complete));
  };
  Mark mark{unwound};
  call();
}

awaitable<void> WaitForOperation(Unwound& unwound,
                                 std::function<void()>& complete) {
  (void)co_await asio::EnsurePortal();
  const auto call = [&] {
    Mark mark{unwound};
    boost::asio::steady_timer timer(
        asio::CurrentExecutor(), boost::asio::steady_timer::time_point::max());
    complete = [&timer] { timer.expires_after({}); };
    Await(timer.async_wait(boost::asio::as_tuple(deferred)));
  };
  Mark mark{unwound};
  call();
}

// Awaits also in destructors of the frames that are unwound. There Await()
// returns at once.
awaitable<void> WaitInDestructors(Unwound& unwound,
                                  std::function<void()>& complete) {
  struct AwaitsWhenLeft {
    std::function<void()>& complete;
    ~AwaitsWhenLeft() {
      if (std::uncaught_exceptions() > 0) Await(Foreign{complete});
    }
  };
  (void)co_await asio::EnsurePortal();
  const auto call = [&] {
    Mark mark{unwound};
    AwaitsWhenLeft awaits{complete};
    Await(Foreign{complete});
  };
  Mark mark{unwound};
  call();
}

OwnedCoroutine WaitInForeignCoroutine(Unwound& unwound,
                                      std::function<void()>& complete) {
  const auto call = [&] {
    Mark mark{unwound};
    Await(Foreign{complete});
  };
  co_await WithPortalRunSync(call);
}

// Lets one of two sessions end, so that there is something in each cache.
void RunSessions(io_context& io, Wait wait, Unwound& unwound,
                 std::function<void()> (&complete)[2]) {
  for (std::function<void()>& each : complete) {
    boost::asio::co_spawn(io, wait(unwound, each), detached);
  }
  io.poll();
  complete[0]();
  io.poll();
}

class AsioExitTest : public testing::TestWithParam<Wait> {
 protected:
  static std::string Expected(int sessions) {
    return std::to_string(sessions * kMarks) + " unwound";
  }
};
using AsioExitDeathTest = AsioExitTest;

TEST_P(AsioExitDeathTest, R27_AStaticIoContextUnwindsAtExit) {
  const auto process = [] {
    static Unwound unwound;
    static io_context io;
    static std::function<void()> complete[2];
    RunSessions(io, GetParam(), unwound, complete);
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), Expected(1));
}

TEST_P(AsioExitDeathTest, R27_AStaticIoContextOfAnEndedThreadUnwindsAtExit) {
  const auto process = [] {
    static Unwound unwound;
    static io_context io;
    static std::function<void()> complete[2];
    std::thread([] { RunSessions(io, GetParam(), unwound, complete); }).join();
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), Expected(1));
}

// The io_context is destroyed after the caches because it was made before them.
TEST_P(AsioExitDeathTest, R27_AThreadLocalIoContextUnwindsAtItsThreadsEnd) {
  const auto process = [] {
    static Unwound unwound;
    static std::function<void()> complete[2];
    std::thread([] {
      thread_local io_context io;
      RunSessions(io, GetParam(), unwound, complete);
    }).join();
    for (std::function<void()>& each : complete) each = nullptr;
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), Expected(1));
}

TEST_P(AsioExitDeathTest, R27_AStaticThreadPoolUnwindsAtExit) {
  const auto process = [] {
    static Unwound unwound;
    static thread_pool pool(1);
    static std::function<void()> complete[2];
    std::binary_semaphore done(0);
    const auto wait_for_pool = [&done] {
      boost::asio::post(pool, [&done] { done.release(); });
      done.acquire();
    };
    for (std::function<void()>& each : complete) {
      boost::asio::co_spawn(boost::asio::make_strand(pool),
                            GetParam()(unwound, each), detached);
    }
    for (int i = 0; i < 10; ++i) wait_for_pool();
    boost::asio::post(pool, std::move(complete[0]));
    for (int i = 0; i < 10; ++i) wait_for_pool();
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), Expected(1));
}

// Coroutines may run in the destructors, as they would without greenback.
TEST_P(AsioExitDeathTest, R27_AStaticDestructorRunsTheIoContext) {
  const auto process = [] {
    static Unwound unwound;
    static io_context io;
    static std::function<void()> complete[2];
    struct AtExit {
      ~AtExit() {
        complete[1]();
        io.run();
        RunSessions((io.restart(), io), GetParam(), unwound, complete);
      }
    };
    static const AtExit at_exit;
    RunSessions(io, GetParam(), unwound, complete);
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), Expected(1));
}

INSTANTIATE_TEST_SUITE_P(Waits, AsioExitDeathTest,
                         testing::Values(&WaitForForeignAwaiter,
                                         &WaitForCallback, &WaitForCo,
                                         &WaitForOperation,
                                         &WaitInDestructors));

// exit() in a step: the step's own frames are not unwound, because they run.
Co<void> ExitInCo(bool in_another_task) {
  co_await boost::asio::post(deferred);
  if (in_another_task) {
    const auto body = []() -> awaitable<void> {
      co_await asio::WithPortalRunSync([] { std::exit(0); });
    };
    boost::asio::co_spawn(asio::CurrentExecutor(), body(), detached);
  }
  std::exit(0);
}

TEST(AsioExitOnceDeathTest, R27_ExitMayBeCalledInsideAStep) {
  enum class Where { kFrame, kCo, kCoOfAwaitable, kStepInAStep };
  for (const Where where : {Where::kFrame, Where::kCo, Where::kCoOfAwaitable,
                            Where::kStepInAStep}) {
    const auto process = [where] {
      static Unwound unwound;
      static io_context io;
      static std::function<void()> complete[2];
      RunSessions(io, &WaitForForeignAwaiter, unwound, complete);
      const auto body = [where]() -> awaitable<void> {
        (void)co_await asio::EnsurePortal();
        Mark mark{unwound};
        if (where == Where::kCo) Await(ExitInCo(false));
        if (where == Where::kStepInAStep) Await(ExitInCo(true));
        if (where == Where::kCoOfAwaitable) {
          co_await asio::AsAwaitable(ExitInCo(false));
        }
        std::exit(0);
      };
      boost::asio::co_spawn(io, body(), detached);
      io.run();
    };
    SCOPED_TRACE(static_cast<int>(where));
    EXPECT_EXIT(process(), ExitedWithCode(0), "2 unwound");
  }
}

TEST(AsioExitOnceDeathTest, R27_AStaticCoroutineOfAnotherLibraryUnwindsAtExit) {
  const auto process = [] {
    static Unwound unwound;
    static std::function<void()> complete[2];
    static const OwnedCoroutine waits[] = {
        WaitInForeignCoroutine(unwound, complete[0]),
        WaitInForeignCoroutine(unwound, complete[1])};
    complete[0]();
    std::exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), "1 unwound");
}

}  // namespace
}  // namespace greenback
