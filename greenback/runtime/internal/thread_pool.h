// ThreadPool: the threads of a run's RunInThread(). Internal.
//
// A thread is started when there is work and no thread is idle, up to a
// maximum. All are joined at the end of the run, when all work is done.
#ifndef GREENBACK_RUNTIME_INTERNAL_THREAD_POOL_H_
#define GREENBACK_RUNTIME_INTERNAL_THREAD_POOL_H_

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "greenback/internal/intrusive_list.h"

namespace greenback::internal {

class ThreadPool {
 public:
  // In a list while it waits for a thread.
  class Job : public ListItem<Job> {
   public:
    virtual void Work() = 0;

   protected:
    ~Job() = default;
  };

  explicit ThreadPool(size_t max_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // To be called before Add(): makes sure that one more job will have a thread.
  // ResourceExhausted if there is no thread and none can be started.
  absl::Status Reserve();
  // Has a thread call job.Work().
  void Add(Job& job) noexcept;
  // Removes `job` if it is still waiting for a thread, and returns whether it
  // was.
  bool Remove(Job& job);

 private:
  static void* ThreadMain(void* pool);
  void RunJobs();
  int StartThread();
  void Take(Job& job);

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  IntrusiveList<Job> jobs_;
  size_t job_count_ = 0;
  std::vector<pthread_t> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_THREAD_POOL_H_
