// ThreadHop: an awaitable, for one wait, that resumes its waiter on a new
// thread.
#ifndef GREENBACK_TESTS_SUPPORT_THREAD_HOP_H_
#define GREENBACK_TESTS_SUPPORT_THREAD_HOP_H_

#include <coroutine>
#include <thread>

namespace greenback {

// Its destructor joins the thread. One that is awaited on the thread of another
// has to be destroyed after that.
class ThreadHop {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      ThreadHop& self = *hop;  // this may be destroyed before the assignment
      self.thread_ = std::thread([waiter] { waiter.resume(); });
    }
    void await_resume() const noexcept {}
    ThreadHop* hop;
  };
  ThreadHop() = default;
  ThreadHop(const ThreadHop&) = delete;
  ThreadHop& operator=(const ThreadHop&) = delete;
  ~ThreadHop() {
    if (thread_.joinable()) thread_.join();
  }
  Awaiter operator co_await() { return {this}; }

 private:
  std::thread thread_;
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_THREAD_HOP_H_
