// GeneratorFrame: owns the coroutine frame of an AsyncGenerator. Internal to
// util/async_generator.h.
#ifndef GREENBACK_UTIL_INTERNAL_GENERATOR_FRAME_H_
#define GREENBACK_UTIL_INTERNAL_GENERATOR_FRAME_H_

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "util/internal/generator_promise.h"

namespace greenback::internal {

// Prints that a generator is "destroyed" or "moved" while a step is under way,
// and aborts.
[[noreturn]] void DieInStep(const char* what);

// What a step returns: a value, or nothing at the end.
template <class Yield>
using GeneratorResult = std::conditional_t<std::is_reference_v<Yield>,
                                           std::add_pointer_t<Yield>,  //
                                           std::optional<Yield>>;

template <class Yield, class Sent>
class GeneratorFrame {
 public:
  using Promise = GeneratorPromise<Yield, Sent>;
  using State = typename Promise::State;
  using Handle = std::coroutine_handle<Promise>;
  using Result = GeneratorResult<Yield>;

  explicit GeneratorFrame(Handle handle) : handle_(handle) {}
  GeneratorFrame(GeneratorFrame&& other) noexcept { *this = std::move(other); }
  GeneratorFrame& operator=(GeneratorFrame&& other) noexcept {
    CheckNotInStep("moved");
    other.CheckNotInStep("moved");
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~GeneratorFrame() {
    CheckNotInStep("destroyed");
    Destroy();
  }

  // Whether the generator is at its end: the frame has been destroyed.
  bool done() const { return handle_ == nullptr; }
  bool is_at(State state) const noexcept {
    return handle_ && promise().state() == state;
  }
  bool is_in_step() const noexcept { return handle_ && promise().in_step(); }
  bool NeedsClose() const {
#if defined(__cpp_exceptions)
    return is_at(State::kYielded);
#else
    return false;
#endif
  }

  // Not while done().
  Handle handle() const { return handle_; }
  Promise& promise() const { return handle_.promise(); }

  void Destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

  // After the body has handed back. If it has ended, destroys the frame and
  // rethrows the exception that it ended by, if any.
  void EndIfDone() {
    if (!is_at(State::kDone)) return;
    const std::exception_ptr error = promise().TakeError();
    Destroy();
    if (error) std::rethrow_exception(error);
  }

  Result TakeResult() {
    EndIfDone();
    if constexpr (std::is_reference_v<Yield>) {
      return handle_ ? promise().yielded() : nullptr;
    } else {
      if (!handle_) return std::nullopt;
      return Result(std::in_place, std::move(*promise().yielded()));
    }
  }

 private:
  void CheckNotInStep(const char* what) const {
    if (is_in_step()) [[unlikely]]
      DieInStep(what);
  }

  Handle handle_;  // null at the end
};

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_GENERATOR_FRAME_H_
