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
// Lazy: nothing runs before it is awaited, and a Co that is never awaited only
// destroys its arguments. Move-only. T may be void, a reference, or move-only.
// A Co can be awaited once. Awaiting it again, during the first await or after
// it, is an AwaitableError, as is awaiting a Co that was moved from.
//
// Suspends: when an awaitable inside it does; `co_await` of a Co adds neither a
// checkpoint nor a trip through the loop.
// Resumed by: the completer of the operation that it awaits. In a task, that
// operation may complete on any thread: the task still resumes on its own
// thread, from its loop.
// Ownership: the Co owns the frame. Arguments are kept as the coroutine's
// parameters say: what a reference parameter refers to must exist until the
// await ends.
// Errors: an exception propagates to the awaiting code; without exceptions,
// none can leave the coroutine.
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

// The part of a Co's promise that is the same for every T.
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
  bool await_park(FiberWaiter& waiter) {
    CheckFirst();
    callee_.promise().RunBelow(callee_, waiter);
    return true;
  }

  T await_resume() { return callee_.promise().TakeResult(); }

 private:
  // Checked at each await, not when an awaiter is made: a Co may have several
  // awaiters.
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
