#include "greenback/runtime/run_local.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/system_task.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --------------------------------------------------------------------- values

TEST(RunLocalTest, BeginsWithTheDefaultOfItsType) {
  RunLocal<int> number;
  RunLocal<std::string> text;
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(number.Get(), 0);
    EXPECT_EQ(text.Get(), "");
    co_return;
  });
}

TEST(RunLocalTest, BeginsWithACopyOfTheFirstValue) {
  RunLocal<std::string> text("first");
  for (int run = 0; run < 2; ++run) {
    greenback::Run([&]() -> Co<void> {
      EXPECT_EQ(text.Get(), "first");
      text.Get() += ", changed";
      EXPECT_EQ(text.Get(), "first, changed");
      co_return;
    });
  }
}

TEST(RunLocalTest, HoldsWhatCannotBeCopiedOrMoved) {
  struct Fixed {
    Fixed() = default;
    Fixed(const Fixed&) = delete;
    Fixed& operator=(const Fixed&) = delete;
    int value = 3;
  };
  RunLocal<Fixed> fixed;
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(fixed.Get().value, 3);
    co_return;
  });
}

TEST(RunLocalTest, AllTasksOfARunShareOne) {
  RunLocal<std::vector<int>> log;
  greenback::Run([&]() -> Co<void> {
    std::vector<int>* const mine = &log.Get();
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          for (int i = 1; i <= 3; ++i) {
            nursery.StartSoon([&, i]() -> Co<void> {
              EXPECT_EQ(&log.Get(), mine);
              EXPECT_TRUE((co_await EnsurePortal()).ok());
              EXPECT_TRUE(Await(Checkpoint()).ok());
              log.Get().push_back(i);
            });
          }
          co_return;
        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(log.Get(), ElementsAre(1, 2, 3));
  });
}

TEST(RunLocalTest, TwoVariablesHaveTwoValues) {
  RunLocal<int> first(1);
  RunLocal<int> second(2);
  greenback::Run([&]() -> Co<void> {
    first.Get() += 10;
    EXPECT_EQ(first.Get(), 11);
    EXPECT_EQ(second.Get(), 2);
    co_return;
  });
}

TEST(RunLocalTest, StaysWhereItIsWhenOthersAreMade) {
  std::vector<std::unique_ptr<RunLocal<int>>> others;
  for (int i = 0; i < 1'000; ++i) {
    others.push_back(std::make_unique<RunLocal<int>>(i));
  }
  RunLocal<int> variable(7);
  greenback::Run([&]() -> Co<void> {
    int& value = variable.Get();
    for (int i = 0; i < 1'000; ++i) EXPECT_EQ(others[i]->Get(), i);
    EXPECT_EQ(&variable.Get(), &value);
    co_return;
  });
}

// ------------------------------------------------------------------- lifetime

TEST(RunLocalTest, IsMadeWhenItIsFirstRequested) {
  RunLocal<Counted> unused;
  RunLocal<Counted> used;
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(used.Get().value, 0);
    EXPECT_EQ(Counted::live(), 1);
    EXPECT_EQ(used.Get().value, 0);
    EXPECT_EQ(Counted::live(), 1);
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0);
}

// Logs its end.
struct LogsItsEnd {
  explicit LogsItsEnd(std::vector<std::string>& log, std::string what = "value")
      : log(log), what(std::move(what)) {}
  LogsItsEnd(const LogsItsEnd&) = delete;
  LogsItsEnd& operator=(const LogsItsEnd&) = delete;
  ~LogsItsEnd() { log.push_back(what); }
  std::vector<std::string>& log;
  std::string what;
};

TEST(RunLocalTest, IsDestroyedAtTheEndAfterAllTasks) {
  std::vector<std::string> log;
  RunLocal<std::unique_ptr<LogsItsEnd>> variable;
  greenback::Run([&]() -> Co<void> {
    variable.Get() = std::make_unique<LogsItsEnd>(log);
    SpawnSystemTask([&]() -> Co<absl::Status> {
      absl::Status slept = co_await SleepForever();
      EXPECT_NE(variable.Get(), nullptr);
      log.push_back("system task");
      co_return slept;
    });
    log.push_back("main");
    EXPECT_TRUE((co_await Checkpoint()).ok());
  });
  EXPECT_THAT(log, ElementsAre("main", "system task", "value"));
}

TEST(RunLocalTest, TheLastMadeIsDestroyedFirst) {
  std::vector<std::string> log;
  std::vector<std::unique_ptr<RunLocal<std::unique_ptr<LogsItsEnd>>>> variables;
  for (int i = 0; i < 4; ++i) {
    variables.push_back(
        std::make_unique<RunLocal<std::unique_ptr<LogsItsEnd>>>());
  }
  greenback::Run([&]() -> Co<void> {
    for (int i : {2, 0, 3, 1}) {
      variables[i]->Get() =
          std::make_unique<LogsItsEnd>(log, std::to_string(i));
    }
    EXPECT_THAT(log, IsEmpty());
    co_return;
  });
  EXPECT_THAT(log, ElementsAre("1", "3", "0", "2"));
}

TEST(RunLocalTest, TheVariableMayBeDestroyedFirst) {
  auto variable = std::make_unique<RunLocal<Counted>>();
  greenback::Run([&]() -> Co<void> {
    variable->Get().value = 1;
    variable.reset();
    EXPECT_EQ(Counted::live(), 1);
    // Another variable, although it may be at the same address.
    variable = std::make_unique<RunLocal<Counted>>();
    EXPECT_EQ(variable->Get().value, 0);
    EXPECT_EQ(Counted::live(), 2);
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0);
}

#if defined(__cpp_exceptions)

TEST(RunLocalTest, IsDestroyedWhenMainThrows) {
  RunLocal<Counted> variable;
  const auto main = [&]() -> Co<void> {
    variable.Get().value = 1;
    throw 3;
    co_return;
  };
  EXPECT_THROW(greenback::Run(main), int);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(RunLocalTest, WhatCouldNotBeMadeIsTriedAgain) {
  static int attempts;
  attempts = 0;
  struct FailsOnce {
    FailsOnce() {
      if (++attempts == 1) throw 4;
    }
  };
  RunLocal<FailsOnce> variable;
  greenback::Run([&]() -> Co<void> {
    EXPECT_THROW(variable.Get(), int);
    const FailsOnce* const made = &variable.Get();
    EXPECT_EQ(&variable.Get(), made);
    co_return;
  });
  EXPECT_EQ(attempts, 2);
}

#endif  // defined(__cpp_exceptions)

// ---------------------------------------------------- while one is being made

RunLocal<std::string>& Name() {
  static auto& variable = *new RunLocal<std::string>("the name");
  return variable;
}

// Keeps what it has found, and uses it again in its destructor.
struct Greeting {
  Greeting() : name(&Name().Get()), text("hello, " + *name) {}
  ~Greeting() { last_seen = *name; }
  static inline std::string last_seen;
  const std::string* name;
  std::string text;
};

TEST(RunLocalTest, MakingOneMayUseAnother) {
  Greeting::last_seen = "";
  RunLocal<Greeting> greeting;
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(greeting.Get().text, "hello, the name");
    EXPECT_EQ(greeting.Get().name, &Name().Get());
    co_return;
  });
  // What it used was still there when it was destroyed.
  EXPECT_EQ(Greeting::last_seen, "the name");
}

// Waits while it is being made.
struct MadeSlowly {
  MadeSlowly() { EXPECT_TRUE(Await(Checkpoint()).ok()); }
  Counted counted;
};

TEST(RunLocalTest, OneValueAlthoughTwoTasksMakeIt) {
  RunLocal<MadeSlowly> variable;
  std::vector<MadeSlowly*> seen;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 3; ++i) {
      BestowPortal(nursery.StartSoon([&]() -> Co<void> {
        seen.push_back(&variable.Get());
        EXPECT_EQ(&variable.Get(), seen.back());
        co_return;
      }));
    }
    while (nursery.child_count() > 0) {
      EXPECT_TRUE((co_await Checkpoint()).ok());
    }
    EXPECT_EQ(Counted::live(), 1);
  });
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(Counted::live(), 0);
}

// ----------------------------------------------------------------- run by run

TEST(RunLocalTest, EachRunOnTheSameThreadHasItsOwn) {
  RunLocal<Counted> variable;
  for (int run = 1; run <= 3; ++run) {
    greenback::Run([&]() -> Co<void> {
      EXPECT_EQ(variable.Get().value, 0);
      variable.Get().value = run;
      EXPECT_TRUE((co_await Checkpoint()).ok());
      EXPECT_EQ(variable.Get().value, run);
    });
    EXPECT_EQ(Counted::live(), 0);
  }
}

TEST(RunLocalTest, RunsOnTwoThreadsHaveEachTheirOwn) {
  RunLocal<int> variable(0);
  // Neither run ends before both have set their value.
  Signal first_to_second;
  Signal second_to_first;
  const auto run = [&](Signal& mine, Signal& others, int value) {
    return greenback::Run([&]() -> Co<int> {
      EXPECT_EQ(variable.Get(), 0);
      variable.Get() = value;
      others.Fire();
      co_await mine;
      co_return variable.Get();
    });
  };
  int first = 0;
  std::thread other([&] { first = run(second_to_first, first_to_second, 1); });
  const int second = run(first_to_second, second_to_first, 2);
  other.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
}

TEST(RunLocalTest, ARunOnAThreadInsideARunHasItsOwn) {
  RunLocal<int> variable(0);
  greenback::Run([&]() -> Co<void> {
    variable.Get() = 1;
    std::thread([&] {
      greenback::Run([&]() -> Co<void> {
        EXPECT_EQ(variable.Get(), 0);
        variable.Get() = 2;
        co_return;
      });
    }).join();
    EXPECT_EQ(variable.Get(), 1);
    co_return;
  });
}

// --------------------------------------------------------------------- misuse

TEST(RunLocalDeathTest, OutsideARunIsAnError) {
  RunLocal<int> variable;
#if defined(__cpp_exceptions)
  std::string what;
  try {
    variable.Get();
  } catch (const std::logic_error& error) {
    what = error.what();
  }
  EXPECT_THAT(what, HasSubstr("greenback::RunLocal: no task of a run"));
  EXPECT_THAT(what, HasSubstr("greenback::Run()"));
  greenback::Run([]() -> Co<void> { co_return; });
  EXPECT_THROW(variable.Get(), std::logic_error);
#else
  EXPECT_DEATH(variable.Get(), "greenback::RunLocal: no task of a run");
#endif
}

}  // namespace
}  // namespace greenback
