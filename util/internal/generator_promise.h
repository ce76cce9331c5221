// GeneratorPromise: the promise of an AsyncGenerator's coroutine. Internal to
// util/async_generator.h, which defines the members that need the generator or
// GeneratorExit.
#ifndef GREENBACK_UTIL_INTERNAL_GENERATOR_PROMISE_H_
#define GREENBACK_UTIL_INTERNAL_GENERATOR_PROMISE_H_

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/host/callee_promise.h"

namespace greenback {

template <class Yield, class Sent>
class AsyncGenerator;

namespace internal {

// Holds the value of Send() until the co_yield returns it.
template <class Sent>
class GeneratorInbox {
 public:
  using Taken = std::optional<Sent>;
  void Put(Sent&& value) { value_.emplace(std::move(value)); }
  Taken Take() {
    Taken taken(std::move(value_));
    value_.reset();
    return taken;
  }

 private:
  std::optional<Sent> value_;
};
template <>
class GeneratorInbox<void> {
 public:
  using Taken = void;
  void Take() const {}
};

template <class Yield, class Sent>
class GeneratorPromise final : public CalleePromise {
 public:
  using Object = std::remove_reference_t<Yield>;

  // State     the body                       next states
  // kFresh    has not run                    kRunning
  // kRunning  runs, or waits, in a step      kYielded, kDone
  // kYielded  is suspended at a co_yield     kRunning
  // kDone     has ended                      none
  enum class State : uint8_t { kFresh, kRunning, kYielded, kDone };

  AsyncGenerator<Yield, Sent> get_return_object() noexcept;

  class FinalAwaiter {
   public:
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<GeneratorPromise> self) const noexcept {
      self.promise().LeaveRunning(State::kDone);
      return self.promise().HandBack();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }

  class YieldAwaiter {
   public:
    explicit YieldAwaiter(GeneratorPromise& promise) : promise_(promise) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<GeneratorPromise>) noexcept {
      promise_.LeaveRunning(State::kYielded);
      return promise_.HandBack();
    }
    auto await_resume() { return promise_.AfterYield(); }

   private:
    GeneratorPromise& promise_;
  };
  // Yields a copy: the body may still use the original.
  class CopyAwaiter : public YieldAwaiter {
   public:
    CopyAwaiter(GeneratorPromise& promise, const Object& value)
        : YieldAwaiter(promise), promise_(promise), copy_(value) {}
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<GeneratorPromise> self) noexcept {
      promise_.yielded_ = std::addressof(copy_);
      return YieldAwaiter::await_suspend(self);
    }

   private:
    GeneratorPromise& promise_;
    Object copy_;
  };

  YieldAwaiter yield_value(Yield&& value) noexcept {
    yielded_ = std::addressof(value);
    return YieldAwaiter(*this);
  }
  CopyAwaiter yield_value(const Object& value)
    requires(!std::is_reference_v<Yield> &&
             std::is_copy_constructible_v<Object>)
  {
    return CopyAwaiter(*this, value);
  }

  void return_void() const noexcept {}
  void unhandled_exception() noexcept;

  // The rest is called by the step that runs the body.

  State state() const { return state_; }
  void EnterRunning() {
    assert(state_ == State::kFresh || state_ == State::kYielded);
    state_ = State::kRunning;
  }

  // True from the beginning of a step until its result has been taken, which is
  // after the body has left kRunning.
  bool in_step() const { return in_step_; }
  void set_in_step(bool in_step) { in_step_ = in_step; }

  // What the co_yield does when the body resumes: it returns what is in the
  // inbox, or throws `error`, or throws GeneratorExit while the generator is
  // being closed.
  GeneratorInbox<Sent>& inbox() { return inbox_; }
  void Throw(std::exception_ptr error) { thrown_ = std::move(error); }
  void set_closing(bool closing) { closing_ = closing; }

  // The object that was yielded. A step's result is made from it; it may be
  // moved from.
  Object* yielded() const { return yielded_; }
  std::exception_ptr TakeError() { return std::exchange(error_, nullptr); }

 private:
  void LeaveRunning(State next) {
    assert(state_ == State::kRunning);
    state_ = next;
  }

  typename GeneratorInbox<Sent>::Taken AfterYield();

  Object* yielded_ = nullptr;  // valid in kYielded
  std::exception_ptr error_;   // the body ended by it
  std::exception_ptr thrown_;  // the next co_yield throws it
  [[no_unique_address]] GeneratorInbox<Sent> inbox_;
  State state_ = State::kFresh;
  bool in_step_ = false;
  bool closing_ = false;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_INTERNAL_GENERATOR_PROMISE_H_
