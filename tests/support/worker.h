// Worker: a thread of "another library", which calls the functions that are
// posted to it. For tests in which something completes on a thread that is not
// the task's, again and again; where it happens once, ThreadHop (thread_hop.h)
// or a std::thread is enough.
//
//   Worker worker;
//   worker.Post([&] { signal.Fire(7); });
//   co_await signal;
#ifndef GREENBACK_TESTS_SUPPORT_WORKER_H_
#define GREENBACK_TESTS_SUPPORT_WORKER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/support/this_thread.h"

namespace greenback {

class Worker {
 public:
  Worker() : thread_([this] { Serve(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  // Calls what has been posted, and joins the thread. Not while another thread
  // is in Post().
  ~Worker() {
    Post(nullptr);
    thread_.join();
  }

  // On any thread, also its own. The functions are called in order.
  void Post(std::function<void()> function) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(function));
    }
    some_.notify_one();
  }

  std::thread::id id() const { return thread_.get_id(); }
  bool IsThisThread() const { return IdOfThisThread() == id(); }

 private:
  void Serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      some_.wait(lock, [this] { return !queue_.empty(); });
      const std::function<void()> function = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (function == nullptr) return;
      function();
    }
  }

  std::mutex mutex_;
  std::condition_variable some_;
  std::deque<std::function<void()>> queue_;
  std::thread thread_;
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_WORKER_H_
