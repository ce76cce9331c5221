// InlineEvent: resumes its waiter inside Set(), as events of other libraries
// do. For one thread. Signal (test_awaitables.h) may be fired on any thread,
// but g++ 12 does not compile `co_await signal` where a coroutine's lambda has
// captured it: it copies an awaiter there.
#ifndef GREENBACK_TESTS_SUPPORT_INLINE_EVENT_H_
#define GREENBACK_TESTS_SUPPORT_INLINE_EVENT_H_

#include <coroutine>
#include <utility>

namespace greenback {

class InlineEvent {
 public:
  struct Awaiter {
    bool await_ready() const noexcept { return event->is_set_; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      event->waiter_ = waiter;
    }
    void await_resume() const noexcept {}
    InlineEvent* event;
  };
  Awaiter operator co_await() { return {this}; }

  bool is_waited_for() const { return waiter_ != nullptr; }
  void Set() {
    is_set_ = true;
    if (waiter_) std::exchange(waiter_, nullptr).resume();
  }

 private:
  bool is_set_ = false;
  std::coroutine_handle<> waiter_;
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_INLINE_EVENT_H_
