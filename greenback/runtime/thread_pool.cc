#include "greenback/runtime/thread_pool.h"

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

absl::Status ThreadPool::Add(Job& job) {
  std::lock_guard lock(mutex_);
  if (idle_ <= jobs_.size() && threads_.size() < max_threads_) {
    const int error = StartThread();
    // The threads that there are will come to it.
    if (error != 0 && threads_.empty()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("greenback::RunInThread(): cannot start a thread: ",
                       std::strerror(error), "; see ulimit -u"));
    }
  }
  jobs_.push_back(&job);
  changed_.notify_one();
  return absl::OkStatus();
}

bool ThreadPool::Remove(Job& job) {
  std::lock_guard lock(mutex_);
  return std::erase(jobs_, &job) != 0;
}

// Not std::thread, whose failure to start is an exception. The signal mask is
// inherited: a thread that blocked more would hand that on to the processes
// that a function starts, and with SIGSEGV blocked a fault kills the program
// past its handler.
int ThreadPool::StartThread() {
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, ThreadMain, this);
  if (error == 0) threads_.push_back(thread);
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
    if (jobs_.empty()) return;
    Job* const job = jobs_.front();
    jobs_.pop_front();
    lock.unlock();
    job->Work();
    lock.lock();
  }
}

}  // namespace greenback::internal
