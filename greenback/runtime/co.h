// Co<T>: a coroutine that runs when it is awaited.
//
//   greenback::Co<int> Sum(std::span<const Url> urls) {
//     int sum = 0;
//     for (const Url& url : urls) sum += co_await Fetch(url);
//     co_return sum;
//   }
//   ...
//   int sum = co_await Sum(urls);          // in a coroutine
//   int sum = greenback::Await(Sum(urls)); // in a function, through a portal
//
// Lazy: nothing runs before it is awaited, and an unawaited Co destroys its
// arguments and no more. Move-only; awaited at most once. T may be void, a
// reference, or move-only.
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

#include <atomic>
#include <coroutine>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/context/exceptions.h"
#include "greenback/home_awaiter.h"
#include "greenback/in_place.h"
#include "greenback/transfer.h"

namespace greenback {

template <class T = void>
class Co;

namespace internal {

// What a Co's promise has for every T.
class CoPromiseBase : public TransferringPromise {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> done) const noexcept {
      return done.promise().Finish();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  // Awaitables that are not greenback's own may resume from anywhere.
  template <class A>
  auto await_transform(A&& awaitable) {
    return ComeHome(std::forward<A>(awaitable));
  }

  // `caller` goes on when the coroutine is done.
  void set_continuation(std::coroutine_handle<> caller) {
    continuation_ = caller;
  }

  // Runs the coroutine, `self`, on top of an await_suspend of `caller`, which
  // goes on by itself if that is enough: then the result is true.
  bool RunInPlace(std::coroutine_handle<> self,
                  std::coroutine_handle<> caller) {
    set_continuation(caller);
    phase_.store(Phase::kInPlace, std::memory_order_relaxed);
    ResumeAndTransfer(self);
    Phase in_place = Phase::kInPlace;
    return !phase_.compare_exchange_strong(in_place, Phase::kDetached,
                                           std::memory_order_acq_rel);
  }

 protected:
  void RethrowIfFailed() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  enum class Phase : unsigned char { kDetached, kInPlace, kDone };

  std::coroutine_handle<> Finish() noexcept {
    if constexpr (!kTailCalls) {
      Phase in_place = Phase::kInPlace;
      if (phase_.load(std::memory_order_relaxed) == in_place &&
          phase_.compare_exchange_strong(in_place, Phase::kDone,
                                         std::memory_order_acq_rel)) {
        return std::noop_coroutine();
      }
    }
    return TransferTo(continuation_);
  }

  std::coroutine_handle<> continuation_;
  std::exception_ptr error_;
  std::atomic<Phase> phase_{Phase::kDetached};
};

template <class T>
class CoPromise final : public CoPromiseBase {
 public:
  Co<T> get_return_object() noexcept;

  template <class U = T>
  requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    result_.Emplace([&]() -> T { return std::forward<U>(value); });
  }

  T TakeResult() {
    RethrowIfFailed();
    return std::forward<T>(*result_);
  }

 private:
  InPlace<T> result_;
};

template <>
class CoPromise<void> final : public CoPromiseBase {
 public:
  Co<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void TakeResult() { RethrowIfFailed(); }
};

template <class T>
class CoAwaiter {
 public:
  static constexpr bool kGreenbackHomeAwaiter = true;

  explicit CoAwaiter(std::coroutine_handle<CoPromise<T>> callee)
      : callee_(callee) {}
  bool await_ready() const noexcept { return false; }

  template <Transferring Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) {
    callee_.promise().set_continuation(caller);
    return TransferTo(callee_);
  }
  // Of a coroutine that greenback does not know, or of Await().
  auto await_suspend(std::coroutine_handle<> caller) {
    if constexpr (kTailCalls) {
      callee_.promise().set_continuation(caller);
      return std::coroutine_handle<>(callee_);
    } else {
      return !callee_.promise().RunInPlace(callee_, caller);
    }
  }

  T await_resume() { return callee_.promise().TakeResult(); }

 private:
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
    if (!handle_) [[unlikely]] {
      context::ThrowOrDie(std::logic_error(
          "greenback::Co: awaited after it was moved from; await the one that "
          "it was moved to"));
    }
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
