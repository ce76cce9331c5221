#include "greenback/senders/internal/stop_token.h"

#include <concepts>
#include <stop_token>
#include <type_traits>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

// What P2300 asks of a stoppable token.
using Function = int (*)();
using Callback = StopToken::callback_type<Function>;
static_assert(std::copyable<StopToken>);
static_assert(std::equality_comparable<StopToken>);
static_assert(std::is_nothrow_copy_constructible_v<StopToken>);
static_assert(std::is_nothrow_move_constructible_v<StopToken>);
static_assert(noexcept(StopToken().stop_requested()));
static_assert(noexcept(StopToken().stop_possible()));
static_assert(std::constructible_from<Callback, StopToken, Function>);
static_assert(std::constructible_from<Callback, const StopToken&, Function>);
static_assert(!std::constructible_from<Callback, StopToken, int>);

TEST(StopTokenTest, ATokenWithoutASourceIsNeverStopped) {
  const StopToken token;
  EXPECT_FALSE(token.stop_possible());
  EXPECT_FALSE(token.stop_requested());
  EXPECT_EQ(token, StopToken());
}

TEST(StopTokenTest, ARequestCallsWhatIsRegisteredByTheNestedTemplate) {
  std::stop_source source;
  const StopToken token(source.get_token());
  EXPECT_TRUE(token.stop_possible());
  EXPECT_EQ(token, StopToken(source.get_token()));
  EXPECT_NE(token, StopToken());
  int calls = 0;
  const auto call = [&calls] { ++calls; };
  const StopToken::callback_type<decltype(call)> callback(token, call);
  EXPECT_EQ(calls, 0);
  source.request_stop();
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(token.stop_requested());
}

}  // namespace
}  // namespace greenback::internal
