// Portals in the coroutines of a library that greenback has never heard of, on
// its own event loop: QCoro's Task, and Qt.
#include <qcorotask.h>

#include <QCoreApplication>
#include <QTimer>
#include <coroutine>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/from_callback.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "gtest/gtest.h"
#include "tests/support/foreign_host_suite.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

// Runs `body` in the loop of an application, which exits when `body` has ended.
void RunInQt(std::function<QCoro::Task<>()> body) {
  int argc = 1;
  char name[] = "qcoro_test";
  char* argv[] = {name, nullptr};
  QCoreApplication application(argc, argv);
  bool ended = false;
  const auto main = [&]() -> QCoro::Task<> {
    co_await body();
    ended = true;
    application.quit();
  };
  QTimer::singleShot(0, [&] { main(); });
  application.exec();
  EXPECT_TRUE(ended);
}

// A coroutine of QCoro's that resumes from Qt's loop.
QCoro::Task<int> Later(int value) {
  co_await FromCallback(
      [](auto done) { QTimer::singleShot(0, [done]() mutable { done(); }); });
  co_return value;
}

// Waits deep inside synchronous functions.
int AwaitDeep(int value, int depth) {
  if (depth > 0) return AwaitDeep(value, depth - 1);
  return Await(Later(value));
}

TEST(QCoroTest, ASynchronousFunctionAwaitsInAQCoroTask) {
  std::vector<int> log;
  RunInQt([&]() -> QCoro::Task<> {
    EXPECT_FALSE(HasPortal());
    auto work = [&] {
      EXPECT_TRUE(HasPortal());
      for (int i = 0; i < 3; ++i) log.push_back(AwaitDeep(i, 8));
      return 42;
    };
    log.push_back(co_await WithPortalRunSync(work));
    EXPECT_FALSE(HasPortal());
    log.push_back(co_await Later(7));
  });
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 42, 7));
}

TEST(QCoroTest, QtsLoopGoesOnMeanwhile) {
  std::vector<std::string> log;
  RunInQt([&]() -> QCoro::Task<> {
    auto work = [&] {
      QTimer::singleShot(0, [&] {
        EXPECT_FALSE(HasPortal());
        log.push_back("callback");
      });
      log.push_back("before");
      Await(Later(1));
      Await(Later(1));
      log.push_back("after");
    };
    co_await WithPortalRunSync(work);
  });
  EXPECT_THAT(log, ElementsAre("before", "callback", "after"));
}

TEST(QCoroTest, ExceptionsPassBothWays) {
  std::vector<std::string> log;
  auto fails = []() -> QCoro::Task<int> {
    co_await Later(1);
    throw std::runtime_error("of the task");
  };
  RunInQt([&]() -> QCoro::Task<> {
    auto work = [&] {
      try {
        Await(fails());
      } catch (const std::runtime_error& error) {
        log.push_back(error.what());
      }
      throw std::runtime_error("of the function");
    };
    try {
      co_await WithPortalRunSync(work);
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
  });
  EXPECT_THAT(log, ElementsAre("of the task", "of the function"));
}

TEST(QCoroTest, ACoroutineOfGreenbacksHasAPortalThere) {
  int result = 0;
  auto in_portal = []() -> Co<int> {
    const int first = co_await Later(40);
    EXPECT_TRUE(HasPortal());
    co_return first + Await(Later(2));
  };
  RunInQt(
      [&]() -> QCoro::Task<> { result = co_await WithPortalRun(in_portal); });
  EXPECT_EQ(result, 42);
}

TEST(QCoroTest, R02_ADestroyedTaskUnwindsWhatWaits) {
  std::vector<std::string> log;
  struct Mark {
    std::vector<std::string>& log;
    ~Mark() { log.push_back("unwound"); }
  };
  RunInQt([&]() -> QCoro::Task<> {
    auto work = [&] {
      Mark mark{log};
      Await(std::suspend_always());
      log.push_back("not reached");
    };
    const auto waits = [&]() -> Co<void> { co_await WithPortalRunSync(work); };
    {
      // (A Task of QCoro's continues by itself when it is dropped; a Co does
      // not.)
      Co<void> dropped = waits();
      auto awaiter = std::move(dropped).operator co_await();
      awaiter.await_suspend(std::noop_coroutine());
      log.push_back("waits");
    }
    log.push_back("dropped");
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("waits", "unwound", "dropped"));
}

// The rows that coroutines of every library have to pass.
class QCoroHost {
 public:
  using Task = QCoro::Task<>;

  // Of a coroutine, which keeps itself alive until it has ended.
  class Running {
   public:
    template <class Body>
    explicit Running(Body& body) : ended_(std::make_shared<bool>(false)) {
      const auto run = [](Body& body,
                          std::shared_ptr<bool> ended) -> QCoro::Task<> {
        co_await body();
        *ended = true;
        QCoreApplication::quit();
      };
      run(body, ended_);
    }
    bool ended() const { return *ended_; }

   private:
    std::shared_ptr<bool> ended_;
  };

  template <class Body>
  Running Start(Body& body) {
    return Running(body);
  }
  void RunToEnd(Running& running) {
    while (!running.ended()) application_.exec();
  }
  Co<void> Soon() {
    co_await FromCallback(
        [](auto done) { QTimer::singleShot(0, [done]() mutable { done(); }); });
  }

  static constexpr const char* kNoCancel = "a Task has no cancellation";
  void Cancel(Running&) {}
  static constexpr const char* kNoDestroy =
      "a Task that is dropped continues by itself";
  void Destroy(Running&) {}
  static constexpr const char* kNoHop = "the coroutines belong to Qt's thread";

 private:
  int argc_ = 1;
  char name_[11] = "qcoro_test";
  char* argv_[2] = {name_, nullptr};
  QCoreApplication application_{argc_, argv_};
};
INSTANTIATE_TYPED_TEST_SUITE_P(QCoro, ForeignHostTest, QCoroHost);

}  // namespace
}  // namespace greenback
