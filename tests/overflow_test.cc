// A task that overflows its fiber's stack, reported by its name.

#include <cstddef>

#include "absl/status/status.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

size_t Recurse(size_t depth) {
  volatile char frame[512];
  frame[depth % sizeof(frame)] = 1;
  if (depth == size_t{1} << 30) return 0;  // not reached
  return Recurse(depth + 1) + static_cast<size_t>(frame[0]);
}

TEST(OverflowDeathTest, R09_NamesTheTaskAndTheSetting) {
  EXPECT_DEATH(greenback::Run(RunOptions{.stack_size = 128 << 10},
                              []() -> Co<void> {
                                CurrentTask().set_name("import");
                                (void)co_await Checkpoint();
                                EXPECT_NE(Recurse(0), 1u);
                              }),
               "greenback: fiber stack overflow in task \"import\", stack size "
               "131072 bytes; raise RunOptions::stack_size");
}

TEST(OverflowDeathTest, R09_AfterTheFiberHasBeenParked) {
  EXPECT_DEATH(
      greenback::Run([]() -> Co<void> {
        (void)co_await OpenNursery([](Nursery& nursery) -> Co<void> {
          for (int i = 0; i < 2; ++i) {
            nursery.StartSoon([]() -> Co<void> {
              co_await WithPortalRunSync([] {
                (void)Await(Checkpoint());
                EXPECT_NE(Recurse(0), 1u);
              });
            });
          }
          co_return;
        });
      }),
      "fiber stack overflow in task \"task 1\", stack size 1048576 bytes");
}

}  // namespace
}  // namespace greenback
