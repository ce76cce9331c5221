#include "greenback/no_await_scope.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Runs body(), a plain function, in a task with a portal.
void InPortal(const std::function<void()>& body) {
  greenback::Run(
      [&]() -> Co<void> { co_await WithPortalRunSync(std::ref(body)); });
}

// Why Await() is refused; empty when it is not.
std::string Refusal() {
  const absl::Status status = TryAwait(Checkpoint());
  EXPECT_EQ(status.ok(), HasPortal());
  return std::string(status.message());
}

std::string Line(int line) {
  return "no_await_scope_test.cc:" + std::to_string(line) + " ";
}

TEST(NoAwaitScopeTest, R22_ScopesEndInAnyOrder) {
  InPortal([] {
    auto first = std::make_unique<NoAwaitScope>();
    auto second = std::make_unique<NoAwaitScope>();
    auto third = std::make_unique<NoAwaitScope>();
    second.reset();
    EXPECT_NE(Refusal(), "");
    first.reset();
    EXPECT_NE(Refusal(), "");
    third.reset();
    EXPECT_EQ(Refusal(), "");

    // Hand over hand.
    std::optional<NoAwaitScope> here(std::in_place);
    for (int i = 0; i < 3; ++i) {
      auto next = std::make_unique<NoAwaitScope>();
      here.reset();
      EXPECT_NE(Refusal(), "");
      here.emplace();
      next.reset();
      EXPECT_NE(Refusal(), "");
    }
    here.reset();
    EXPECT_EQ(Refusal(), "");
  });
}

TEST(NoAwaitScopeTest, R22_TheLatestThatHasNotEndedIsNamed) {
  InPortal([] {
    const int line = __LINE__;
    std::unique_ptr<NoAwaitScope> first(new NoAwaitScope());
    std::unique_ptr<NoAwaitScope> second(new NoAwaitScope());
    std::unique_ptr<NoAwaitScope> third(new NoAwaitScope());
    EXPECT_THAT(Refusal(), HasSubstr(Line(line + 3)));
    third.reset();
    EXPECT_THAT(Refusal(), HasSubstr(Line(line + 2)));
    first.reset();
    EXPECT_THAT(Refusal(), HasSubstr(Line(line + 2)));
  });
}

TEST(NoAwaitScopeTest, R22_OneMayEndInAnotherTask) {
  greenback::Run([]() -> Co<void> {
    std::optional<NoAwaitScope> scope;
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        (void)co_await EnsurePortal();
        scope.emplace();
        EXPECT_NE(Refusal(), "");
        while (scope) (void)co_await Checkpoint();
        EXPECT_EQ(Refusal(), "");
      });
      (void)co_await EnsurePortal();
      while (!scope) (void)co_await Checkpoint();
      EXPECT_EQ(Refusal(), "");  // the scope is the other task's
      scope.reset();
    });
  });
}

TEST(NoAwaitScopeTest, R22_OneMayOutliveItsTaskAndItsRun) {
  std::unique_ptr<NoAwaitScope> first, second, third;
  greenback::Run([&]() -> Co<void> {
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        first = std::make_unique<NoAwaitScope>();
        second = std::make_unique<NoAwaitScope>();
        third = std::make_unique<NoAwaitScope>();
        co_return;
      });
      co_return;
    });
    second.reset();  // the task has ended
    (void)co_await EnsurePortal();
    EXPECT_EQ(Refusal(), "");
  });
  first.reset();
  third.reset();
  InPortal([] { EXPECT_EQ(Refusal(), ""); });
}

// A class of lock that has a scope as a member.
class CheckedMutex {
 public:
  void lock(std::source_location where = std::source_location::current()) {
    mutex_.lock();
    no_await_.emplace(where);
  }
  bool try_lock(std::source_location where = std::source_location::current()) {
    if (!mutex_.try_lock()) return false;
    no_await_.emplace(where);
    return true;
  }
  void unlock() {
    no_await_.reset();
    mutex_.unlock();
  }

 private:
  std::mutex mutex_;
  std::optional<NoAwaitScope> no_await_;
};

TEST(NoAwaitScopeTest, R22_ALockOfOnesOwnNamesItsCaller) {
  InPortal([] {
    CheckedMutex mutex;
    const int line = __LINE__ + 1;
    mutex.lock();
    EXPECT_THAT(Refusal(),
                AllOf(HasSubstr(Line(line)), Not(HasSubstr("not known"))));
    mutex.unlock();
    EXPECT_EQ(Refusal(), "");
  });
}

TEST(NoAwaitScopeTest, R22_ALineOfTheStandardLibraryIsNotTakenForTheCallers) {
  InPortal([] {
    CheckedMutex mutex, other;
    // No header of the library is named.
    const auto refused_well = AllOf(
        HasSubstr("greenback::NoAwaitLock in place of a lock, names the line"),
        Not(HasSubstr(".h:")), Not(HasSubstr("/mutex:")));
    {
      std::lock_guard lock(mutex);
      EXPECT_THAT(Refusal(), refused_well);
    }
    {
      std::unique_lock lock(mutex);
      EXPECT_THAT(Refusal(), refused_well);
      lock.unlock();
      EXPECT_EQ(Refusal(), "");
      EXPECT_TRUE(lock.try_lock());
      EXPECT_THAT(Refusal(), refused_well);
    }
    {
      std::scoped_lock lock(mutex, other);
      EXPECT_THAT(Refusal(), refused_well);
    }
    {
      const auto scope = std::make_unique<NoAwaitScope>();
      EXPECT_THAT(Refusal(), refused_well);
    }
    EXPECT_EQ(Refusal(), "");
  });
}

}  // namespace
}  // namespace greenback
