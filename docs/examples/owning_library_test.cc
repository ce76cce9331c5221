// A program of its own, since its frames cannot be unwound without exceptions.
#include "docs/examples/run_program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Ann has taken two numbers, and bob one, when both are destroyed.
TEST(ExamplesTest, OwningLibrary) {
  const docs::Outcome outcome =
      docs::RunProgram({"docs/examples/owning_library"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.error_lines, IsEmpty());
  EXPECT_THAT(outcome.lines,
              ElementsAre("ann locks its table", "bob locks its table",
                          "ann unlocks its table", "the sum of ann is 4",
                          "the group is destroyed",
                          "bob unlocks its table, unwinding"));
}

}  // namespace
