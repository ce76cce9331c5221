#include "greenback/senders/internal/stop_token.h"

#include <atomic>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

using Callback = StopCallback<std::function<void()>>;

static_assert(std::copyable<StopToken>);
static_assert(std::equality_comparable<StopToken>);
static_assert(std::is_nothrow_copy_constructible_v<StopToken>);
static_assert(std::is_nothrow_move_constructible_v<StopToken>);
static_assert(noexcept(StopToken().stop_requested()));
static_assert(noexcept(StopToken().stop_possible()));
static_assert(
    std::same_as<StopToken::callback_type<int (*)()>, StopCallback<int (*)()>>);
static_assert(!std::move_constructible<Callback>);
static_assert(std::constructible_from<Callback, StopToken, int (*)()>);
static_assert(!std::constructible_from<Callback, StopToken, int>);

TEST(StopTokenTest, ATokenWithoutASourceIsNeverStopped) {
  const StopToken token;
  EXPECT_FALSE(token.stop_possible());
  EXPECT_FALSE(token.stop_requested());
  const StopCallback never(token, [] { FAIL(); });
}

TEST(StopTokenTest, TokensOfOneSourceAreEqual) {
  StopSource one;
  StopSource other;
  EXPECT_EQ(StopToken(one), StopToken(one));
  EXPECT_NE(StopToken(one), StopToken(other));
  EXPECT_NE(StopToken(one), StopToken());
  EXPECT_EQ(StopToken(), StopToken());
  EXPECT_TRUE(StopToken(one).stop_possible());
}

TEST(StopTokenTest, ARequestCallsEachCallbackOnce) {
  StopSource source;
  int first = 0;
  int second = 0;
  const StopCallback on_first(StopToken(source), [&] { ++first; });
  const StopCallback on_second(StopToken(source), [&] {
    EXPECT_TRUE(source.stop_requested());
    ++second;
  });
  EXPECT_FALSE(source.stop_requested());
  source.RequestStop();
  EXPECT_TRUE(StopToken(source).stop_requested());
  source.RequestStop();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
}

TEST(StopTokenTest, ACallbackMadeAfterTheRequestIsCalledAtOnce) {
  StopSource source;
  source.RequestStop();
  int calls = 0;
  const StopCallback late(StopToken(source), [&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(StopTokenTest, ADestroyedCallbackIsNotCalled) {
  StopSource source;
  int calls = 0;
  std::optional<Callback> destroyed(std::in_place, StopToken(source),
                                    [&] { ++calls; });
  destroyed.reset();
  source.RequestStop();
  EXPECT_EQ(calls, 0);
}

TEST(StopTokenTest, ACallbackMayDestroyItselfAndOthers) {
  StopSource source;
  int calls = 0;
  std::optional<Callback> first;
  std::optional<Callback> second;
  const auto destroy_both = [&] {
    ++calls;
    first.reset();
    second.reset();
  };
  first.emplace(StopToken(source), destroy_both);
  second.emplace(StopToken(source), destroy_both);
  source.RequestStop();
  EXPECT_EQ(calls, 1);
}

TEST(StopTokenTest, ACallbackMadeInPlaceOfTheRunningOneIsDestroyedAtOnce) {
  StopSource source;
  std::optional<Callback> callback;
  int calls = 0;
  callback.emplace(StopToken(source), [&] {
    // The captures are destroyed with the callback.
    StopSource& stopped = source;
    std::optional<Callback>& place = callback;
    int& count = calls;
    place.reset();
    place.emplace(StopToken(stopped), [&count] { ++count; });
    // It does not wait for the call that its predecessor is in.
    std::thread([&place] { place.reset(); }).join();
  });
  source.RequestStop();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(callback.has_value());
}

TEST(StopTokenTest, ACallbackMayRequestAStopAgain) {
  StopSource source;
  const StopCallback again(StopToken(source), [&] { source.RequestStop(); });
  source.RequestStop();
}

TEST(StopTokenTest, DestructionWaitsForACallOnAnotherThread) {
  StopSource source;
  std::atomic<bool> is_called{false};
  std::atomic<bool> is_destroying{false};
  bool has_returned = false;  // not atomic: TSan checks the order
  auto callback = std::make_unique<Callback>(StopToken(source), [&] {
    is_called = true;
    is_called.notify_one();
    is_destroying.wait(false);
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    has_returned = true;
  });
  std::thread requester([&] { source.RequestStop(); });
  is_called.wait(false);
  is_destroying = true;
  is_destroying.notify_one();
  callback.reset();
  EXPECT_TRUE(has_returned);
  requester.join();
}

TEST(StopTokenTest, ThreadsMayRequestAndRegisterAtTheSameTime) {
  for (int round = 0; round < 200; ++round) {
    StopSource source;
    std::atomic<int> calls{0};
    std::atomic<int> requests{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        source.RequestStop();
        ++requests;
      });
      threads.emplace_back([&] {
        // Called here or by the thread that requests a stop, exactly once.
        const StopCallback callback(StopToken(source), [&] { ++calls; });
        while (requests.load() < 2) std::this_thread::yield();
      });
      threads.emplace_back([&] {
        int called = 0;  // perhaps
        {
          const StopCallback callback(StopToken(source), [&] { ++called; });
        }
        EXPECT_LE(called, 1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(calls, 2);
  }
}

}  // namespace
}  // namespace greenback::internal
