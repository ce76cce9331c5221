// Outcome<T>: how a function ended: with a value, with an exception, or not
// yet.
//
//   Outcome<int> outcome;
//   outcome.Run([] { return Compute(); });  // keeps the int or the exception
//   ...
//   int value = outcome.Take();             // returns it or rethrows it
//
// T may be void, a reference, or a type that cannot be moved: the value is made
// in its place. Without exceptions there are values only.
//
// Threads: none of its own. The completer sets it, and whatever notifies the
// waiter orders that before the waiter's Take().
#ifndef GREENBACK_INTERNAL_OUTCOME_H_
#define GREENBACK_INTERNAL_OUTCOME_H_

#include <cassert>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "greenback/internal/exceptions.h"

namespace greenback::internal {

template <class T>
class Outcome {
 public:
  Outcome() {}
  Outcome(const Outcome&) = delete;
  Outcome& operator=(const Outcome&) = delete;
  // Inlined: the frame of every Co is destroyed with one.
  __attribute__((always_inline)) ~Outcome() { Clear(); }

  // Calls fn() and keeps what it returns or throws.
  template <class Fn>
  void Run(Fn&& fn) {
    GREENBACK_TRY { SetValue(std::forward<Fn>(fn)); }
    GREENBACK_CATCH_ALL { SetCurrentException(); }
  }

  // Calls make(), which has side effects alone if T is void, and keeps what it
  // returns. If it throws, nothing is set.
  template <class Make>
  void SetValue(Make&& make) {
    assert(!is_set());
    if constexpr (std::is_void_v<T>) {
      std::forward<Make>(make)();
    } else if constexpr (std::is_reference_v<T>) {
      T made = std::forward<Make>(make)();
      stored_ = std::addressof(made);
    } else {
      ::new (static_cast<void*>(std::addressof(stored_)))
          T(std::forward<Make>(make)());
    }
    state_ = State::kValue;
  }
  // For an Outcome<void>.
  void SetValue()
    requires std::is_void_v<T>
  {
    assert(!is_set());
    state_ = State::kValue;
  }

  // Replaces a value, if there is one: a function may throw after its return
  // statement, from a destructor.
  void SetError(std::exception_ptr error) noexcept {
    assert(error != nullptr && !has_error());
    Clear();
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(error));
    state_ = State::kError;
  }
  // For a handler of exceptions.
  void SetCurrentException() noexcept { SetError(std::current_exception()); }

  bool is_set() const { return state_ != State::kNothing; }
  bool has_value() const { return state_ == State::kValue; }
  bool has_error() const { return state_ == State::kError; }

  // Returns the value, moved from its place, or rethrows the exception and
  // keeps no reference to it. Once, after it is set. What is left of a value is
  // destroyed with the Outcome.
  T Take() {
    if (has_error()) [[unlikely]]
      std::rethrow_exception(std::exchange(error_, nullptr));
    assert(has_value());
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*stored_);
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(stored_);
    }
  }

  // The exception, and nothing is set any more; null: there is none.
  std::exception_ptr TakeError() noexcept {
    if (!has_error()) return nullptr;
    std::exception_ptr error = std::exchange(error_, nullptr);
    Clear();
    return error;
  }

  // Destroys what is kept: nothing is set afterwards.
  __attribute__((always_inline)) void Clear() {
    if (has_error()) [[unlikely]] {
      error_.~exception_ptr();
    } else if (has_value()) {
      stored_.~Stored();
    }
    state_ = State::kNothing;
  }

 private:
  enum class State : uint8_t { kNothing, kValue, kError };

  struct Nothing {};
  using Stored =
      std::conditional_t<std::is_void_v<T>, Nothing,
                         std::conditional_t<std::is_reference_v<T>,
                                            std::remove_reference_t<T>*, T>>;

  union {
    Stored stored_;
    std::exception_ptr error_;
  };
  State state_ = State::kNothing;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_OUTCOME_H_
