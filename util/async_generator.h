// AsyncGenerator<Yield>: a coroutine that gives one value after another, and
// may wait between them.
//
//   greenback::AsyncGenerator<Row> Rows(Database& db, std::string query) {
//     Cursor cursor = co_await db.Open(std::move(query));
//     while (co_await cursor.Advance()) co_yield cursor.row();
//   }
//
//   greenback::Co<int> Count(Database& db) {
//     int count = 0;
//     greenback::AsyncGenerator<Row> rows = Rows(db, "SELECT * FROM t");
//     while (std::optional<Row> row = co_await rows.Next()) ++count;
//     co_return count;
//   }
//
// Use it where values come one at a time and each may have to be waited for. In
// synchronous code, iterate over it with AsyncIter (async_iter.h). For values
// that are there at once, use a container; to pass values between tasks, a
// queue: a generator runs only while somebody waits for its next value.
//
// Lazy: nothing runs before the first Next(). Move-only. One step at a time: it
// is an AwaitableError to begin a step while another one is under way (of
// another task, or of the body itself), and to await what one call of Next() or
// Send() returned a second time. To move or destroy the generator while a step
// is under way, which a task waits for, prints a message and aborts the program.
//
// Yield is an object type, which may be move-only, or an lvalue reference.
// Next() gives a std::optional<Yield>, made straight from the object that was
// yielded: it is moved from if it was yielded as an rvalue, copied if not. For
// a reference it gives a pointer, null at the end, which is good until the
// next step.
//
// Two-way: in an AsyncGenerator<Yield, Sent>, `co_yield value` gives a
// std::optional<Sent>: what Send() brought, and nothing after Next().
//
//   greenback::AsyncGenerator<double, double> Average() {
//     double sum = 0, average = 0;
//     for (int n = 1; std::optional<double> next = co_yield average; ++n) {
//       sum += *next;
//       average = sum / n;
//     }
//   }
//
// The end: when the body ends, by itself or by an exception (which comes out of
// the step), everything in the frame is destroyed. From then on, and after it
// was moved from, each step gives the end at once: no value, and no error.
//
// Cleanup: destroying a generator that stands at a co_yield destroys its frame:
// destructors run (and may Await() if the running task has a portal), and no
// other code. When a coroutine that waits in a step is destroyed, so is the
// frame, and the generator is at its end. Close() lets the body finish by
// itself: GeneratorExit is thrown at the co_yield. Without exceptions Close()
// is the same as destruction.
//
//   bool closed = false;
//   try {
//     co_yield value;
//   } catch (const greenback::GeneratorExit&) {
//     closed = true;      // a handler cannot co_await; what follows it can
//   }
//   if (closed) co_await cursor.Close();
//
// Suspends: a step does when what the body awaits does; it adds neither a
// checkpoint nor a trip through the loop.
// Cancellation: reaches what the body awaits.
// Resumed by: whatever completes what the body awaits; in a task, on the task's
// own thread. The body runs in the task of the step: other steps may be taken
// by other tasks.
// Ownership: the frame belongs to the generator. Arguments are kept as the
// body's parameters say: a reference parameter must outlive the generator.
// Errors: an exception comes out of the step. Without exceptions none can
// leave: yield an absl::StatusOr.
#ifndef GREENBACK_UTIL_ASYNC_GENERATOR_H_
#define GREENBACK_UTIL_ASYNC_GENERATOR_H_

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "greenback/host/callee_promise.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback {

template <class Yield, class Sent = void>
class AsyncGenerator;

// Thrown at the co_yield of a generator that is being closed. Not derived from
// std::exception, so that handlers of errors let it pass. Let it out, or return
// soon: a co_yield instead is a std::logic_error, which comes out of Close().
struct GeneratorExit {};

namespace internal {

// What co_yield gives, and how it got there.
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
  void Take() const {}
};

template <class Yield, class Sent>
class GeneratorPromise final : public CalleePromise {
 public:
  using Object = std::remove_reference_t<Yield>;
  // kFresh: has not run. kRunning: a step is under way. kYielded: at a
  // co_yield. kDone: at its end.
  enum class State : uint8_t { kFresh, kRunning, kYielded, kDone };

  AsyncGenerator<Yield, Sent> get_return_object() noexcept;

  class FinalAwaiter {
   public:
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<GeneratorPromise> self) const noexcept {
      self.promise().state_ = State::kDone;
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
      promise_.state_ = State::kYielded;
      return promise_.HandBack();
    }
    auto await_resume() { return promise_.AfterYield(); }

   private:
    GeneratorPromise& promise_;
  };
  // Keeps a copy of what the body goes on to use.
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
  CopyAwaiter yield_value(const Object& value) requires(
      !std::is_reference_v<Yield> && std::is_copy_constructible_v<Object>) {
    return CopyAwaiter(*this, value);
  }

  void return_void() const noexcept {}
  void unhandled_exception() noexcept {
    error_ = std::current_exception();
#if defined(__cpp_exceptions)
    if (!closing_) return;
    try {
      throw;
    } catch (const GeneratorExit&) {
      error_ = nullptr;
    } catch (...) {
    }
#endif
  }

  // For the one who takes a step. What is to happen at the co_yield:
  GeneratorInbox<Sent>& inbox() { return inbox_; }
  void Throw(std::exception_ptr error) { thrown_ = std::move(error); }
  void Close() { closing_ = true; }

  void set_running() { state_ = State::kRunning; }
  // From the beginning of a step until its result has been taken.
  bool in_step() const { return in_step_; }
  void set_in_step(bool in_step) { in_step_ = in_step; }
  State state() const { return state_; }
  // What a step gives is made from this: it may be moved from.
  Object* yielded() const { return yielded_; }
  // Close() has been tried.
  void StopClosing() { closing_ = false; }
  std::exception_ptr TakeError() { return std::exchange(error_, nullptr); }

 private:
  auto AfterYield() {
#if defined(__cpp_exceptions)
    if (closing_) throw GeneratorExit();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
#endif
    return inbox_.Take();
  }

  Object* yielded_ = nullptr;  // at a co_yield
  std::exception_ptr error_;
  std::exception_ptr thrown_;
  [[no_unique_address]] GeneratorInbox<Sent> inbox_;
  State state_ = State::kFresh;
  bool in_step_ = false;
  bool closing_ = false;
};

// A generator is destroyed or moved while a step is under way: says so, and
// aborts.
[[noreturn]] void DieInStep(const char* what);

}  // namespace internal

template <class Yield, class Sent>
class [[nodiscard]] AsyncGenerator {
  static_assert(std::is_object_v<Yield> || std::is_lvalue_reference_v<Yield>,
                "greenback::AsyncGenerator<Yield, Sent>: Yield is an object "
                "type or an lvalue reference");
  static_assert(std::is_void_v<Sent> || std::is_object_v<Sent>,
                "greenback::AsyncGenerator<Yield, Sent>: Sent is void or an "
                "object type; use a pointer for a reference");

 public:
  using promise_type = internal::GeneratorPromise<Yield, Sent>;
  // What a step gives: a value, or nothing at the end.
  using Result = std::conditional_t<std::is_reference_v<Yield>,
                                    std::add_pointer_t<Yield>,  //
                                    std::optional<Yield>>;

  AsyncGenerator(AsyncGenerator&& other) noexcept : handle_(nullptr) {
    *this = std::move(other);
  }
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
    CheckNotInStep("moved");
    other.CheckNotInStep("moved");
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~AsyncGenerator() {
    CheckNotInStep("destroyed");
    Destroy();
  }

  // Whether it has come to its end: each step would give the end at once.
  bool done() const { return handle_ == nullptr; }
  // Whether Close() has something to run: the body stands at a co_yield, and
  // there are exceptions. Where it has not, destruction does as well.
  bool NeedsClose() const {
#if defined(__cpp_exceptions)
    return handle_ && state() == State::kYielded;
#else
    return false;
#endif
  }

  class [[nodiscard]] NextAwaiter;
  class [[nodiscard]] SendAwaiter;
  class [[nodiscard]] ThrowAwaiter;
  class [[nodiscard]] CloseAwaiter;

  // co_await -> Result: goes on to the next co_yield.
  NextAwaiter Next() { return NextAwaiter(*this); }

  // co_await -> Result: the same, and the co_yield where it stands gives
  // `value`. Before the first Next() there is none: an AwaitableError.
  template <class T = Sent>
  requires(!std::is_void_v<Sent> && std::is_convertible_v<T&&, Sent>)  //
      SendAwaiter Send(T&& value) {
    return SendAwaiter(*this, std::forward<T>(value));
  }

#if defined(__cpp_exceptions)
  // co_await -> Result: throws `error` at the co_yield where it stands. The
  // body may let it out, and it comes out here; or catch it, and go on to its
  // end or to another value. Before the first Next() nothing can catch it: the
  // generator is at its end, and `error` comes out. Needs exceptions.
  ThrowAwaiter Throw(std::exception_ptr error) {
    return ThrowAwaiter(*this, std::move(error));
  }
  template <class Error>
  requires(!std::is_convertible_v<Error&&, std::exception_ptr>)  //
      ThrowAwaiter Throw(Error&& error) {
    return Throw(std::make_exception_ptr(std::forward<Error>(error)));
  }
#endif

  // co_await -> nothing: lets the body clean up, and comes to its end; see
  // above. What the body throws instead of GeneratorExit comes out. Before the
  // first Next(), nothing runs.
  CloseAwaiter Close() { return CloseAwaiter(*this); }

 private:
  friend promise_type;
  using Handle = std::coroutine_handle<promise_type>;
  using State = typename promise_type::State;

  class Step;

  explicit AsyncGenerator(Handle handle) : handle_(handle) {}

  State state() const { return handle_.promise().state(); }

  void CheckNotInStep(const char* what) const {
    if (handle_ && handle_.promise().in_step()) [[unlikely]]
      internal::DieInStep(what);
  }
  void Destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

  // After the body has handed back: comes to the end with it. Throws its error.
  void EndIfDone() {
    if (!handle_ || state() != State::kDone) return;
    const std::exception_ptr error = handle_.promise().TakeError();
    Destroy();
    if (error) std::rethrow_exception(error);
  }

  Result TakeResult() {
    EndIfDone();
    if constexpr (std::is_reference_v<Yield>) {
      return handle_ ? handle_.promise().yielded() : nullptr;
    } else {
      if (!handle_) return std::nullopt;
      return Result(std::in_place, std::move(*handle_.promise().yielded()));
    }
  }

  Handle handle_;  // null: at its end
};

// What the awaiters below have in common. They hold the generator, and not its
// frame: through Await(), that hides the generator from the optimiser as well.
template <class Yield, class Sent>
class AsyncGenerator<Yield, Sent>::Step {
 public:
  static constexpr bool kGreenbackHomeAwaiter = true;

 protected:
  explicit Step(AsyncGenerator& generator) : generator_(generator) {}
  Step(const Step&) = default;  // before it is awaited
  // The coroutine that waits for the body is destroyed, and so is the body:
  // nobody would take what it gives. Await() may be left without a result, too.
  ~Step() {
    if (!running_ || generator_.done()) return;
    if (generator_.state() == State::kRunning) {
      generator_.Destroy();
    } else {
      promise().set_in_step(false);
    }
  }

  bool is_at(State state) const noexcept {
    return !generator_.done() && generator_.state() == state;
  }
  bool is_in_step() const noexcept {
    return !generator_.done() && promise().in_step();
  }
  // Whether the body has ended, and no step is about to take how.
  bool has_ended() const noexcept {
    return generator_.done() || (is_at(State::kDone) && !is_in_step());
  }
  // Before a step: that there is no other, and has been none.
  void Begin() {
    if (is_in_step()) [[unlikely]] {
      context::ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: a step was begun while another one is "
          "under way; await one before the next, and let tasks take turns"));
    }
    if (std::exchange(begun_, true)) [[unlikely]] {
      context::ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: a step was awaited twice; call Next(), "
          "Send(), Throw() or Close() for each step"));
    }
  }
  template <class Promise>
  auto Run(std::coroutine_handle<Promise> caller) {
    running_ = true;
    promise().set_in_step(true);
    promise().set_running();
    return internal::RunCallee(generator_.handle_, caller);
  }
  // The body has handed back, if it has run.
  void End() {
    if (std::exchange(running_, false)) promise().set_in_step(false);
  }
  promise_type& promise() const { return generator_.handle_.promise(); }

  AsyncGenerator& generator_;

 private:
  bool begun_ = false;
  bool running_ = false;
};

template <class Yield, class Sent>
class AsyncGenerator<Yield, Sent>::NextAwaiter : public Step {
 public:
  explicit NextAwaiter(AsyncGenerator& generator) : Step(generator) {}

  bool await_ready() const noexcept {
    return this->has_ended();
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    return this->Run(caller);
  }
  Result await_resume() {
    this->End();
    return this->generator_.TakeResult();
  }
};

template <class Yield, class Sent>
class AsyncGenerator<Yield, Sent>::SendAwaiter : public Step {
 public:
  template <class T>
  SendAwaiter(AsyncGenerator& generator, T&& value)
      : Step(generator), value_(std::forward<T>(value)) {}

  bool await_ready() const noexcept {
    return this->has_ended();
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    if (this->is_at(State::kFresh)) [[unlikely]] {
      context::ThrowOrDie(AwaitableError(
          "greenback::AsyncGenerator: Send() before the first Next(): no "
          "co_yield waits for the value yet"));
    }
    this->Begin();
    this->promise().inbox().Put(std::move(value_));
    return this->Run(caller);
  }
  Result await_resume() {
    this->End();
    return this->generator_.TakeResult();
  }

 private:
  Sent value_;
};

#if defined(__cpp_exceptions)
template <class Yield, class Sent>
class AsyncGenerator<Yield, Sent>::ThrowAwaiter : public Step {
 public:
  ThrowAwaiter(AsyncGenerator& generator, std::exception_ptr error)
      : Step(generator), error_(std::move(error)) {}

  bool await_ready() const noexcept {
    return this->has_ended() || this->is_at(State::kFresh);
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    this->promise().Throw(std::move(error_));
    return this->Run(caller);
  }
  Result await_resume() {
    this->End();
    if (this->is_at(State::kFresh)) {
      this->generator_.Destroy();
      std::rethrow_exception(std::move(error_));
    }
    return this->generator_.TakeResult();
  }

 private:
  std::exception_ptr error_;
};
#endif

template <class Yield, class Sent>
class AsyncGenerator<Yield, Sent>::CloseAwaiter : public Step {
 public:
  explicit CloseAwaiter(AsyncGenerator& generator) : Step(generator) {}

  bool await_ready() const noexcept {
    return !this->is_in_step() && !this->generator_.NeedsClose();
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> caller) {
    this->Begin();
    this->promise().Close();
    ran_ = true;
    return this->Run(caller);
  }
  void await_resume() {
    this->End();
    if (!ran_) return this->generator_.Destroy();
    this->generator_.EndIfDone();
    if (this->generator_.done()) return;
    this->promise().StopClosing();
    context::ThrowOrDie(std::logic_error(
        "greenback::AsyncGenerator: the body went on to a co_yield while it "
        "was closed; let GeneratorExit pass, or return after it"));
  }

 private:
  bool ran_ = false;
};

namespace internal {

template <class Yield, class Sent>
AsyncGenerator<Yield, Sent>
GeneratorPromise<Yield, Sent>::get_return_object() noexcept {
  return AsyncGenerator<Yield, Sent>(
      std::coroutine_handle<GeneratorPromise>::from_promise(*this));
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_GENERATOR_H_
