#include "greenback/no_await_lock.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using ::testing::HasSubstr;

void InPortal(const std::function<void()>& body) {
  greenback::Run(
      [&]() -> Co<void> { co_await WithPortalRunSync(std::ref(body)); });
}

// Why Await() is refused; empty when it is not.
std::string Refusal() { return std::string(TryAwait(Checkpoint()).message()); }
// Matches a refusal that names this line of this file.
auto NamesLine(int line) {
  return HasSubstr(
      "is inside the NoAwaitScope of greenback/"
      "no_await_lock_test.cc:" +
      std::to_string(line) + " ");
}

bool IsFree(std::mutex& mutex) {
  bool free = false;
  std::thread([&] {
    free = mutex.try_lock();
    if (free) mutex.unlock();
  }).join();
  return free;
}

TEST(NoAwaitLockTest, R22_RefusesAwaitWhileItIsHeldAndNamesItsLine) {
  InPortal([] {
    std::mutex mutex;
    {
      const int line = __LINE__ + 1;
      NoAwaitLock lock(mutex);
      static_assert(std::is_same_v<decltype(lock), NoAwaitLock<std::mutex>>);
      EXPECT_THAT(Refusal(), NamesLine(line));
      EXPECT_FALSE(IsFree(mutex));
      lock.unlock();
      EXPECT_EQ(Refusal(), "");
      EXPECT_TRUE(IsFree(mutex));
      lock.lock();
      EXPECT_THAT(Refusal(), NamesLine(line));
    }
    EXPECT_EQ(Refusal(), "");
    EXPECT_TRUE(IsFree(mutex));
  });
}

TEST(NoAwaitLockTest, R22_LocksMayBeTakenHandOverHand) {
  struct Node {
    std::mutex mutex;
    std::unique_ptr<Node> next;
  };
  InPortal([] {
    Node list;
    list.next = std::make_unique<Node>();
    list.next->next = std::make_unique<Node>();
    NoAwaitLock here(list.mutex);
    for (Node* node = list.next.get(); node != nullptr;
         node = node->next.get()) {
      const int line = __LINE__ + 1;
      NoAwaitLock next(node->mutex);
      here = std::move(next);
      EXPECT_THAT(Refusal(), NamesLine(line));
      EXPECT_FALSE(next.owns_lock());  // NOLINT(bugprone-use-after-move)
      EXPECT_FALSE(IsFree(node->mutex));
      EXPECT_TRUE(IsFree(list.mutex));
    }
    here.unlock();
    EXPECT_EQ(Refusal(), "");
  });
}

// Here the standard library calls lock().
TEST(NoAwaitLockTest, R22_ItsLineIsNamedWhateverFunctionCallsLock) {
  InPortal([] {
    std::mutex first, second;
    const int line = __LINE__;
    NoAwaitLock one(first, std::defer_lock);
    NoAwaitLock two(second, std::defer_lock);
    EXPECT_EQ(Refusal(), "");
    {
      const std::lock_guard guard(one);
      EXPECT_THAT(Refusal(), NamesLine(line + 1));
    }
    {
      std::unique_lock guard(two);
      EXPECT_THAT(Refusal(), NamesLine(line + 2));
    }
    {
      const std::scoped_lock guard(one, two);
      EXPECT_THAT(Refusal(), HasSubstr("no_await_lock_test.cc:"));
      EXPECT_FALSE(IsFree(first));
      EXPECT_FALSE(IsFree(second));
    }
    EXPECT_EQ(Refusal(), "");
    std::lock(one, two);
    one.unlock();
    EXPECT_THAT(Refusal(), NamesLine(line + 2));
    two.unlock();
    EXPECT_EQ(Refusal(), "");
  });
}

TEST(NoAwaitLockTest, R22_TryingAndAdoptingNameTheLineToo) {
  InPortal([] {
    std::mutex mutex;
    {
      const std::lock_guard held(mutex);
      // On another thread: trying a mutex that the thread owns is undefined.
      std::thread([&] {
        const NoAwaitLock lock(mutex, std::try_to_lock);
        EXPECT_FALSE(lock.owns_lock());
        EXPECT_FALSE(static_cast<bool>(lock));
        EXPECT_EQ(lock.mutex(), &mutex);
      }).join();
    }
    {
      const int line = __LINE__ + 1;
      NoAwaitLock lock(mutex, std::try_to_lock);
      EXPECT_TRUE(lock.owns_lock());
      EXPECT_THAT(Refusal(), NamesLine(line));
      lock.unlock();
      EXPECT_TRUE(lock.try_lock());
      EXPECT_THAT(Refusal(), NamesLine(line));
    }
    mutex.lock();
    {
      const int line = __LINE__ + 1;
      const NoAwaitLock lock(mutex, std::adopt_lock);
      EXPECT_THAT(Refusal(), NamesLine(line));
    }
    EXPECT_TRUE(IsFree(mutex));
    EXPECT_EQ(Refusal(), "");
  });
}

TEST(NoAwaitLockTest, R22_OneOnTheHeapMayBeMoved) {
  InPortal([] {
    std::mutex mutex;
    const int line = __LINE__ + 1;
    auto lock = std::make_unique<NoAwaitLock<std::mutex>>(NoAwaitLock(mutex));
    EXPECT_THAT(Refusal(), NamesLine(line));
    NoAwaitLock moved = std::move(*lock);
    lock.reset();
    EXPECT_THAT(Refusal(), NamesLine(line));
    EXPECT_FALSE(IsFree(mutex));
    moved.unlock();
    EXPECT_EQ(Refusal(), "");
  });
}

TEST(NoAwaitLockTest, OutsideATaskItIsALock) {
  std::mutex mutex;
  {
    const NoAwaitLock lock(mutex);
    EXPECT_FALSE(IsFree(mutex));
  }
  EXPECT_TRUE(IsFree(mutex));
}

}  // namespace
}  // namespace greenback
