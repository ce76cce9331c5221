// OwnedCoroutine: a coroutine of "another library", which its owner may destroy
// while it waits. (Only the coroutine that awaits a waiting Co can
// destroy it.)
//
//   OwnedCoroutine Take(Queue& queue) { (void)co_await queue.Take(); }
//
//   { OwnedCoroutine taking = Take(queue); }  // begins to wait, is destroyed
#ifndef GREENBACK_TESTS_SUPPORT_OWNED_COROUTINE_H_
#define GREENBACK_TESTS_SUPPORT_OWNED_COROUTINE_H_

#include <coroutine>
#include <exception>
#include <utility>

namespace greenback {

// Runs when it is called, until it first suspends. Whatever completes what it
// awaits resumes it. It is destroyed with this object, wherever it stands.
class OwnedCoroutine {
 public:
  struct promise_type {
    OwnedCoroutine get_return_object() {
      return OwnedCoroutine(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };

  OwnedCoroutine(OwnedCoroutine&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  OwnedCoroutine& operator=(OwnedCoroutine&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~OwnedCoroutine() { Destroy(); }

  // Not after Destroy().
  bool done() const { return handle_.done(); }

  void Destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

 private:
  explicit OwnedCoroutine(std::coroutine_handle<> handle) : handle_(handle) {}

  std::coroutine_handle<> handle_;
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_OWNED_COROUTINE_H_
