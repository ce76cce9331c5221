#include "util/decorate_as_sync.h"

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/hosts.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

// A cache of the most recently used results, for synchronous functions, written
// without knowing of greenback. It cannot be moved.
class LruCache {
 public:
  LruCache(size_t capacity, std::function<int(int)> fn)
      : capacity_(capacity), fn_(std::move(fn)) {}
  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  const int& operator()(int key) {
    if (auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    const int value = fn_(key);
    entries_.emplace_front(key, value);
    index_[key] = entries_.begin();
    if (entries_.size() > capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

 private:
  const size_t capacity_;
  const std::function<int(int)> fn_;
  std::list<std::pair<int, int>> entries_;  // the last one used is first
  std::map<int, std::list<std::pair<int, int>>::iterator> index_;
};

auto Lru(size_t capacity) {
  return [capacity](std::function<int(int)> fn) {
    return LruCache(capacity, std::move(fn));
  };
}

// A decorator that forwards everything unchanged.
constexpr auto kPlain = [](auto fn) {
  return [fn = std::move(fn)](auto&&... args) mutable -> decltype(auto) {
    return fn(std::forward<decltype(args)>(args)...);
  };
};

template <class Host>
class DecorateAsSyncTest : public testing::Test {
 public:
  using Void = typename Host::template Coroutine<void>;
  using Int = typename Host::template Coroutine<int>;
};

TYPED_TEST_SUITE(DecorateAsSyncTest, TestedHosts);

// Tests that share nothing between tasks and need no clock.
template <class Host>
class AnyThreadDecorateAsSyncTest : public DecorateAsSyncTest<Host> {};
TYPED_TEST_SUITE(AnyThreadDecorateAsSyncTest, TestedHostsOfAnyThreads);

#define TEST_NAMES                                          \
  using Host [[maybe_unused]] = TypeParam;                  \
  using Void [[maybe_unused]] = typename TestFixture::Void; \
  using Int [[maybe_unused]] = typename TestFixture::Int

// ------------------------------------------------------------------------ U02

TYPED_TEST(DecorateAsSyncTest, U02_TheSecondCallRunsNothingAndTakesNoTime) {
  TEST_NAMES;
  std::vector<int> asked;
  Host::Run([&]() -> Void {
    const auto ask = [&asked](int n) -> Int {
      asked.push_back(n);
      co_await Host::Sleep(absl::Hours(1));
      co_return 10 * n;
    };
    auto cached = DecorateAsSync(Lru(2))(ask);
    const absl::Time start = Host::Now();
    EXPECT_EQ(co_await Host::Adapt(cached(1)), 10);
    EXPECT_EQ(Host::Now() - start, absl::Hours(1));
    EXPECT_FALSE(HasPortal());
    EXPECT_EQ(co_await Host::Adapt(cached(1)), 10);
    EXPECT_EQ(Host::Now() - start, absl::Hours(1));
    EXPECT_THAT(asked, ElementsAre(1));

    EXPECT_EQ(co_await Host::Adapt(cached(2)), 20);
    EXPECT_EQ(co_await Host::Adapt(cached(1)), 10);  // makes 2 the older one
    EXPECT_EQ(co_await Host::Adapt(cached(3)), 30);  // evicts 2
    EXPECT_EQ(co_await Host::Adapt(cached(1)), 10);
    EXPECT_THAT(asked, ElementsAre(1, 2, 3));
    EXPECT_EQ(co_await Host::Adapt(cached(2)), 20);
    EXPECT_THAT(asked, ElementsAre(1, 2, 3, 2));
    EXPECT_EQ(Host::Now() - start, absl::Hours(4));
    EXPECT_FALSE(HasPortal());
  });
}

TYPED_TEST(DecorateAsSyncTest, U02_ACallThatFindsItInTheCacheDoesNotSuspend) {
  TEST_NAMES;
  Host::Run([&]() -> Void {
    const auto ask = [](int n) -> Int {
      co_await Host::Sleep(absl::Hours(1));
      co_return n;
    };
    auto cached = DecorateAsSync(Lru(2))(ask);
    co_await Host::Adapt(cached(1));
    bool other_ran = false;
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([&]() -> Void {
        other_ran = true;
        co_return;
      });
      EXPECT_EQ(co_await Host::Adapt(cached(1)), 1);
      EXPECT_FALSE(other_ran);
      EXPECT_EQ(co_await Host::Adapt(cached(2)), 2);
      EXPECT_TRUE(other_ran);
    });
  });
}

TYPED_TEST(AnyThreadDecorateAsSyncTest,
           U02_CopiesShareTheStateAndDecoratingAgainDoesNot) {
  TEST_NAMES;
  int asked = 0;
  Host::Run([&]() -> Void {
    const auto ask = [&asked](int n) -> Int {
      ++asked;
      co_await Host::Checkpoint();
      co_return n;
    };
    const auto lru = DecorateAsSync(Lru(2));
    const auto one = lru(ask);
    const auto copy = one;
    EXPECT_EQ(co_await Host::Adapt(one(1)), 1);
    EXPECT_EQ(co_await Host::Adapt(copy(1)), 1);
    EXPECT_EQ(asked, 1);
    const auto another = lru(ask);
    EXPECT_EQ(co_await Host::Adapt(another(1)), 1);
    EXPECT_EQ(asked, 2);
    // Synchronous code shares the state, too.
    const auto twice_synchronously = [sync = one.synchronous()] {
      return sync(1) + sync(1);
    };
    EXPECT_EQ(co_await Host::WithPortalRunSync(twice_synchronously), 2);
    EXPECT_EQ(asked, 2);
    // A portal that the task has already makes no difference, and stays.
    (void)co_await Host::EnsurePortal();
    EXPECT_EQ(co_await Host::Adapt(one(2)), 2);
    EXPECT_TRUE(HasPortal());
  });
}

TYPED_TEST(DecorateAsSyncTest, U02_ItLivesAsLongAsACall) {
  TEST_NAMES;
  Host::Run([&]() -> Void {
    std::optional<typename Host::Gate> gate(std::in_place);
    const auto ask = [&gate, counted = std::make_shared<Counted>()](
                         int n) -> Int { co_return n + co_await gate->Wait(); };
    auto decorated = std::make_optional(DecorateAsSync(kPlain)(ask));
    const auto call = [](auto& made) -> Int {
      auto running = (*made)(1);
      made.reset();
      co_return co_await Host::Adapt(std::move(running));
    };
    int result = 0;
    co_await Host::InGroup([&](auto& group) -> Void {
      group.Spawn([&]() -> Void { result = co_await call(decorated); });
      while (!gate->waited_for()) co_await Host::Checkpoint();
      EXPECT_FALSE(decorated.has_value());
      gate->Open(41);
    });
    EXPECT_EQ(result, 42);
  });
  EXPECT_EQ(Counted::live(), 0);
}

TYPED_TEST(DecorateAsSyncTest, U02_TasksMayBeInsideAtTheSameTime) {
  TEST_NAMES;
  int asked = 0;
  int sum = 0;
  Host::Run([&]() -> Void {
    const auto ask = [&asked](int n) -> Int {
      ++asked;
      co_await Host::Sleep(absl::Hours(n));
      co_return n;
    };
    const auto plain = DecorateAsSync(kPlain)(ask);
    const absl::Time start = Host::Now();
    co_await Host::InGroup([&](auto& group) -> Void {
      for (int n : {3, 1, 2}) {
        group.Spawn(
            [&, n]() -> Void { sum += co_await Host::Adapt(plain(n)); });
      }
      co_return;
    });
    EXPECT_EQ(Host::Now() - start, absl::Hours(3));
  });
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(sum, 6);
}

// ------------------------------------------------------------------------ U03

// Logs each call and how it ended.
template <class Log>
auto Traced(Log& log) {
  return [&log](auto fn) {
    return [&log, fn = std::move(fn)](auto&&... args) mutable {
      log.push_back("before");
#if defined(__cpp_exceptions)
      try {
        auto result = fn(std::forward<decltype(args)>(args)...);
        log.push_back("after");
        return result;
      } catch (...) {
        log.push_back("failed");
        throw;
      }
#else
      auto result = fn(std::forward<decltype(args)>(args)...);
      log.push_back("after");
      return result;
#endif
    };
  };
}

TYPED_TEST(AnyThreadDecorateAsSyncTest,
           U03_ItEqualsWithPortalRunSyncOfTheDecoratedAutoAwait) {
  TEST_NAMES;
  using Box = std::unique_ptr<int>;
  Host::Run([&]() -> Void {
    std::vector<std::string> log;
    const auto traced = Traced(log);
    // Arguments and results may be move-only; lvalues are copied.
    const auto add = [](Box box, std::shared_ptr<Counted> counted) ->
        typename Host::template Coroutine<Box> {
          co_await Host::Checkpoint();
          *box += counted->value;
          co_return box;
        };
    const auto counted = std::make_shared<Counted>(2);
    const Box one = co_await Host::Adapt(
        DecorateAsSync(traced)(add)(std::make_unique<int>(40), counted));
    const std::vector<std::string> one_log = std::exchange(log, {});
    const Box other = co_await Host::WithPortalRunSync(
        traced(AutoAwait(add)), std::make_unique<int>(40), counted);
    EXPECT_EQ(*one, 42);
    EXPECT_EQ(*other, 42);
    EXPECT_EQ(one_log, log);
    EXPECT_THAT(log, ElementsAre("before", "after"));
    EXPECT_EQ(counted.use_count(), 1);
    EXPECT_FALSE(HasPortal());

    // References, as results and by std::ref. (Not every host's own coroutines
    // can return one.)
    const auto select = [](Counted& value) -> Co<Counted&> {
      co_await Host::Checkpoint();
      co_return value;
    };
    auto decorated = DecorateAsSync(kPlain)(select);
    static_assert(
        std::is_same_v<AwaitResult<decltype(decorated(std::ref(*counted)))>,
                       Counted&>);
    const Counted& one_selected =
        co_await Host::Adapt(decorated(std::ref(*counted)));
    EXPECT_EQ(&one_selected, counted.get());
    const Counted& other_selected = co_await Host::WithPortalRunSync(
        kPlain(AutoAwait(select)), std::ref(*counted));
    EXPECT_EQ(&other_selected, counted.get());

    // No result.
    int runs = 0;
    const auto count = [&runs]() -> Void {
      co_await Host::Checkpoint();
      ++runs;
    };
    co_await Host::Adapt(DecorateAsSync(kPlain)(count)());
    co_await Host::WithPortalRunSync(kPlain(AutoAwait(count)));
    EXPECT_EQ(runs, 2);
  });
  EXPECT_EQ(Counted::live(), 0);
}

#if defined(__cpp_exceptions)
TYPED_TEST(AnyThreadDecorateAsSyncTest, U03_ExceptionsPassThroughTheDecorator) {
  TEST_NAMES;
  Host::Run([&]() -> Void {
    std::vector<std::string> log;
    const auto traced = Traced(log);
    const auto fail = [](std::unique_ptr<Counted>) -> Int {
      co_await Host::Checkpoint();
      throw std::out_of_range("far");
    };
    auto decorated = DecorateAsSync(traced)(fail);
    int caught = 0;
    for (int i = 0; i < 2; ++i) {
      try {
        co_await Host::Adapt(decorated(std::make_unique<Counted>()));
      } catch (const std::out_of_range& error) {
        EXPECT_STREQ(error.what(), "far");
        ++caught;
      }
      EXPECT_FALSE(HasPortal());
      EXPECT_EQ(Counted::live(), 0);
    }
    const std::vector<std::string> one_log = std::exchange(log, {});
    for (int i = 0; i < 2; ++i) {
      try {
        co_await Host::WithPortalRunSync(traced(AutoAwait(fail)),
                                         std::make_unique<Counted>());
      } catch (const std::out_of_range&) {
        ++caught;
      }
    }
    EXPECT_EQ(caught, 4);
    EXPECT_EQ(one_log, log);
    EXPECT_THAT(log, ElementsAre("before", "failed", "before", "failed"));
  });
}

TYPED_TEST(DecorateAsSyncTest, U03_ADecoratorMayCallAgain) {
  TEST_NAMES;
  const auto retry = [](auto fn) {
    return [fn](int n) {
      for (int i = 0;; ++i) {
        try {
          return fn(n);
        } catch (const std::runtime_error&) {
          if (i == 2) throw;
        }
      }
    };
  };
  Host::Run([&]() -> Void {
    int runs = 0;
    const auto third_time_lucky = [&runs](int n) -> Int {
      co_await Host::Sleep(absl::Hours(1));
      if (++runs % 3 != 0) throw std::runtime_error("not yet");
      co_return n;
    };
    const absl::Time start = Host::Now();
    EXPECT_EQ(co_await Host::Adapt(DecorateAsSync(retry)(third_time_lucky)(7)),
              7);
    EXPECT_EQ(Host::Now() - start, absl::Hours(3));
    EXPECT_EQ(runs, 3);
  });
}

TYPED_TEST(AnyThreadDecorateAsSyncTest,
           U03_WhatTheDecoratorThrowsIsThrownWhereItIsUsed) {
  TEST_NAMES;
  const auto refuses = [](auto fn) -> decltype(fn) {
    throw std::logic_error("refused");
  };
  const auto ask = []() -> Int { co_return 1; };
  EXPECT_THROW(DecorateAsSync(refuses)(ask), std::logic_error);
}
#endif

}  // namespace
}  // namespace greenback
