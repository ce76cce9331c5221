#include "greenback/internal/outcome.h"

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

// Counts the objects that live.
class Counted {
 public:
  explicit Counted(int& alive) : alive_(&alive) { ++*alive_; }
  Counted(const Counted& other) : alive_(other.alive_) { ++*alive_; }
  ~Counted() { --*alive_; }

 private:
  int* alive_;
};

class Immovable {
 public:
  explicit Immovable(int value) : value(value) {}
  Immovable(const Immovable&) = delete;
  Immovable& operator=(const Immovable&) = delete;

  const int value;
};

TEST(OutcomeTest, HoldsNothingAtFirst) {
  const Outcome<int> outcome;
  EXPECT_FALSE(outcome.is_set());
  EXPECT_FALSE(outcome.has_value());
  EXPECT_FALSE(outcome.has_error());
}

TEST(OutcomeTest, RunKeepsTheValue) {
  Outcome<int> outcome;
  outcome.Run([] { return 7; });
  EXPECT_TRUE(outcome.is_set());
  EXPECT_TRUE(outcome.has_value());
  EXPECT_FALSE(outcome.has_error());
  EXPECT_EQ(outcome.Take(), 7);
}

TEST(OutcomeTest, TakeMovesTheValue) {
  Outcome<std::unique_ptr<int>> outcome;
  outcome.SetValue([] { return std::make_unique<int>(7); });
  const std::unique_ptr<int> taken = outcome.Take();
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(*taken, 7);
}

TEST(OutcomeTest, VoidHasAValueWithoutContent) {
  Outcome<void> ran;
  int calls = 0;
  ran.Run([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(ran.has_value());
  ran.Take();

  Outcome<void> set;
  EXPECT_FALSE(set.is_set());
  set.SetValue();
  EXPECT_TRUE(set.has_value());
  set.Take();
}

TEST(OutcomeTest, ReferencesReferToTheSameObject) {
  std::string text = "text";
  Outcome<std::string&> lvalue;
  lvalue.Run([&]() -> std::string& { return text; });
  static_assert(std::is_same_v<decltype(lvalue.Take()), std::string&>);
  EXPECT_EQ(&lvalue.Take(), &text);

  Outcome<const std::string&> constant;
  constant.Run([&]() -> const std::string& { return text; });
  EXPECT_EQ(&constant.Take(), &text);

  Outcome<std::string&&> rvalue;
  rvalue.Run([&]() -> std::string&& { return std::move(text); });
  static_assert(std::is_same_v<decltype(rvalue.Take()), std::string&&>);
  std::string&& taken = rvalue.Take();
  EXPECT_EQ(&taken, &text);
}

TEST(OutcomeTest, MakesAValueThatCannotBeMovedInPlace) {
  Outcome<Immovable> outcome;
  outcome.Run([] { return Immovable(7); });
  EXPECT_TRUE(outcome.has_value());
}

TEST(OutcomeTest, DestroysTheValueOnce) {
  int alive = 0;
  {
    Outcome<Counted> untaken;
    untaken.SetValue([&] { return Counted(alive); });
    EXPECT_EQ(alive, 1);

    Outcome<Counted> taken;
    taken.SetValue([&] { return Counted(alive); });
    const Counted value = taken.Take();
    EXPECT_EQ(alive, 3);
  }
  EXPECT_EQ(alive, 0);
}

TEST(OutcomeTest, CanBeSetAgainAfterClear) {
  int alive = 0;
  Outcome<Counted> outcome;
  outcome.SetValue([&] { return Counted(alive); });
  outcome.Clear();
  EXPECT_FALSE(outcome.is_set());
  EXPECT_EQ(alive, 0);
  outcome.SetValue([&] { return Counted(alive); });
  EXPECT_EQ(alive, 1);
}

TEST(OutcomeTest, IsNoLargerThanItsValueAndATag) {
  struct TwoPointers {
    void* first;
    void* second;
  };
  EXPECT_EQ(sizeof(Outcome<int>), 2 * sizeof(void*));
  EXPECT_EQ(sizeof(Outcome<TwoPointers>), 3 * sizeof(void*));
}

TEST(OutcomeDeathTest, IsSetOnce) {
  Outcome<int> outcome;
  outcome.Run([] { return 7; });
  EXPECT_DEBUG_DEATH(outcome.SetValue([] { return 8; }), "is_set");
}

TEST(OutcomeDeathTest, IsTakenAfterItIsSet) {
  Outcome<void> outcome;
  EXPECT_DEBUG_DEATH(outcome.Take(), "has_value");
}

#if defined(__cpp_exceptions)

struct Failure {
  explicit Failure(std::shared_ptr<int> token) : token(std::move(token)) {}
  std::shared_ptr<int> token;
};

TEST(OutcomeTest, RunKeepsTheException) {
  Outcome<int> outcome;
  outcome.Run([]() -> int { throw std::runtime_error("failed"); });
  EXPECT_TRUE(outcome.is_set());
  EXPECT_FALSE(outcome.has_value());
  EXPECT_TRUE(outcome.has_error());
  EXPECT_THROW(outcome.Take(), std::runtime_error);

  Outcome<void> nothing;
  nothing.Run([] { throw std::runtime_error("failed"); });
  EXPECT_THROW(nothing.Take(), std::runtime_error);

  int value = 7;
  Outcome<int&> reference;
  reference.Run([&]() -> int& {
    if (value == 7) throw std::runtime_error("failed");
    return value;
  });
  EXPECT_THROW(reference.Take(), std::runtime_error);
}

TEST(OutcomeTest, SetValuePassesOnWhatMakingItThrows) {
  Outcome<int> outcome;
  EXPECT_THROW(
      outcome.SetValue([]() -> int { throw std::runtime_error("failed"); }),
      std::runtime_error);
  EXPECT_FALSE(outcome.is_set());
}

TEST(OutcomeTest, ErrorReplacesTheValue) {
  int alive = 0;
  Outcome<Counted> outcome;
  outcome.SetValue([&] { return Counted(alive); });
  outcome.SetError(std::make_exception_ptr(std::runtime_error("failed")));
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(outcome.has_error());
  EXPECT_THROW(outcome.Take(), std::runtime_error);
}

TEST(OutcomeTest, TakeKeepsNoReferenceToTheException) {
  auto token = std::make_shared<int>();
  Outcome<int> outcome;
  outcome.Run([&]() -> int { throw Failure(token); });
  EXPECT_EQ(token.use_count(), 2);
  EXPECT_THROW(outcome.Take(), Failure);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(OutcomeTest, TakeErrorLeavesNothingSet) {
  Outcome<int> outcome;
  EXPECT_EQ(outcome.TakeError(), nullptr);
  outcome.Run([]() -> int { throw std::runtime_error("failed"); });
  EXPECT_NE(outcome.TakeError(), nullptr);
  EXPECT_FALSE(outcome.is_set());
  outcome.SetValue([] { return 7; });
  EXPECT_EQ(outcome.TakeError(), nullptr);
  EXPECT_EQ(outcome.Take(), 7);
}

TEST(OutcomeTest, DestroysAnExceptionThatIsNotTaken) {
  auto token = std::make_shared<int>();
  {
    Outcome<int> outcome;
    outcome.Run([&]() -> int { throw Failure(token); });
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

#endif  // __cpp_exceptions

}  // namespace
}  // namespace greenback::internal
