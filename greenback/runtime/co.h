// Co<T>: a coroutine that runs when it is awaited.
//
//   greenback::Co<int> Sum(std::span<const Url> urls) {
//     int sum = 0;
//     for (const Url& url : urls) sum += co_await Fetch(url);
//     co_return sum;
//   }
//   ...
//   int sum = co_await Sum(urls);          // in a coroutine
//   ...
//   int sum = greenback::Await(Sum(urls)); // in a function, through a portal
//
// Lazy: nothing runs before it is awaited, and an unawaited Co destroys its
// arguments and no more. Move-only. T may be void, a reference, or move-only.
// Awaited at most once: again, during the first time or after it, is an
// AwaitableError, as is awaiting one that was moved from.
//
// Suspends: when what it awaits does; `co_await` of a Co adds neither a
// checkpoint nor a trip through the loop.
// Resumed by: whatever completes what it awaits. In a task, what a Co awaits
// may complete on any thread: the task still goes on on its own, from its loop.
// Ownership: the frame belongs to the Co. Arguments are kept as the coroutine's
// parameters say: a reference parameter must outlive the awaiting.
// Errors: an exception comes out where it is awaited; without exceptions none
// can leave.
#ifndef GREENBACK_RUNTIME_CO_H_
#define GREENBACK_RUNTIME_CO_H_

#include <coroutine>
#include <type_traits>
#include <utility>

#include "greenback/host/callee_promise.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/outcome.h"

namespace greenback {

template <class T = void>
class Co;

namespace internal {

// Both throw an AwaitableError, or print its text and abort.
[[noreturn]] void ReportCoMovedFrom();
[[noreturn]] void ReportCoAwaitedTwice();

// What a Co's promise has for every T.
template <class T>
class CoPromiseBase : public CalleePromise {
 public:
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> done) const noexcept {
      return done.promise().HandBack();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept { outcome_.SetCurrentException(); }

  T TakeResult() { return outcome_.Take(); }

 protected:
  Outcome<T> outcome_;
};

template <class T>
class CoPromise final : public CoPromiseBase<T> {
 public:
  Co<T> get_return_object() noexcept;

  template <class U = T>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    this->outcome_.SetValue([&]() -> T { return std::forward<U>(value); });
  }
};

template <>
class CoPromise<void> final : public CoPromiseBase<void> {
 public:
  Co<void> get_return_object() noexcept;
  void return_void() noexcept { outcome_.SetValue(); }
};

template <class T>
class CoAwaiter : private ResumesAtHome {
 public:
  explicit CoAwaiter(std::coroutine_handle<CoPromise<T>> callee)
      : callee_(callee) {}
  bool await_ready() const noexcept { return false; }

  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    CheckFirst();
    return RunCallee(callee_, caller);
  }
  bool await_park(FiberWaiter& point) {
    CheckFirst();
    callee_.promise().RunBelow(callee_, point);
    return true;
  }

  T await_resume() { return callee_.promise().TakeResult(); }

 private:
  // Here, and not when the awaiter is made: there may be several.
  void CheckFirst() const {
    if (callee_.promise().is_awaited()) [[unlikely]]
      ReportCoAwaitedTwice();
  }

  std::coroutine_handle<CoPromise<T>> callee_;
};

}  // namespace internal

template <class T>
class [[nodiscard]] Co {
 public:
  using promise_type = internal::CoPromise<T>;

  Co(Co&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Co& operator=(Co&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Co() {
    if (handle_) handle_.destroy();
  }

  internal::CoAwaiter<T> operator co_await() const {
    if (!handle_) [[unlikely]]
      internal::ReportCoMovedFrom();
    return internal::CoAwaiter<T>(handle_);
  }

 private:
  friend promise_type;
  explicit Co(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

namespace internal {

template <class T>
Co<T> CoPromise<T>::get_return_object() noexcept {
  return Co<T>(std::coroutine_handle<CoPromise>::from_promise(*this));
}

inline Co<void> CoPromise<void>::get_return_object() noexcept {
  return Co<void>(std::coroutine_handle<CoPromise>::from_promise(*this));
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_CO_H_
