// The programs, as a user runs them: the first two, or the one on Boost.Asio.
#include <string>
#include <vector>

#include "docs/examples/run_program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using docs::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

#if defined(FACTORIAL_ASIO)
constexpr char kAsync[] = "docs/examples/factorial_asio";
#else
constexpr char kAsync[] = "docs/examples/factorial";
constexpr char kBlocking[] = "docs/examples/factorial_blocking";
#endif

class FactorialPrograms : public testing::TestWithParam<const char*> {
 protected:
  Outcome Run(std::vector<std::string> arguments,
              const std::string& path = "") {
    arguments.insert(arguments.begin(), GetParam());
    return docs::RunProgram(arguments, path);
  }
  void ExpectError(const Outcome& outcome, const std::string& about,
                   const std::string& allowed) {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.lines, IsEmpty());
    ASSERT_EQ(outcome.error_lines.size(), 1u);
    EXPECT_THAT(outcome.error_lines[0], HasSubstr(about));
    EXPECT_THAT(outcome.error_lines[0], HasSubstr(allowed));
  }
};

TEST_P(FactorialPrograms, PrintsOneNumber) {
  const Outcome outcome = Run({"10"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.lines, ElementsAre("3628800"));
  EXPECT_THAT(outcome.error_lines, IsEmpty());
}

TEST_P(FactorialPrograms, PrintsTheSmallestAndTheLargest) {
  EXPECT_THAT(Run({"0"}).lines, ElementsAre("1"));
  EXPECT_THAT(Run({"1"}).lines, ElementsAre("1"));
  EXPECT_THAT(Run({"20"}).lines, ElementsAre("2432902008176640000"));
}

TEST_P(FactorialPrograms, PrintsSeveralNumbers) {
  const Outcome outcome = Run({"5", "10", "20"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.lines,
              UnorderedElementsAre("120", "3628800", "2432902008176640000"));
  EXPECT_THAT(outcome.error_lines, IsEmpty());
}

TEST_P(FactorialPrograms, RefusesANegativeNumber) {
  ExpectError(Run({"-1"}), "-1!", "from 0 to 20");
}

TEST_P(FactorialPrograms, RefusesWhatOverflows) {
  ExpectError(Run({"21"}), "21!", "from 0 to 20");
  ExpectError(Run({"9223372036854775807"}), "9223372036854775807!",
              "from 0 to 20");
}

TEST_P(FactorialPrograms, RefusesWhatIsNoNumber) {
  ExpectError(Run({"x"}), "\"x\"", "whole numbers from 0 to 20");
  ExpectError(Run({""}), "\"\"", "whole numbers from 0 to 20");
  ExpectError(Run({"9223372036854775808"}), "\"9223372036854775808\"",
              "whole numbers from 0 to 20");
  // Before anything is printed.
  ExpectError(Run({"5", "x"}), "\"x\"", "whole numbers from 0 to 20");
}

TEST_P(FactorialPrograms, RefusesAnUnknownFlag) {
  ExpectError(Run({"--dleay=1", "5"}), "\"--dleay=1\"", "whole numbers");
}

TEST_P(FactorialPrograms, RefusesADelayThatIsNone) {
  for (const char* delay :
       {"--delay=", "--delay=x", "--delay=-1", "--delay=nan", "--delay=1e9"}) {
    ExpectError(Run({delay, "5"}), delay, "seconds from 0 to 3600");
  }
}

TEST_P(FactorialPrograms, WantsANumber) {
  ExpectError(Run({}), "no number", "from 0 to 20");
  ExpectError(Run({"--delay=1"}), "no number", "from 0 to 20");
}

TEST_P(FactorialPrograms, SaysThatThereIsNoShell) {
  ExpectError(Run({"5"}, "/nonexistent"), "5!: ", "must be in PATH");
  ExpectError(Run({"5", "10", "20"}, "/nonexistent"),
              "5!: ", "must be in PATH");
}

#if defined(FACTORIAL_ASIO)
INSTANTIATE_TEST_SUITE_P(Asio, FactorialPrograms, testing::Values(kAsync));
#else
INSTANTIATE_TEST_SUITE_P(Both, FactorialPrograms,
                         testing::Values(kAsync, kBlocking),
                         [](const auto& program) {
                           return program.param == std::string(kAsync)
                                      ? "Asynchronous"
                                      : "Blocking";
                         });
#endif

// The first number's child wakes up when all other lines have come, and not
// before: a program that waits for it would wait for ever.
TEST(FactorialDelay, OfTheFirstNumberDoesNotHoldUpTheOthers) {
  docs::FakeSleep sleep;
  int lines = 0;
  const Outcome outcome =
      docs::RunProgram({kAsync, "--delay=1000", "5", "10", "20"}, sleep.path(),
                       [&](const std::string&) {
                         if (++lines == 2) sleep.Wake(1);
                       });
  EXPECT_EQ(outcome.exit_code, 0);
  ASSERT_EQ(outcome.lines.size(), 3u);
  EXPECT_EQ(outcome.lines[2], "120");
  EXPECT_THAT(outcome.lines,
              UnorderedElementsAre("3628800", "2432902008176640000", "120"));
  EXPECT_THAT(outcome.error_lines, IsEmpty());
}

#if !defined(FACTORIAL_ASIO)
TEST(FactorialDelay, HoldsUpTheOthersWhereCallsBlock) {
  docs::FakeSleep sleep;
  sleep.Wake(1);
  const Outcome outcome = docs::RunProgram(
      {kBlocking, "--delay=1000", "5", "10", "20"}, sleep.path());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.lines,
              ElementsAre("120", "3628800", "2432902008176640000"));
  EXPECT_TRUE(sleep.WaitForSleepers(1));
}
#endif

}  // namespace
