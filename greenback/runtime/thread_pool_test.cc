#include "greenback/runtime/thread_pool.h"

#include <pthread.h>
#include <signal.h>

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
#include "greenback/runtime/testing/no_more_threads.h"
#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Work that is a function.
class FunctionJob final : public ThreadPool::Job {
 public:
  explicit FunctionJob(std::function<void()> fn) : fn_(std::move(fn)) {}
  void Work() override { fn_(); }

 private:
  const std::function<void()> fn_;
};

TEST(ThreadPoolTest, WithoutJobs) {
  ThreadPool pool(3);
  FunctionJob job([] { FAIL(); });
  EXPECT_FALSE(pool.Remove(job));
}

TEST(ThreadPoolTest, DoesAllThatWasAddedBeforeItGoes) {
  std::atomic<int> done = 0;
  std::list<FunctionJob> jobs;
  {
    ThreadPool pool(2);
    for (int i = 0; i < 500; ++i) {
      EXPECT_TRUE(pool.Add(jobs.emplace_back([&] { ++done; })).ok());
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
          pool.Add(jobs.emplace_back([&, i] { log.push_back(i); })).ok());
    }
  }
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 3, 4));
}

TEST(ThreadPoolTest, AtMostSoManyAtATime) {
  constexpr int kMost = 3;
  std::mutex mutex;
  std::set<std::thread::id> threads;
  int running = 0;
  int most_running = 0;
  // Nobody ends before as many as may run are there.
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
      EXPECT_TRUE(pool.Add(job).ok());
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
    EXPECT_TRUE(pool.Add(job).ok());
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
      EXPECT_TRUE(pool.Add(*job).ok());
    }
    begun.wait();
    EXPECT_FALSE(pool.Remove(first));
    EXPECT_TRUE(pool.Remove(second));
    EXPECT_FALSE(pool.Remove(second));
    go_on.count_down();
  }
  EXPECT_THAT(log, ElementsAre("first", "third"));
}

// Signals are for the program's own threads.
TEST(ThreadPoolTest, ItsThreadsTakeNoSignals) {
  sigset_t blocked;
  sigemptyset(&blocked);
  FunctionJob job([&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    ThreadPool pool(1);
    EXPECT_TRUE(pool.Add(job).ok());
  }
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGUSR1}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
    EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal));
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
      const absl::Status added = pool.Add(refused);
      EXPECT_EQ(added.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(std::string(added.message()),
                  HasSubstr("greenback::RunInThread(): cannot start a thread"));
      EXPECT_FALSE(pool.Remove(refused));
    }
    EXPECT_TRUE(pool.Add(job).ok());
  }
  EXPECT_TRUE(done);
}

TEST(ThreadPoolTest, TheThreadsThereAreDoWhatNoFurtherOneCouldBeStartedFor) {
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
    EXPECT_TRUE(pool.Add(first).ok());
    begun.wait();
    NoMoreThreads no_more;
    EXPECT_TRUE(pool.Add(second).ok());
    go_on.count_down();
  }
  EXPECT_NE(second_thread, std::thread::id());
  EXPECT_EQ(second_thread, first_thread);
}

}  // namespace
}  // namespace greenback::internal
