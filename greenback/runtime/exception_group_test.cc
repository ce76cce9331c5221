#include "greenback/runtime/exception_group.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

using ::testing::HasSubstr;

// The contents of `exception`, as text.
std::string Describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (int value) {
    return std::to_string(value);
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::vector<std::exception_ptr> ThreeExceptions() {
  return {std::make_exception_ptr(std::runtime_error("first")),
          std::make_exception_ptr(2),
          std::make_exception_ptr(StatusError(absl::DataLossError("third")))};
}

TEST(ExceptionGroupTest, HoldsAllInTheirOrder) {
  const ExceptionGroup group(ThreeExceptions());
  ASSERT_EQ(group.exceptions().size(), 3u);
  EXPECT_EQ(Describe(group.exceptions()[0]), "first");
  EXPECT_EQ(Describe(group.exceptions()[1]), "2");
  EXPECT_THAT(Describe(group.exceptions()[2]), HasSubstr("third"));
}

TEST(ExceptionGroupTest, SaysHowManyAndWhatEachSays) {
  const ExceptionGroup group(ThreeExceptions());
  EXPECT_STREQ(group.what(),
               "3 exceptions in a nursery: [first] [of a type that is not a "
               "std::exception] [DATA_LOSS: third]");
}

TEST(ExceptionGroupTest, AGroupInAGroupIsOneException) {
  std::vector<std::exception_ptr> exceptions = ThreeExceptions();
  exceptions.push_back(
      std::make_exception_ptr(ExceptionGroup(ThreeExceptions())));
  const ExceptionGroup group(std::move(exceptions));
  EXPECT_EQ(group.exceptions().size(), 4u);
  EXPECT_THAT(group.what(), HasSubstr("[3 exceptions in a nursery: [first]"));
}

TEST(ExceptionGroupTest, CopiesShareTheExceptions) {
  const ExceptionGroup group(ThreeExceptions());
  try {
    throw group;
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), group.what());
    EXPECT_EQ(dynamic_cast<const ExceptionGroup&>(error).exceptions(),
              group.exceptions());
  }
}

TEST(StatusErrorTest, HoldsTheStatusWithItsText) {
  const StatusError error(absl::NotFoundError("no such thing"));
  EXPECT_EQ(error.status(), absl::NotFoundError("no such thing"));
  EXPECT_STREQ(error.what(), "NOT_FOUND: no such thing");
}

}  // namespace
}  // namespace greenback
