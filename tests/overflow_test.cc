// A task that overflows its fiber's stack, reported by its name.

#include <cstddef>
#include <functional>
#include <thread>

#include "absl/status/status.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

size_t Recurse(size_t depth) {
  volatile char frame[512];
  frame[depth % sizeof(frame)] = 1;
  if (depth == size_t{1} << 30) return 0;  // not reached
  return Recurse(depth + 1) + static_cast<size_t>(frame[0]);
}

TEST(OverflowDeathTest, R09_TheReportNamesTheTaskAndTheSetting) {
  EXPECT_DEATH(greenback::Run(RunOptions{.stack_size = 128 << 10},
                              []() -> Co<void> {
                                CurrentTask().set_name("import");
                                (void)co_await Checkpoint();
                                EXPECT_NE(Recurse(0), 1u);
                              }),
               "greenback: fiber stack overflow in task \"import\", stack size "
               "131072 bytes; raise RunOptions::stack_size");
}

TEST(OverflowDeathTest, R09_IsReportedAfterTheFiberHasBeenParked) {
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

// No host runs this coroutine: the thread that calls `done` resumes it.
Detached OverflowWhenDone(std::function<void()>& done) {
  auto call = [&done] {
    Await(FromCallback<>([&done](auto callback) {
      done = [callback]() mutable { callback(); };
    }));
    EXPECT_NE(Recurse(0), 1u);
  };
  co_await WithPortalRunSync(call);
}

constexpr char kForeignReport[] =
    "greenback: fiber stack overflow in task \"foreign coroutine\", stack size "
    "1048576 bytes; call what recurses in greenback::RunOnFiber\\(\\)";

TEST(OverflowDeathTest, R35_IsReportedOnAThreadThatOnlyResumes) {
  EXPECT_DEATH(
      {
        std::function<void()> done;
        std::thread([&] { OverflowWhenDone(done); }).join();
        std::thread([&] { done(); }).join();
      },
      kForeignReport);
}

TEST(OverflowDeathTest, R35_IsReportedForANestedFiberOnAThreadThatOnlyResumes) {
  // The fiber of RunOnFiber() moves to the other thread with that of the step.
  EXPECT_DEATH(
      {
        std::function<void()> done;
        std::thread([&] {
          auto body = [](std::function<void()>& done) -> Detached {
            auto call = [&done] {
              RunOnFiber([&done] {
                Await(FromCallback<>([&done](auto callback) {
                  done = [callback]() mutable { callback(); };
                }));
                EXPECT_NE(Recurse(0), 1u);
              });
            };
            co_await WithPortalRunSync(call);
          };
          body(done);
        }).join();
        std::thread([&] { done(); }).join();
      },
      kForeignReport);
}

TEST(OverflowDeathTest, R35_TheAdviceIsThatOfTheTasksHost) {
  // Both hosts have turned the report on.
  EXPECT_DEATH(
      {
        std::function<void()> done;
        OverflowWhenDone(done);
        greenback::Run([]() -> Co<void> { co_return; });
        done();
      },
      kForeignReport);
}

}  // namespace
}  // namespace greenback
