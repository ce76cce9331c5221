#include "greenback/runtime/internal/thread_pool.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace greenback::internal {

ThreadPool::ThreadPool(size_t max_threads)
    : max_threads_(std::max<size_t>(max_threads, 1)) {}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

absl::Status ThreadPool::Reserve() {
  std::lock_guard lock(mutex_);
  if (idle_ <= job_count_ && threads_.size() < max_threads_) {
    const int error = StartThread();
    // If that fails, the threads that exist will get to the job.
    if (error != 0 && threads_.empty()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("greenback::RunInThread(): cannot start a thread: ",
                       std::strerror(error), "; see ulimit -u"));
    }
  }
  return absl::OkStatus();
}

void ThreadPool::Add(Job& job) noexcept {
  std::lock_guard lock(mutex_);
  jobs_.PushBack(job);
  ++job_count_;
  changed_.notify_one();
}

bool ThreadPool::Remove(Job& job) {
  std::lock_guard lock(mutex_);
  if (!job.is_in_list()) return false;
  Take(job);
  return true;
}

void ThreadPool::Take(Job& job) {
  job.LeaveList();
  --job_count_;
}

// Not std::thread, whose failure to start is an exception. The thread inherits
// the signal mask as it is: if it blocked more signals, the processes that a
// function starts would inherit that, and with SIGSEGV blocked a fault would
// kill the program without a call of its handler.
int ThreadPool::StartThread() {
  threads_.push_back({});  // first, since it may throw
  const int error = pthread_create(&threads_.back(), nullptr, ThreadMain, this);
  if (error != 0) threads_.pop_back();
  return error;
}

void* ThreadPool::ThreadMain(void* pool) {
  static_cast<ThreadPool*>(pool)->RunJobs();
  return nullptr;
}

void ThreadPool::RunJobs() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    Job* const job = jobs_.first();
    if (job == nullptr) return;
    Take(*job);
    lock.unlock();
    job->Work();
    lock.lock();
  }
}

}  // namespace greenback::internal
