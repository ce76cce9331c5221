#include "greenback/runtime/internal/thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <latch>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/no_more_threads.h"

namespace greenback::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A job that calls a function.
class FunctionJob final : public ThreadPool::Job {
 public:
  explicit FunctionJob(std::function<void()> fn) : fn_(std::move(fn)) {}
  void Work() override { fn_(); }

 private:
  const std::function<void()> fn_;
};

absl::Status Add(ThreadPool& pool, ThreadPool::Job& job) {
  absl::Status reserved = pool.Reserve();
  if (reserved.ok()) pool.Add(job);
  return reserved;
}

TEST(ThreadPoolTest, MayHaveNoJobs) {
  ThreadPool pool(3);
  FunctionJob job([] { FAIL(); });
  EXPECT_FALSE(pool.Remove(job));
}

TEST(ThreadPoolTest, DoesAllJobsBeforeItIsDestroyed) {
  std::atomic<int> done = 0;
  std::list<FunctionJob> jobs;
  {
    ThreadPool pool(2);
    for (int i = 0; i < 500; ++i) {
      EXPECT_TRUE(Add(pool, jobs.emplace_back([&] { ++done; })).ok());
    }
  }
  EXPECT_EQ(done, 500);
}

TEST(ThreadPoolTest, OneThreadTakesThemInOrder) {
  std::vector<int> log;  // the pool's thread only
  std::list<FunctionJob> jobs;
  {
    ThreadPool pool(1);
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(
          Add(pool, jobs.emplace_back([&, i] { log.push_back(i); })).ok());
    }
  }
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 3, 4));
}

TEST(ThreadPoolTest, AtMostTheMaximumRunAtATime) {
  constexpr int kMost = 3;
  std::mutex mutex;
  std::set<std::thread::id> threads;
  int running = 0;
  int most_running = 0;
  // No job ends before as many run as may run.
  std::latch all(kMost);
  std::list<FunctionJob> jobs;
  {
    ThreadPool pool(kMost);
    for (int i = 0; i < 40; ++i) {
      FunctionJob& job = jobs.emplace_back([&, i] {
        {
          std::lock_guard lock(mutex);
          threads.insert(std::this_thread::get_id());
          most_running = std::max(most_running, ++running);
        }
        if (i < kMost) all.arrive_and_wait();
        std::lock_guard lock(mutex);
        --running;
      });
      EXPECT_TRUE(Add(pool, job).ok());
    }
  }
  EXPECT_EQ(most_running, kMost);
  EXPECT_EQ(threads.size(), static_cast<size_t>(kMost));
}

TEST(ThreadPoolTest, NoneCountsAsOne) {
  bool done = false;
  FunctionJob job([&] { done = true; });
  {
    ThreadPool pool(0);
    EXPECT_TRUE(Add(pool, job).ok());
  }
  EXPECT_TRUE(done);
}

TEST(ThreadPoolTest, WhatHasNotBegunCanBeRemoved) {
  std::latch begun(1);
  std::latch go_on(1);
  std::vector<std::string> log;  // the pool's thread only
  FunctionJob first([&] {
    begun.count_down();
    go_on.wait();
    log.push_back("first");
  });
  FunctionJob second([&] { log.push_back("second"); });
  FunctionJob third([&] { log.push_back("third"); });
  {
    ThreadPool pool(1);
    for (FunctionJob* const job : {&first, &second, &third}) {
      EXPECT_TRUE(Add(pool, *job).ok());
    }
    begun.wait();
    EXPECT_FALSE(pool.Remove(first));
    EXPECT_TRUE(pool.Remove(second));
    EXPECT_FALSE(pool.Remove(second));
    go_on.count_down();
  }
  EXPECT_THAT(log, ElementsAre("first", "third"));
}

// The signals that the calling thread blocks.
std::vector<int> BlockedSignals() {
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  std::vector<int> signals;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&blocked, signal) == 1) signals.push_back(signal);
  }
  return signals;
}

// The signals that a thread of a new pool blocks.
std::vector<int> BlockedInAPool() {
  std::vector<int> signals;
  FunctionJob job([&] { signals = BlockedSignals(); });
  {
    ThreadPool pool(1);
    EXPECT_TRUE(Add(pool, job).ok());
  }
  return signals;
}

TEST(ThreadPoolTest, R32_ItsThreadsHaveTheMaskOfTheThreadThatStartsThem) {
  sigset_t mask, before;
  sigemptyset(&mask);
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  EXPECT_THAT(BlockedInAPool(), ElementsAre());
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  EXPECT_THAT(BlockedInAPool(), ElementsAre(SIGUSR1));
  EXPECT_THAT(BlockedSignals(), ElementsAre(SIGUSR1));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// A handler of the program's own is called for a fault there.
TEST(ThreadPoolDeathTest, R32_AFaultIsTheProgramsToHandle) {
  const auto fault = [](int signal) {
    struct sigaction action = {};
    action.sa_handler = [](int) { _exit(42); };
    sigaction(signal, &action, nullptr);
    // As the hardware raises it: for this thread, and not to be deferred.
    FunctionJob job([signal] {
      if (signal == SIGSEGV) {
        volatile int* nowhere = nullptr;
        asm volatile("" : "+r"(nowhere));
        *nowhere = 1;
      } else {
        raise(signal);
      }
    });
    ThreadPool pool(1);
    (void)Add(pool, job);
  };
  for (const int signal :
       {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP}) {
    EXPECT_EXIT(fault(signal), ::testing::ExitedWithCode(42), "") << signal;
  }
}

TEST(ThreadPoolTest, WithoutAnyThreadItSaysSo) {
  bool done = false;
  FunctionJob refused([] { FAIL(); });
  FunctionJob job([&] { done = true; });
  {
    ThreadPool pool(2);
    {
      NoMoreThreads no_more;
      const absl::Status added = Add(pool, refused);
      EXPECT_EQ(added.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(std::string(added.message()),
                  HasSubstr("greenback::RunInThread(): cannot start a thread"));
      EXPECT_FALSE(pool.Remove(refused));
    }
    EXPECT_TRUE(Add(pool, job).ok());
  }
  EXPECT_TRUE(done);
}

TEST(ThreadPoolTest, TheThreadsThatExistDoTheJobsIfNoOtherCanBeStarted) {
  std::latch begun(1);
  std::latch go_on(1);
  std::thread::id first_thread;
  std::thread::id second_thread;
  FunctionJob first([&] {
    first_thread = std::this_thread::get_id();
    begun.count_down();
    go_on.wait();
  });
  FunctionJob second([&] { second_thread = std::this_thread::get_id(); });
  {
    ThreadPool pool(2);
    EXPECT_TRUE(Add(pool, first).ok());
    begun.wait();
    NoMoreThreads no_more;
    EXPECT_TRUE(Add(pool, second).ok());
    go_on.count_down();
  }
  EXPECT_NE(second_thread, std::thread::id());
  EXPECT_EQ(second_thread, first_thread);
}

}  // namespace
}  // namespace greenback::internal
