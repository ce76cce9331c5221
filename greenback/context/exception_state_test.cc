#include "greenback/context/exception_state.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greenback/context/internal/fiber_for_test.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

bool ThreadIsClean() {
  const ExceptionState state = *ThreadExceptionState();
  return state.caught == nullptr && state.uncaught == 0 &&
         std::current_exception() == nullptr && std::uncaught_exceptions() == 0;
}

TEST(ExceptionStateTest, ThreadBeginsWithoutExceptions) {
  EXPECT_TRUE(ThreadIsClean());
  std::thread([] { EXPECT_TRUE(ThreadIsClean()); }).join();
}

TEST(ExceptionStateTest, EachThreadHasItsOwn) {
  ExceptionState* const mine = ThreadExceptionState();
  EXPECT_EQ(ThreadExceptionState(), mine);
  std::thread([mine] { EXPECT_NE(ThreadExceptionState(), mine); }).join();
}

TEST(ExceptionStateTest, FiberBeginsWithoutExceptions) {
  bool clean = false;
  TestFiber fiber([&](TestFiber&) { clean = ThreadIsClean(); });
  fiber.Resume();
  EXPECT_TRUE(clean);
}

#if defined(__cpp_exceptions)

// An exception that is counted, and names the fiber that has thrown it.
class Named {
 public:
  explicit Named(std::string name) : name_(std::move(name)) { ++alive; }
  Named(const Named& other) : name_(other.name_) { ++alive; }
  ~Named() { --alive; }
  const std::string& name() const { return name_; }

  static inline int alive = 0;

 private:
  std::string name_;
};

// The name of the exception that is being handled, "" if there is none.
std::string NameOfCurrent() {
  const std::exception_ptr current = std::current_exception();
  if (!current) return "";
  try {
    std::rethrow_exception(current);
  } catch (const Named& error) {
    return error.name();
  } catch (...) {
    return "not a Named";
  }
}

// What bare `throw;` throws here.
std::string NameOfRethrown() {
  try {
    throw;
  } catch (const Named& error) {
    return error.name();
  } catch (...) {
    return "not a Named";
  }
}

// Yields when it is destroyed, and looks at what that did to the count.
class YieldsWhenDestroyed {
 public:
  YieldsWhenDestroyed(TestFiber& fiber, int expected)
      : fiber_(fiber), expected_(expected) {}
  ~YieldsWhenDestroyed() {
    EXPECT_EQ(std::uncaught_exceptions(), expected_);
    fiber_.Yield();
    EXPECT_EQ(std::uncaught_exceptions(), expected_);
  }

 private:
  TestFiber& fiber_;
  const int expected_;
};

class R01Test : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(ThreadIsClean());
    EXPECT_EQ(Named::alive, 0);
  }
};

// Throws `name`, waits in the catch, and looks.
TestFiber::Body WaitsInCatch(std::string name) {
  return [name](TestFiber& self) {
    try {
      throw Named(name);
    } catch (...) {
      EXPECT_EQ(NameOfCurrent(), name);
      self.Yield();
      EXPECT_EQ(NameOfCurrent(), name);
      self.Yield();
      EXPECT_EQ(NameOfRethrown(), name);
      self.Yield();
      EXPECT_EQ(NameOfCurrent(), name);
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    }
    EXPECT_EQ(NameOfCurrent(), "");
    self.Yield();
    EXPECT_TRUE(ThreadIsClean());
  };
}

TEST_F(R01Test, R01_TwoFibersInCatchInterleave) {
  TestFiber a(WaitsInCatch("a"));
  TestFiber b(WaitsInCatch("b"));
  while (!a.done()) {
    a.Resume();
    EXPECT_TRUE(ThreadIsClean());
    b.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
  EXPECT_TRUE(b.done());
}

TEST_F(R01Test, R01_TwoFibersInCatchEndLastInFirstOut) {
  TestFiber a(WaitsInCatch("a"));
  TestFiber b(WaitsInCatch("b"));
  a.Resume();
  while (!b.done()) {
    b.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
  while (!a.done()) {
    a.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
}

TEST_F(R01Test, R01_BareThrowRethrowsTheFibersOwnException) {
  const auto body = [](std::string name) {
    return [name](TestFiber& self) {
      std::string got;
      try {
        try {
          throw Named(name);
        } catch (...) {
          self.Yield();
          throw;
        }
      } catch (const Named& error) {
        self.Yield();
        got = error.name();
      }
      EXPECT_EQ(got, name);
    };
  };
  TestFiber a(body("a"));
  TestFiber b(body("b"));
  for (int i = 0; i < 3; ++i) {
    a.Resume();
    b.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
}

TEST_F(R01Test, R01_CatchBlocksNest) {
  const auto body = [](std::string name) {
    return [name](TestFiber& self) {
      try {
        throw Named(name + "1");
      } catch (...) {
        self.Yield();
        try {
          throw Named(name + "2");
        } catch (...) {
          EXPECT_EQ(NameOfCurrent(), name + "2");
          self.Yield();
          EXPECT_EQ(NameOfRethrown(), name + "2");
        }
        self.Yield();
        EXPECT_EQ(NameOfRethrown(), name + "1");
      }
    };
  };
  TestFiber a(body("a"));
  TestFiber b(body("b"));
  a.Resume();
  for (int i = 0; i < 3; ++i) {
    b.Resume();
    a.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
  b.Resume();
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
}

TEST_F(R01Test, R01_AFiberMayBeResumedInsideCatch) {
  // The flow that resumes the fiber is inside a catch of its own.
  TestFiber a(WaitsInCatch("a"));
  try {
    throw Named("loop");
  } catch (...) {
    while (!a.done()) {
      a.Resume();
      EXPECT_EQ(NameOfCurrent(), "loop");
    }
    EXPECT_EQ(NameOfRethrown(), "loop");
  }
}

TEST_F(R01Test, R01_ADestructorMaySwitchWhileUnwinding) {
  const auto body = [](std::string name) {
    return [name](TestFiber& self) {
      std::string got;
      try {
        const YieldsWhenDestroyed yields(self, 1);
        throw Named(name);
      } catch (const Named& error) {
        got = error.name();
      }
      EXPECT_EQ(got, name);
      EXPECT_TRUE(ThreadIsClean());
    };
  };
  TestFiber a(body("a"));
  TestFiber b(body("b"));
  a.Resume();
  EXPECT_TRUE(ThreadIsClean());
  b.Resume();
  EXPECT_TRUE(ThreadIsClean());
  a.Resume();
  EXPECT_TRUE(ThreadIsClean());
  b.Resume();
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
}

TEST_F(R01Test, R01_DestructorsMaySwitchWhileUnwindingTwice) {
  // A destructor that runs while unwinding throws and catches by itself.
  struct Nested {
    TestFiber& fiber;
    ~Nested() {
      try {
        const YieldsWhenDestroyed yields(fiber, 2);
        throw Named("inner");
      } catch (const Named& error) {
        EXPECT_EQ(error.name(), "inner");
        EXPECT_EQ(std::uncaught_exceptions(), 1);
        fiber.Yield();
        EXPECT_EQ(NameOfRethrown(), "inner");
      }
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  const auto body = [](TestFiber& self) {
    try {
      const Nested nested{self};
      throw Named("outer");
    } catch (const Named& error) {
      EXPECT_EQ(error.name(), "outer");
    }
  };
  TestFiber a(body);
  TestFiber b(body);
  while (!b.done()) {
    if (!a.done()) a.Resume();
    EXPECT_TRUE(ThreadIsClean());
    b.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
  EXPECT_TRUE(a.done());
}

TEST_F(R01Test, R01_FiberStartedInCatchStartsClean) {
  try {
    throw Named("starter");
  } catch (...) {
    bool clean = false;
    TestFiber fiber([&](TestFiber&) { clean = ThreadIsClean(); });
    fiber.Resume();
    EXPECT_TRUE(clean);
    EXPECT_EQ(NameOfRethrown(), "starter");
  }
}

TEST_F(R01Test, R01_FiberStartedWhileUnwindingStartsClean) {
  struct Starts {
    ~Starts() {
      bool clean = false;
      TestFiber fiber([&](TestFiber&) { clean = ThreadIsClean(); });
      fiber.Resume();
      EXPECT_TRUE(clean);
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  try {
    const Starts starts;
    throw Named("starter");
  } catch (const Named& error) {
    EXPECT_EQ(error.name(), "starter");
  }
}

TEST_F(R01Test, R01_TwoFibersMayHandleOneException) {
  std::exception_ptr shared = std::make_exception_ptr(Named("shared"));
  const auto body = [shared](TestFiber& self) {
    try {
      std::rethrow_exception(shared);
    } catch (...) {
      self.Yield();
      EXPECT_EQ(NameOfRethrown(), "shared");
      EXPECT_EQ(std::current_exception(), shared);
    }
    EXPECT_TRUE(ThreadIsClean());
  };
  {
    TestFiber a(body);
    TestFiber b(body);
    a.Resume();
    b.Resume();
    a.Resume();
    b.Resume();
    EXPECT_TRUE(b.done());
  }
}

TEST_F(R01Test, R01_ACatchBlockMayMoveToAnotherThread) {
  TestFiber a(WaitsInCatch("a"));
  TestFiber b(WaitsInCatch("b"));
  a.Resume();
  b.Resume();
  std::thread([&] {
    EXPECT_TRUE(ThreadIsClean());
    a.Resume();
    EXPECT_TRUE(ThreadIsClean());
    try {
      throw Named("thread");
    } catch (...) {
      b.Resume();
      EXPECT_EQ(NameOfRethrown(), "thread");
    }
  }).join();
  EXPECT_TRUE(ThreadIsClean());
  while (!b.done()) {
    b.Resume();
    a.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }
}

TEST_F(R01Test, R01_UnwindingMayMoveToAnotherThread) {
  std::string got;
  TestFiber fiber([&](TestFiber& self) {
    try {
      const YieldsWhenDestroyed yields(self, 1);
      throw Named("moved");
    } catch (const Named& error) {
      got = error.name();
    }
  });
  fiber.Resume();
  std::thread([&] {
    fiber.Resume();
    EXPECT_TRUE(ThreadIsClean());
  }).join();
  EXPECT_TRUE(fiber.done());
  EXPECT_EQ(got, "moved");
}

TEST_F(R01Test, R01_AnExceptionPointerOutlivesItsFiber) {
  std::exception_ptr carried;
  {
    TestFiber fiber([&](TestFiber& self) {
      try {
        throw Named("carried");
      } catch (...) {
        carried = std::current_exception();
        self.Yield();
      }
    });
    fiber.Resume();
    fiber.Resume();
    EXPECT_TRUE(fiber.done());
  }
  try {
    std::rethrow_exception(std::exchange(carried, nullptr));
  } catch (const Named& error) {
    EXPECT_EQ(error.name(), "carried");
  }
}

// Fibers that throw, catch and yield at random, each with a record of what it
// must see.
class RandomFiber {
 public:
  RandomFiber(int index, uint32_t seed)
      : index_(index), random_(seed), fiber_([this](TestFiber&) { Act(0); }) {}

  bool done() const { return fiber_.done(); }
  void Resume() { fiber_.Resume(); }

 private:
  void MaybeYield() {
    if (random_() % 2 == 0) fiber_.Yield();
    EXPECT_EQ(NameOfCurrent(), handled_.empty() ? "" : handled_.back());
    EXPECT_EQ(std::uncaught_exceptions(), uncaught_);
  }

  struct ActsWhenDestroyed {
    RandomFiber& fiber;
    int depth;
    ~ActsWhenDestroyed() {
      ++fiber.uncaught_;
      fiber.MaybeYield();
      fiber.Act(depth + 1);
      fiber.MaybeYield();
      --fiber.uncaught_;
    }
  };

  void Act(int depth) {
    for (int i = 0; i < 3; ++i) {
      MaybeYield();
      if (depth == 4 || random_() % 3 == 0) continue;
      const std::string name =
          std::to_string(index_) + "." + std::to_string(++thrown_);
      try {
        if (random_() % 2 == 0) {
          const ActsWhenDestroyed acts{*this, depth};
          throw Named(name);
        }
        throw Named(name);
      } catch (const Named& error) {
        EXPECT_EQ(error.name(), name);
        handled_.push_back(name);
        Act(depth + 1);
        EXPECT_EQ(NameOfRethrown(), name);
        handled_.pop_back();
      }
    }
  }

  const int index_;
  std::minstd_rand random_;
  int thrown_ = 0;
  int uncaught_ = 0;
  std::vector<std::string> handled_;
  TestFiber fiber_;
};

TEST_F(R01Test, R01_ManyFibersAtRandomKeepTheirOwn) {
  constexpr uint32_t kSeed = 20240229;
  std::minstd_rand random(kSeed);
  std::vector<std::unique_ptr<RandomFiber>> fibers;
  for (int i = 0; i < 16; ++i) {
    fibers.push_back(std::make_unique<RandomFiber>(i, kSeed + i));
  }
  while (!fibers.empty()) {
    const size_t next = random() % fibers.size();
    fibers[next]->Resume();
    ASSERT_TRUE(ThreadIsClean());
    if (fibers[next]->done()) {
      std::swap(fibers[next], fibers.back());
      fibers.pop_back();
    }
  }
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback::context
