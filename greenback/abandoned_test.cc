#include "greenback/abandoned.h"

#include <exception>
#include <memory>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

struct Without {
  explicit Without(int) {}  // no default constructor either
};

// Has what AbandonedValue uses of std::expected.
struct Expected {
  using error_type = std::error_code;
  struct unexpected_type {
    explicit unexpected_type(std::error_code code) : error(code) {}
    std::error_code error;
  };
  explicit Expected(unexpected_type unexpected) : error(unexpected.error) {}
  std::error_code error;
};

TEST(AbandonedTest, ResultsThatCanExpressItHaveAValue) {
  EXPECT_EQ(AbandonedValue<absl::Status>::Make().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(AbandonedValue<std::error_code>::Make(),
            std::errc::operation_canceled);
  EXPECT_EQ(AbandonedValue<Expected>::Make().error,
            std::errc::operation_canceled);
  static_assert(!HasAbandonedValue<int>);
  static_assert(!HasAbandonedValue<std::unique_ptr<int>>);
}

TEST(AbandonedTest, OneElementThatCanExpressItIsEnough) {
  const auto [count, error] =
      AbandonedValue<std::pair<int, std::error_code>>::Make();
  EXPECT_EQ(count, 0);
  EXPECT_EQ(error, std::errc::operation_canceled);
  const auto [status, text] =
      AbandonedValue<std::tuple<absl::Status, std::unique_ptr<int>>>::Make();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(text, nullptr);
  static_assert(!HasAbandonedValue<std::pair<int, int>>);
  static_assert(!HasAbandonedValue<std::pair<Without, std::error_code>>);
}

#if defined(__cpp_exceptions)
TEST(AbandonedTest, AnExceptionPointerHoldsOne) {
  const std::exception_ptr value = AbandonedValue<std::exception_ptr>::Make();
  EXPECT_THROW(std::rethrow_exception(value), Abandoned);
}
#endif

}  // namespace
}  // namespace greenback
