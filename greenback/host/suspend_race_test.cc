#include "greenback/host/suspend_race.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

// ------------------------------------------------- every order of the accesses

// Runs two sides on two threads, of which one at a time runs, from one access
// of an atomic to the next.
class Interleaving {
 public:
  using Side = std::function<void()>;

  // `choices` says which side makes the next access wherever both could. It is
  // completed with zeros.
  explicit Interleaving(std::vector<size_t>& choices) : choices_(choices) {}

  void Run(const std::array<Side, 2>& sides) {
    std::array<std::thread, 2> threads;
    for (size_t i = 0; i < 2; ++i) {
      threads[i] = std::thread([this, i, &sides] {
        turns_[i].acquire();
        running_ = this;
        index_ = i;
        sides[i]();
        done_[i] = true;
        stepped_.release();
      });
    }
    // To the first access of each.
    Step(0);
    Step(1);
    for (size_t choice = 0; !done_[0] || !done_[1];) {
      if (done_[0] || done_[1]) {
        Step(done_[0] ? 1 : 0);
        continue;
      }
      if (choice == choices_.size()) choices_.push_back(0);
      Step(choices_[choice++]);
    }
    for (std::thread& thread : threads) thread.join();
  }

  // The calling side is about to access an atomic.
  static void BeforeAccess() {
    if (running_ == nullptr) return;
    running_->stepped_.release();
    running_->turns_[index_].acquire();
  }

 private:
  void Step(size_t side) {
    turns_[side].release();
    stepped_.acquire();
  }

  static thread_local Interleaving* running_;
  static thread_local size_t index_;

  std::vector<size_t>& choices_;
  std::array<std::binary_semaphore, 2> turns_ = {std::binary_semaphore(0),
                                                 std::binary_semaphore(0)};
  std::binary_semaphore stepped_{0};
  std::array<bool, 2> done_ = {false, false};
};

thread_local Interleaving* Interleaving::running_ = nullptr;
thread_local size_t Interleaving::index_ = 0;

template <class T>
class SteppedAtomicRef {
 public:
  explicit SteppedAtomicRef(T& value) : value_(value) {}
  T load(std::memory_order) const {
    Interleaving::BeforeAccess();
    return value_;
  }
  void store(T value, std::memory_order) {
    Interleaving::BeforeAccess();
    value_ = value;
  }
  T exchange(T value, std::memory_order) {
    Interleaving::BeforeAccess();
    return std::exchange(value_, value);
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order,
                               std::memory_order) {
    Interleaving::BeforeAccess();
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = value;
    return true;
  }

 private:
  T& value_;
};

using SteppedRace = BasicSuspendRace<SteppedAtomicRef>;
using State = SuspendRaceState;

// A wait, and what has become of it.
struct Wait {
  SteppedRace race;
  int borrowed = 0;
  int continued = 0;   // by the waiter itself
  int resumed = 0;     // by the completer
  int left = 0;        // as the waiter knows
  int found_left = 0;  // as the completer knows
};

// How many orders of the accesses there are, and how the waits ended.
struct Ends {
  int orders = 0;
  int continued = 0;
  int resumed = 0;
  int left = 0;
};

using Side = void (*)(Wait&);

// `prepare` is called before the two sides begin.
Ends TryAllOrders(Side waiter, Side completer, Side prepare = [](Wait&) {}) {
  Ends ends;
  std::vector<size_t> choices;
  do {
    Wait wait;
    prepare(wait);
    Interleaving(choices).Run(
        {[&] { waiter(wait); }, [&] { completer(wait); }});
    EXPECT_EQ(wait.continued + wait.resumed + wait.left, 1);
    EXPECT_EQ(wait.left, wait.found_left);
    ++ends.orders;
    ends.continued += wait.continued;
    ends.resumed += wait.resumed;
    ends.left += wait.left;
    // The last choice that was of the first side is of the second one now.
    while (!choices.empty() && choices.back() == 1) choices.pop_back();
    if (!choices.empty()) choices.back() = 1;
  } while (!choices.empty());
  return ends;
}

void Suspend(Wait& wait) {
  if (!wait.race.Suspend()) ++wait.continued;
}

void SuspendAndLeave(Wait& wait) {
  if (!wait.race.Suspend()) {
    ++wait.continued;
  } else if (wait.race.Leave()) {
    ++wait.left;
  }
}

void Leave(Wait& wait) {
  if (wait.race.Leave()) {
    ++wait.left;
  } else {
    ++wait.continued;
  }
}

// Has something to prepare before it suspends.
void AskAndSuspend(Wait& wait) {
  if (wait.race.state() == State::kCompleted || !wait.race.Suspend()) {
    ++wait.continued;
  }
}

void Complete(Wait& wait) {
  switch (wait.race.Complete()) {
    case State::kStarting:
      break;
    case State::kSuspended:
      ++wait.resumed;
      break;
    case State::kLeft:
      ++wait.found_left;
      break;
    case State::kCompleted:
    case State::kAbandoned:
      ADD_FAILURE() << "completed twice, or abandoned";
  }
}

TEST(SuspendRaceTest, SuspendAgainstComplete) {
  const Ends ends = TryAllOrders(Suspend, Complete);
  // Suspend() loads and exchanges, Complete() exchanges: before both, between
  // them, and after both.
  EXPECT_EQ(ends.orders, 3);
  EXPECT_EQ(ends.continued, 2);
  EXPECT_EQ(ends.resumed, 1);
}

TEST(SuspendRaceTest, AskAndSuspendAgainstComplete) {
  const Ends ends = TryAllOrders(AskAndSuspend, Complete);
  EXPECT_EQ(ends.orders, 4);
  EXPECT_EQ(ends.continued, 3);
  EXPECT_EQ(ends.resumed, 1);
}

TEST(SuspendRaceTest, SuspendAndLeaveAgainstComplete) {
  const Ends ends = TryAllOrders(SuspendAndLeave, Complete);
  EXPECT_EQ(ends.orders, 5);
  EXPECT_EQ(ends.continued, 2);
  EXPECT_EQ(ends.resumed, 2);
  EXPECT_EQ(ends.left, 1);
}

TEST(SuspendRaceTest, LeaveWithoutSuspendingAgainstComplete) {
  const Ends ends = TryAllOrders(Leave, Complete);
  EXPECT_EQ(ends.orders, 3);
  EXPECT_EQ(ends.continued, 2);
  EXPECT_EQ(ends.left, 1);
}

TEST(SuspendRaceTest, LeaveAfterSuspendingAgainstComplete) {
  const Ends ends = TryAllOrders(
      [](Wait& wait) {
        if (wait.race.Leave()) ++wait.left;
      },
      Complete, [](Wait& wait) { EXPECT_TRUE(wait.race.Suspend()); });
  EXPECT_EQ(ends.orders, 3);
  EXPECT_EQ(ends.continued, 0);
  EXPECT_EQ(ends.resumed, 2);
  EXPECT_EQ(ends.left, 1);
}

TEST(SuspendRaceTest, RestartAfterSuspending) {
  const Ends ends = TryAllOrders(Suspend, Complete, [](Wait& wait) {
    EXPECT_TRUE(wait.race.Suspend());
    EXPECT_EQ(wait.race.Complete(), State::kSuspended);
    wait.race.Restart();
  });
  EXPECT_EQ(ends.orders, 3);
}

TEST(SuspendRaceTest, RestartAfterCompleting) {
  const Ends ends = TryAllOrders(Suspend, Complete, [](Wait& wait) {
    EXPECT_EQ(wait.race.Complete(), State::kStarting);
    wait.race.Restart();
  });
  EXPECT_EQ(ends.orders, 3);
}

// The host takes part on the waiter's side: a borrowed waiter is resumed, and
// suspends once more.
TEST(SuspendRaceTest, BorrowAndSuspendAgainAgainstComplete) {
  const Ends ends = TryAllOrders(
      [](Wait& wait) {
        if (!wait.race.Borrow()) return;
        ++wait.borrowed;
        if (!wait.race.Suspend()) ++wait.continued;
      },
      Complete,
      [](Wait& wait) {
        wait.race.Restart();
        EXPECT_TRUE(wait.race.Suspend());
      });
  // Completed before Borrow(), between that and Suspend()'s load, in Suspend(),
  // and after it.
  EXPECT_EQ(ends.orders, 4);
  EXPECT_EQ(ends.resumed, 2);
  EXPECT_EQ(ends.continued, 2);
}

TEST(SuspendRaceTest, OnOneThreadPlainStoresDoTheSame) {
  SuspendRace race;
  race.CompleteInline();
  EXPECT_EQ(race.state(), State::kCompleted);
  EXPECT_FALSE(race.Suspend());

  race.Restart();
  race.SuspendUnshared();
  EXPECT_EQ(race.state(), State::kSuspended);
  EXPECT_EQ(race.CompleteUnshared(), State::kSuspended);
  EXPECT_EQ(race.state(), State::kCompleted);

  race.Restart();
  EXPECT_EQ(race.CompleteUnshared(), State::kStarting);
  EXPECT_EQ(race.state(), State::kCompleted);
}

TEST(SuspendRaceTest, OnlyASuspendedWaiterIsBorrowed) {
  for (const State state :
       {State::kStarting, State::kLeft, State::kCompleted, State::kAbandoned}) {
    SuspendRace race(state);
    EXPECT_FALSE(race.Borrow());
    EXPECT_EQ(race.state(), state);
  }
  SuspendRace race(State::kSuspended);
  EXPECT_TRUE(race.Borrow());
  EXPECT_EQ(race.state(), State::kStarting);
}

TEST(SuspendRaceTest, AnAbandonedWaiterDoesNotSuspend) {
  for (const State state :
       {State::kStarting, State::kSuspended, State::kCompleted}) {
    SuspendRace race(state);
    race.Abandon();
    EXPECT_EQ(race.state(), State::kAbandoned);
    EXPECT_FALSE(race.Suspend());
    EXPECT_EQ(race.Complete(), State::kAbandoned);
  }
}

// ---------------------------------------------------------- what is an error

TEST(SuspendRaceDeathTest, NoTransitionThatIsNotInTheTable) {
  using S = State;
  using Function = void (*)(SuspendRace&);
  const struct {
    S from;
    Function function;
  } errors[] = {
      {S::kSuspended, [](SuspendRace& race) { race.Suspend(); }},
      {S::kLeft, [](SuspendRace& race) { race.Suspend(); }},
      {S::kLeft, [](SuspendRace& race) { race.Leave(); }},
      {S::kSuspended, [](SuspendRace& race) { race.SuspendUnshared(); }},
      {S::kLeft, [](SuspendRace& race) { race.SuspendUnshared(); }},
      {S::kCompleted, [](SuspendRace& race) { race.SuspendUnshared(); }},
      {S::kAbandoned, [](SuspendRace& race) { race.SuspendUnshared(); }},
      {S::kAbandoned, [](SuspendRace& race) { race.Leave(); }},
      {S::kLeft, [](SuspendRace& race) { race.Restart(); }},
      {S::kAbandoned, [](SuspendRace& race) { race.Restart(); }},
      {S::kCompleted, [](SuspendRace& race) { race.Complete(); }},
      {S::kSuspended, [](SuspendRace& race) { race.CompleteInline(); }},
      {S::kLeft, [](SuspendRace& race) { race.CompleteInline(); }},
      {S::kCompleted, [](SuspendRace& race) { race.CompleteInline(); }},
      {S::kAbandoned, [](SuspendRace& race) { race.CompleteInline(); }},
      {S::kLeft, [](SuspendRace& race) { race.CompleteUnshared(); }},
      {S::kCompleted, [](SuspendRace& race) { race.CompleteUnshared(); }},
      {S::kAbandoned, [](SuspendRace& race) { race.CompleteUnshared(); }},
  };
  for (const auto& error : errors) {
    SuspendRace race(error.from);
    EXPECT_DEBUG_DEATH(error.function(race), "suspend_race.h.*ssert")
        << static_cast<int>(error.from);
  }
}

// ------------------------------------------------------- what is made visible

// Each side reads what the other has written before. ThreadSanitizer sees where
// nothing orders that.
template <class Waiter, class Completer>
void RunFreely(Waiter waiter, Completer completer) {
  for (int round = 0; round < 100; ++round) {
    SuspendRace race;
    int by_waiter = 0;
    int by_completer = 0;
    std::atomic<int> ends = 0;
    std::thread other([&] {
      by_completer = 1;
      if (completer(race)) {
        by_waiter += 1;
        ++ends;
      }
    });
    by_waiter = 1;
    if (waiter(race)) {
      by_completer += 1;
      ++ends;
    }
    other.join();
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(by_waiter + by_completer, 3);
  }
}

TEST(SuspendRaceTest, SecondSideSeesWhatTheFirstHasWritten) {
  const auto suspend = [](SuspendRace& race) { return !race.Suspend(); };
  RunFreely(suspend, [](SuspendRace& race) {
    return race.Complete() == State::kSuspended;
  });
  RunFreely([](SuspendRace& race) { return !race.Leave(); },
            [](SuspendRace& race) { return race.Complete() == State::kLeft; });
}

}  // namespace
}  // namespace greenback::internal
