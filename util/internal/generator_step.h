// The steps of an AsyncGenerator: what co_await does with the results of
// Next(), Send(), Throw() and Close(). Internal to util/async_generator.h.
#ifndef GREENBACK_UTIL_INTERNAL_GENERATOR_STEP_H_
#define GREENBACK_UTIL_INTERNAL_GENERATOR_STEP_H_

#include <coroutine>
#include <exception>
#include <stdexcept>
#include <utility>

#include "greenback/host/callee_promise.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"
#include "util/internal/generator_frame.h"
#include "util/internal/generator_promise.h"

namespace greenback::internal {

// The base of all steps. A step refers to the GeneratorFrame, which is a member
// of the generator, and not to the coroutine: through Await(), that hides the
// generator from the optimiser as well.
template <class Yield, class Sent>
class GeneratorStep : private ResumesAtHome {
 protected:
  using Frame = GeneratorFrame<Yield, Sent>;
  using State = typename Frame::State;
  using Result = typename Frame::Result;

  explicit GeneratorStep(Frame& frame) : frame_(frame) {}
  GeneratorStep(const GeneratorStep&) = default;  // before it is awaited
  // When the coroutine that waits for the body is destroyed, the body is
  // destroyed too: nothing would take its result. Await() may also be left
  // after the body has handed back; the result is lost then, not the body.
  ~GeneratorStep() {
    if (!running_ || frame_.done()) return;
    if (frame_.is_at(State::kRunning)) {
      frame_.Destroy();
    } else {
      frame_.promise().set_in_step(false);
    }
  }

  // Whether the body has ended, and no other step is about to report it.
  bool has_ended() const noexcept {
    return frame_.done() ||
           (frame_.is_at(State::kDone) && !frame_.is_in_step());
  }
  // Refuses a step during another step, and a step that is awaited twice.
  void Begin() {
    if (frame_.is_in_step()) [[unlikely]] {
      ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: a step was begun while another one is "
          "under way; await one before the next, and let tasks take turns"));
    }
    if (std::exchange(begun_, true)) [[unlikely]] {
      ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: a step was awaited twice; call Next(), "
          "Send(), Throw() or Close() for each step"));
    }
  }
  template <class Promise>
  auto Run(std::coroutine_handle<Promise> caller) {
    running_ = true;
    frame_.promise().set_in_step(true);
    frame_.promise().EnterRunning();
    return RunCallee(frame_.handle(), caller);
  }
  // The body has handed back, if Run() was called.
  void End() {
    if (std::exchange(running_, false)) frame_.promise().set_in_step(false);
  }

  Frame& frame_;

 private:
  bool begun_ = false;
  bool running_ = false;
};

template <class Yield, class Sent>
class [[nodiscard]] GeneratorNext : public GeneratorStep<Yield, Sent> {
 public:
  explicit GeneratorNext(GeneratorFrame<Yield, Sent>& frame)
      : GeneratorNext::GeneratorStep(frame) {}

  bool await_ready() const noexcept { return this->has_ended(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    return this->Run(caller);
  }
  GeneratorResult<Yield> await_resume() {
    this->End();
    return this->frame_.TakeResult();
  }
};

template <class Yield, class Sent>
class [[nodiscard]] GeneratorSend : public GeneratorStep<Yield, Sent> {
 public:
  template <class T>
  GeneratorSend(GeneratorFrame<Yield, Sent>& frame, T&& value)
      : GeneratorSend::GeneratorStep(frame), value_(std::forward<T>(value)) {}

  bool await_ready() const noexcept { return this->has_ended(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    if (this->frame_.is_at(GeneratorSend::State::kFresh)) [[unlikely]] {
      ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: Send() before the first Next(): no "
          "co_yield waits for the value yet"));
    }
    this->Begin();
    this->frame_.promise().inbox().Put(std::move(value_));
    return this->Run(caller);
  }
  GeneratorResult<Yield> await_resume() {
    this->End();
    return this->frame_.TakeResult();
  }

 private:
  Sent value_;
};

#if defined(__cpp_exceptions)
template <class Yield, class Sent>
class [[nodiscard]] GeneratorThrow : public GeneratorStep<Yield, Sent> {
 public:
  GeneratorThrow(GeneratorFrame<Yield, Sent>& frame, std::exception_ptr error)
      : GeneratorThrow::GeneratorStep(frame), error_(std::move(error)) {}

  bool await_ready() const noexcept {
    return this->has_ended() ||
           this->frame_.is_at(GeneratorThrow::State::kFresh);
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    this->frame_.promise().Throw(std::move(error_));
    return this->Run(caller);
  }
  GeneratorResult<Yield> await_resume() {
    this->End();
    if (this->frame_.is_at(GeneratorThrow::State::kFresh)) {
      this->frame_.Destroy();
      std::rethrow_exception(std::move(error_));
    }
    return this->frame_.TakeResult();
  }

 private:
  std::exception_ptr error_;
};
#endif

template <class Yield, class Sent>
class [[nodiscard]] GeneratorClose : public GeneratorStep<Yield, Sent> {
 public:
  explicit GeneratorClose(GeneratorFrame<Yield, Sent>& frame)
      : GeneratorClose::GeneratorStep(frame) {}

  bool await_ready() const noexcept {
    return !this->frame_.is_in_step() && !this->frame_.NeedsClose();
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    this->frame_.promise().set_closing(true);
    ran_ = true;
    return this->Run(caller);
  }
  void await_resume() {
    this->End();
    if (!ran_) return this->frame_.Destroy();
    this->frame_.EndIfDone();
    if (this->frame_.done()) return;
    this->frame_.promise().set_closing(false);
    ThrowOrDie(std::logic_error(
        "greenback::AsyncGenerator: the body reached a co_yield while it was "
        "being closed; let GeneratorExit propagate, or return after it"));
  }

 private:
  bool ran_ = false;
};

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_GENERATOR_STEP_H_
