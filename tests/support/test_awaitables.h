// What many tests need: an awaitable that greenback does not know and that is
// fired by hand, a coroutine of "another library", and objects that are
// counted.
//
//   Signal signal;
//   nursery.StartSoon(...  int value = co_await signal; ...);
//   nursery.StartSoon(...  signal.Fire(7); ...);      // or on another thread
#ifndef GREENBACK_TESTS_SUPPORT_TEST_AWAITABLES_H_
#define GREENBACK_TESTS_SUPPORT_TEST_AWAITABLES_H_

#include <atomic>
#include <coroutine>
#include <exception>
#include <utility>

namespace greenback {

// An awaitable, for one wait, that Fire() completes: before, during or after
// it is awaited, on any thread. As awaitables of other libraries do, it resumes
// its continuation where it is fired, inside Fire().
class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // At most once.
  void Fire(int value = 0) {
    value_ = value;
    // After the exchange only the waiter touches this object.
    void* const waiter = state_.exchange(this, std::memory_order_acq_rel);
    if (waiter != nullptr) {
      std::coroutine_handle<>::from_address(waiter).resume();
    }
  }

  // Whether a coroutine waits, and Fire() has not been called.
  bool awaited() const {
    void* const state = state_.load(std::memory_order_acquire);
    return state != nullptr && state != this;
  }

  bool await_ready() const noexcept {
    return state_.load(std::memory_order_acquire) == this;
  }
  bool await_suspend(std::coroutine_handle<> waiter) {
    void* no_waiter = nullptr;
    return state_.compare_exchange_strong(no_waiter, waiter.address(),
                                          std::memory_order_acq_rel);
  }
  int await_resume() const { return value_; }

 private:
  // Null, the waiter's handle, or (when fired) this object's own address.
  std::atomic<void*> state_{nullptr};
  int value_ = 0;
};

// An awaitable whose await_suspend() returns `suspend(handle)`. Never ready.
template <class Suspend>
struct SuspendWith {
  Suspend suspend;

  bool await_ready() const noexcept { return false; }
  auto await_suspend(std::coroutine_handle<> handle) const {
    return suspend(handle);
  }
  void await_resume() const {}
};
template <class Suspend>
SuspendWith(Suspend) -> SuspendWith<Suspend>;

// A coroutine that starts when it is called and has no owner: it destroys
// itself when it ends, on whatever thread that happens.
struct Detached {
  struct promise_type {
    Detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

// Counts the objects that live. Move-only.
class Counted {
 public:
  explicit Counted(int number = 0) : value(number) { ++live_; }
  Counted(Counted&& other) noexcept : value(std::exchange(other.value, -1)) {
    ++live_;
  }
  Counted& operator=(Counted&&) = default;
  ~Counted() { --live_; }

  static int live() { return live_; }

  int value;

 private:
  static inline std::atomic<int> live_{0};
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_TEST_AWAITABLES_H_
