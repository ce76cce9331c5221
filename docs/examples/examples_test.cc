// The programs that are no tests by themselves, as a user runs them.
#include <string>
#include <vector>

#include "docs/examples/run_program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// What the program prints; with the test's failure if it has failed.
std::vector<std::string> Print(const std::string& program) {
  const docs::Outcome outcome = docs::RunProgram({"docs/examples/" + program});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.error_lines, IsEmpty());
  return outcome.lines;
}

// Twice from the cache; "bob" has to make room for "eve", and comes again.
TEST(ExamplesTest, CachedFetch) {
  EXPECT_THAT(Print("cached_fetch"),
              ElementsAre("fetching ann", "page of ann",  //
                          "page of ann",                  //
                          "fetching bob", "page of bob",  //
                          "page of ann",                  //
                          "fetching eve", "page of eve",  //
                          "page of ann",                  //
                          "fetching bob", "page of bob"));
}

// One task goes on while a constructor or destructor of the other waits.
TEST(ExamplesTest, AwaitingMembers) {
  EXPECT_THAT(Print("awaiting_members"),
              ElementsAre("ann logs in", "bob logs in",              //
                          "ann is in", "ann works", "ann logs out",  //
                          "bob is in", "bob works", "bob logs out",  //
                          "ann is out", "bob is out"));
}

TEST(ExamplesTest, SocketLines) {
  EXPECT_THAT(
      Print("socket_lines"),
      ElementsAre("1: apples", "2: pears", "3: plums", "4: figs", "4 lines"));
}

// One order each at a time: the longer it is, the later its total.
TEST(ExamplesTest, PortalTree) {
  EXPECT_THAT(Print("portal_tree"),
              ElementsAre("north: 6", "north: 8", "south: 12"));
}

// The tea waits for a stove.
TEST(ExamplesTest, Semaphore) {
  EXPECT_THAT(Print("semaphore"),
              ElementsAre("soup is on", "rice is on", "soup is done",
                          "tea is on", "tea is done", "rice is done"));
}

// A thread completes what ann and bob wait for. The executor continues them.
TEST(ExamplesTest, ExecutorLibrary) {
  EXPECT_THAT(Print("executor_library"),
              ElementsAre("ann begins", "bob begins", "ann asks", "bob asks",
                          "a thread has answered",  //
                          "ann continues with 42", "bob continues with 42",
                          "ann ends", "bob ends"));
}

// The cancellation ends the operation, and the frames and the coroutine end.
TEST(ExamplesTest, StopTokenLibrary) {
  EXPECT_THAT(
      Print("stop_token_library"),
      ElementsAre("1 is ann", "2 is bob", "the lookup of 3 is cancelled",
                  "no more names", "main ends"));
}

}  // namespace
