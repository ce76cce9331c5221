// Iteration: what an AsyncIter keeps and does. Internal to util/async_iter.h.
#ifndef GREENBACK_UTIL_INTERNAL_ITERATION_H_
#define GREENBACK_UTIL_INTERNAL_ITERATION_H_

#include <cassert>
#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/internal/exceptions.h"
#include "util/internal/async_iterator.h"

namespace greenback::internal {

// Prints one line on stderr: in a destructor, closing the iterator failed.
void ReportUnclosed(const char* what);
// The same, for the exception that is being handled.
void ReportUnclosedByException();

// T: the iterable, or an lvalue reference to it.
template <class T>
class Iteration {
  using Iterable = std::remove_reference_t<T>;
  using Made = AsyncIteratorType<T>;
  static constexpr bool kOwnsIterable = !std::is_reference_v<T>;
  static constexpr bool kIsIterator = std::same_as<Made, Iterable&>;
  static constexpr bool kOwnsIterator =
      kIsIterator ? kOwnsIterable : !std::is_reference_v<Made>;

 public:
  // The async iterator: the iterable itself, or another object.
  using Stepper = std::remove_reference_t<Made>;
  // What a step returns: a value, or nothing at the end.
  using Result = std::remove_cvref_t<
      AwaitResult<decltype(std::declval<Stepper&>().Next())>>;

  explicit Iteration(Iterable& iterable) : iterable_(Keep(iterable)) {}
  Iteration(Iteration&& other) noexcept
      : iterable_(std::move(other.iterable_)),
        iterator_(std::move(other.iterator_)),
        current_(std::move(other.current_)),
        position_(std::exchange(other.position_, Position::kEnded)) {}
  Iteration& operator=(Iteration&& other) noexcept {
    if (this != &other) {
      this->~Iteration();
      ::new (static_cast<void*>(this)) Iteration(std::move(other));
    }
    return *this;
  }
  ~Iteration() {
    if constexpr (kOwnsIterator) CloseQuietly();
  }

  // Begins a loop: past the value at which an earlier one was left, if that one
  // has read it.
  void Begin() {
    if (position_ == Position::kRead || position_ == Position::kStepped) {
      Advance();
    }
  }
  // Whether there is a value at this position. Awaits it if that has not been
  // done yet.
  bool HasValue() {
    if (position_ == Position::kAhead || position_ == Position::kStepped) {
      AwaitValue();
    }
    return position_ != Position::kEnded;
  }
  // The value at this position. Awaits it if that has not been done yet.
  auto& Read() {
    [[maybe_unused]] const bool has_value = HasValue();
    assert(has_value);
    position_ = Position::kRead;
    return *current_;
  }
  // Moves to the position of the next value, and does not await that.
  void Advance() {
    // A value that has not been asked for is skipped.
    if (position_ == Position::kAhead) AwaitValue();
    if (position_ != Position::kEnded) position_ = Position::kAhead;
  }

  // step(stepper()) returns the next value by hand, not through a position.
  template <class Step>
  Result StepByHand(Step step) {
    if constexpr (std::default_initializable<Result>) {
      if (position_ == Position::kEnded) return Result();
    }
    current_.reset();
    if (position_ != Position::kEnded) position_ = Position::kStepped;
    Result result = step(stepper());
    position_ =
        static_cast<bool>(result) ? Position::kStepped : Position::kEnded;
    return result;
  }
  decltype(auto) Close() {
    Stepper& closing = stepper();
    current_.reset();
    position_ = Position::kEnded;
    return Await(closing.Close());
  }

 private:
  // Where the loops and their C++ iterators are.
  //
  //             the value here is            HasValue()          Advance()
  // kAhead      not awaited yet              kUnread or kEnded   awaits, skips
  // kUnread     awaited, in current_         true                kAhead
  // kRead       the same, and a loop         true                kAhead
  //             has read it
  // kStepped    not awaited yet; the one     kUnread or kEnded   kAhead
  //             before was taken by hand
  // kEnded      missing: there are no more   false               kEnded
  enum class Position : uint8_t { kAhead, kUnread, kRead, kStepped, kEnded };

  // Instead of a reference, a pointer is kept: an AsyncIter can be assigned.
  struct Nothing {};
  using Kept = std::conditional_t<kOwnsIterable, Iterable, Iterable*>;
  using KeptIterator =
      std::conditional_t<kIsIterator, Nothing,
                         std::optional<std::conditional_t<
                             std::is_reference_v<Made>, Stepper*, Stepper>>>;

  static Kept Keep(Iterable& iterable) {
    if constexpr (kOwnsIterable) {
      return std::move(iterable);
    } else {
      return std::addressof(iterable);
    }
  }

  Iterable& iterable() {
    if constexpr (kOwnsIterable) {
      return iterable_;
    } else {
      return *iterable_;
    }
  }
  Stepper& stepper() {
    // For a generator that is created, iterated over and destroyed in one
    // function; see docs/principle.md.
    LetEscape(*this);
    if constexpr (kIsIterator) {
      return iterable();
    } else if constexpr (std::is_reference_v<Made>) {
      if (!iterator_) {
        iterator_ = std::addressof(AsyncIteratorOf(iterable()));
      }
      return **iterator_;
    } else {
      if (!iterator_) {
        iterator_.emplace(Elide{iterable()});
      }
      return *iterator_;
    }
  }
  // Constructs an iterator that cannot be moved where it stays.
  struct Elide {
    Iterable& iterable;
    // Implicit, so that emplace() makes the iterator from it, in its place.
    // NOLINTNEXTLINE(google-explicit-constructor)
    operator Stepper() const { return AsyncIteratorOf(iterable); }
  };

  void AwaitValue() {
    assert(position_ == Position::kAhead || position_ == Position::kStepped);
    current_.reset();
    current_.emplace(Await(stepper().Next()));
    position_ =
        static_cast<bool>(*current_) ? Position::kUnread : Position::kEnded;
  }

  void CloseQuietly() noexcept {
    if constexpr (CanClose<Stepper>) {
      if (position_ == Position::kEnded) return;
      if constexpr (!kIsIterator) {
        if (!iterator_) return;
      }
      if constexpr (SaysNeedsClose<Stepper>) {
        if (!stepper().NeedsClose()) return;
      }
      GREENBACK_TRY {
        const auto closed = TryAwait(stepper().Close());
        if constexpr (std::same_as<decltype(closed), const absl::Status>) {
          if (!closed.ok()) ReportUnclosed(closed.ToString().c_str());
        } else if (!closed.ok()) {
          ReportUnclosed(closed.status().ToString().c_str());
        }
      }
      GREENBACK_CATCH_ALL { ReportUnclosedByException(); }
    }
  }

  Kept iterable_;
  [[no_unique_address]] KeptIterator iterator_;
  std::optional<Result> current_;
  Position position_ = Position::kAhead;
};

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_ITERATION_H_
