// AsyncIter(iterable): iterates over something asynchronous in a plain,
// synchronous function, through the running task's portal.
//
//   int CountLong(Database& db) {
//     int count = 0;
//     for (const Row& row : greenback::AsyncIter(Rows(db, "SELECT ..."))) {
//       if (row.size() > 80) ++count;
//     }
//     return count;
//   }
//
// It is an input range, for range-for, algorithms and views:
//
//   for (const Row& row : greenback::AsyncIter(Rows(db, query)) |
//                             std::views::filter(IsOpen) |
//                             std::views::take(10)) ...
//
// Use it where a function cannot be a coroutine; in a coroutine, await Next().
//
// What it iterates over, `iterable`, is the first of:
//  - a type with a specialisation of AsyncIterableAdapter (below);
//  - an async iterator: `co_await iterable.Next()` gives something that is true
//    while there is a value, and that `*` gives: a std::optional, a pointer. An
//    AsyncGenerator is one;
//  - something with a member GetAsyncIterator(), or a function of that name in
//    its namespace, that gives an async iterator.
// An rvalue is moved in and owned; an lvalue is referred to.
//
// One pass: the values are those of the iterator, wherever the loop was left. A
// value is awaited when it is asked for and no sooner: views::take(10) straight
// over it does not touch the eleventh (a filter does look ahead). `*it` is an
// lvalue, good until the next step; move from it to keep it. Iterators point to
// the AsyncIter: do not move it once it is begun.
//
// Over a generator there are also Next(), Send(), Throw() and Close(): each
// takes a step, and a loop goes on with the value after it. Past the end there
// are no more values, and no errors.
//
// Cleanup: Close() awaits the iterator's Close(), if it has one; so does the
// destructor, for an iterator that it owns, if the loop was left before the
// end. A referenced one stays as it is, to go on with. The destructor cannot
// throw, so what goes wrong in it (cleanup that fails, no portal any more) is
// one line on stderr, the generator's frame is destroyed, and an exception that
// is on its way goes on. Call Close() to be told.
//
// Suspends: each step is an Await(), and so is the destruction of a loop that
// was left early. begin() is none; the first comparison with end() is.
// Cancellation: reaches the iterator as if it was awaited natively.
// Threads: those of the task.
// Errors: those of the iterator pass through; those of Await().
#ifndef GREENBACK_UTIL_ASYNC_ITER_H_
#define GREENBACK_UTIL_ASYNC_ITER_H_

#include <cassert>
#include <concepts>
#include <cstddef>
#include <iterator>
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

namespace greenback {

// Specialise for a foreign type (unqualified), with a static function Adapt
// that takes it by lvalue reference and gives an async iterator, by value or by
// reference:
//
//   template <>
//   struct greenback::AsyncIterableAdapter<other::Listing> {
//     static ListingReader Adapt(other::Listing& listing) {
//       return ListingReader(listing);
//     }
//   };
template <class T>
struct AsyncIterableAdapter;

namespace internal {

template <class T>
concept OptionalLike = requires(T& value) {
  static_cast<bool>(value);
  *value;
};

template <class T>
concept AsyncIterator = requires(T& iterator) {
  { iterator.Next() } -> Awaitable;
  requires OptionalLike<AwaitResult<decltype(iterator.Next())>>;
};

template <class T>
concept HasIterableAdapter = requires(T& iterable) {
  AsyncIterableAdapter<T>::Adapt(iterable);
};
template <class T>
concept HasMemberGetAsyncIterator = requires(T& iterable) {
  iterable.GetAsyncIterator();
};
template <class T>
concept HasFreeGetAsyncIterator = requires(T& iterable) {
  GetAsyncIterator(iterable);
};

// The iterator of an iterable: a value, or a reference. What is no iterable
// comes back as it is.
template <class T>
decltype(auto) AsyncIteratorOf(T& iterable) {
  using Iterable = std::remove_const_t<T>;
  if constexpr (HasIterableAdapter<Iterable>) {
    return AsyncIterableAdapter<Iterable>::Adapt(iterable);
  } else if constexpr (AsyncIterator<T>) {
    return (iterable);
  } else if constexpr (HasMemberGetAsyncIterator<T>) {
    return iterable.GetAsyncIterator();
  } else if constexpr (HasFreeGetAsyncIterator<T>) {
    return GetAsyncIterator(iterable);
  } else {
    return (iterable);
  }
}

template <class T>
using AsyncIteratorType = decltype(AsyncIteratorOf(std::declval<T&>()));

template <class T, class Value>
concept CanSend = requires(T& iterator, Value&& value) {
  iterator.Send(std::forward<Value>(value));
};
template <class T, class Error>
concept CanThrow = requires(T& iterator, Error&& error) {
  iterator.Throw(std::forward<Error>(error));
};
template <class T>
concept CanClose = requires(T& iterator) {
  { iterator.Close() } -> Awaitable;
};
// Whether Close() has anything to do.
template <class T>
concept SaysNeedsClose = requires(T& iterator) {
  { iterator.NeedsClose() } -> std::convertible_to<bool>;
};

// One line on stderr: closing what was iterated over failed, in a destructor.
void ReportUnclosed(const char* what);
// The same for the exception that is being handled.
void ReportUnclosedByException();

}  // namespace internal

// What AsyncIter() accepts. T may be a reference.
template <class T>
concept AsyncIterable = internal::AsyncIterator<internal::AsyncIteratorType<T>>;

// T: the iterable, or an lvalue reference to it.
template <class T>
class [[nodiscard]] AsyncIter;

template <class T>
AsyncIter(T&&) -> AsyncIter<T>;

template <AsyncIterable T>
class [[nodiscard]] AsyncIter<T> {
  // The iterable, its iterator if that is another object, and what steps give.
  using Iterable = std::remove_reference_t<T>;
  using Made = internal::AsyncIteratorType<T>;
  using Stepper = std::remove_reference_t<Made>;
  static constexpr bool kOwnsIterable = !std::is_reference_v<T>;
  static constexpr bool kIsIterator = std::same_as<Made, Iterable&>;
  static constexpr bool kOwnsIterator =
      kIsIterator ? kOwnsIterable : !std::is_reference_v<Made>;

 public:
  // What Next() gives: a value, or nothing at the end.
  using Result = std::remove_cvref_t<
      AwaitResult<decltype(std::declval<Stepper&>().Next())>>;

  class iterator;

  explicit AsyncIter(T&& iterable) : iterable_(Keep(iterable)) {}
  AsyncIter(AsyncIter&& other) noexcept
      : iterable_(std::move(other.iterable_)),
        iterator_(std::move(other.iterator_)),
        current_(std::move(other.current_)),
        wanted_(other.wanted_),
        seen_(other.seen_),
        ended_(std::exchange(other.ended_, true)) {}
  AsyncIter& operator=(AsyncIter&& other) noexcept {
    if (this != &other) {
      this->~AsyncIter();
      ::new (static_cast<void*>(this)) AsyncIter(std::move(other));
    }
    return *this;
  }
  ~AsyncIter() {
    if constexpr (kOwnsIterator) CloseQuietly();
  }

  // From the value that comes next, where an earlier loop was left.
  iterator begin() {
    if (seen_) Advance();
    return iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

  // Takes a step by hand.
  Result Next() {
    return StepByHand([](Stepper& stepper) { return Await(stepper.Next()); });
  }
  // The same, with something for the generator: see AsyncGenerator.
  template <class Value>
  requires internal::CanSend<Stepper, Value>  //
      Result Send(Value&& value) {
    return StepByHand([&value](Stepper& stepper) {
      return Await(stepper.Send(std::forward<Value>(value)));
    });
  }
  // `error`: an exception, or a std::exception_ptr.
  template <class Error>
  requires internal::CanThrow<Stepper, Error>  //
      Result Throw(Error&& error) {
    return StepByHand([&error](Stepper& stepper) {
      return Await(stepper.Throw(std::forward<Error>(error)));
    });
  }
  // Lets the iterator clean up; it is at its end. Gives what its Close() gives.
  decltype(auto) Close() requires internal::CanClose<Stepper> {
    Stepper& closing = stepper();
    current_.reset();
    ended_ = true;
    return Await(closing.Close());
  }

 private:
  // In place of a reference, a pointer: an AsyncIter can be assigned.
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
    // A generator that is created, iterated over and destroyed in one function;
    // see docs/principle.md.
    internal::LetEscape(*this);
    if constexpr (kIsIterator) {
      return iterable();
    } else if constexpr (std::is_reference_v<Made>) {
      if (!iterator_) {
        iterator_ = std::addressof(internal::AsyncIteratorOf(iterable()));
      }
      return **iterator_;
    } else {
      if (!iterator_) {
        iterator_.emplace(Elide{iterable()});
      }
      return *iterator_;
    }
  }
  // An iterator that cannot be moved is made where it stays.
  struct Elide {
    Iterable& iterable;
    operator Stepper() const { return internal::AsyncIteratorOf(iterable); }
  };

  template <class Step>
  Result StepByHand(Step step) {
    if constexpr (std::default_initializable<Result>) {
      if (ended_) return Result();
    }
    current_.reset();
    wanted_ = seen_ = true;
    Result result = step(stepper());
    ended_ = !static_cast<bool>(result);
    return result;
  }

  // For iterators: whether there is a value. Awaits it if that is needed.
  bool HasValue() {
    if (wanted_) {
      current_.reset();
      if (!ended_) {
        current_.emplace(Await(stepper().Next()));
        ended_ = !static_cast<bool>(*current_);
      }
      wanted_ = false;
      seen_ = false;
    }
    return current_ && static_cast<bool>(*current_);
  }
  void Advance() {
    // Past a value that nobody has asked for.
    if (wanted_ && !seen_) (void)HasValue();
    wanted_ = true;
    seen_ = false;
  }

  void CloseQuietly() noexcept {
    if constexpr (internal::CanClose<Stepper>) {
      if (ended_) return;
      if constexpr (!kIsIterator) {
        if (!iterator_) return;
      }
      if constexpr (internal::SaysNeedsClose<Stepper>) {
        if (!stepper().NeedsClose()) return;
      }
      GREENBACK_TRY {
        const auto closed = TryAwait(stepper().Close());
        if constexpr (std::same_as<decltype(closed), const absl::Status>) {
          if (!closed.ok()) {
            internal::ReportUnclosed(closed.ToString().c_str());
          }
        } else if (!closed.ok()) {
          internal::ReportUnclosed(closed.status().ToString().c_str());
        }
      }
      GREENBACK_CATCH_ALL { internal::ReportUnclosedByException(); }
    }
  }

  Kept iterable_;
  [[no_unique_address]] KeptIterator iterator_;
  std::optional<Result> current_;
  // Where the iterators are: at current_, or, when `wanted_`, at what the next
  // step will give. `seen_`: a loop has had what is there (or, when `wanted_`,
  // what was there before a step by hand) and goes on from it.
  bool wanted_ = true;
  bool seen_ = false;
  bool ended_ = false;  // there is no value any more
};

template <AsyncIterable T>
class AsyncIter<T>::iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using difference_type = std::ptrdiff_t;
  using reference = decltype(*std::declval<Result&>());
  using value_type = std::remove_cvref_t<reference>;

  iterator() = default;

  // Awaits the value if it has not been awaited yet.
  reference operator*() const {
    [[maybe_unused]] const bool has_value = range_->HasValue();
    assert(has_value);
    range_->seen_ = true;
    return **range_->current_;
  }
  iterator& operator++() {
    range_->Advance();
    return *this;
  }
  void operator++(int) { ++*this; }

  bool operator==(std::default_sentinel_t) const { return !range_->HasValue(); }

 private:
  friend class AsyncIter;
  explicit iterator(AsyncIter& range) : range_(&range) {}

  AsyncIter* range_ = nullptr;
};

// Refuses everything else, in one sentence.
template <class T>
requires(!AsyncIterable<T>)  //
    class [[nodiscard]] AsyncIter<T> {
  static_assert(AsyncIterable<T>,
                "greenback::AsyncIter(iterable): this type is not an async "
                "iterable: it has no Next() whose awaited result is "
                "optional-like, no GetAsyncIterator() that gives such an "
                "iterator, and no greenback::AsyncIterableAdapter");

 public:
  explicit AsyncIter(T&&) {}
  internal::NotAwaitable<T>* begin() const { return nullptr; }
  internal::NotAwaitable<T>* end() const { return nullptr; }
};

}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_ITER_H_
