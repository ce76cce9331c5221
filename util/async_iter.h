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
// The async iterator of `iterable` comes from the first of these that applies:
//  - a specialisation of AsyncIterableAdapter (below) for its type;
//  - `iterable` itself, if it is an async iterator: `co_await iterable.Next()`
//    returns a std::optional, a pointer or the like, which converts to true
//    while there is a value and has that as its `*`. An AsyncGenerator is one;
//  - a member GetAsyncIterator(), or a function of that name in its namespace.
// An rvalue is moved in and owned; an lvalue is referred to.
//
// One pass: a loop continues where an earlier one was left. A value is awaited
// when it is asked for and no sooner: views::take(10) straight over an
// AsyncIter does not touch the eleventh (a filter does look ahead). `*it` is an
// lvalue, valid until the next step; move from it to keep the value. Iterators
// point to the AsyncIter: do not move it after begin().
//
// Next() takes a step by hand, and over a generator so do Send() and Throw(). A
// loop then continues with the value after it. Past the end there are no more
// values, and no errors.
//
// Cleanup: Close() awaits the iterator's Close(), if it has one. The destructor
// does so too, for an iterator that it owns, if the loop was left before the
// end; an iterator that is referred to stays as it is, and can be continued.
// The destructor cannot throw. If something fails in it (the cleanup fails, or
// the task has no portal any more), it prints one line to stderr, the
// generator's frame is destroyed, and an exception that is in flight continues.
// Call Close() to receive the error.
//
// Suspends: each step is an Await(), and so is the destruction of a loop that
// was left early. begin() is none; the first comparison with end() is.
// Cancellation: reaches the iterator as if it were awaited in a coroutine.
// Threads: those of the task.
// Errors: those of the iterator propagate unchanged; those of Await().
#ifndef GREENBACK_UTIL_ASYNC_ITER_H_
#define GREENBACK_UTIL_ASYNC_ITER_H_

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "util/internal/async_iterator.h"
#include "util/internal/iteration.h"

namespace greenback {

// Specialise this for a foreign type (unqualified), with a static function
// Adapt that takes an lvalue reference to it and returns an async iterator, by
// value or by reference:
//
//   template <>
//   struct greenback::AsyncIterableAdapter<other::Listing> {
//     static ListingReader Adapt(other::Listing& listing) {
//       return ListingReader(listing);
//     }
//   };
template <class T>
struct AsyncIterableAdapter;

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
  using Iteration = internal::Iteration<T>;
  using Stepper = typename Iteration::Stepper;  // the async iterator

 public:
  // What Next() returns: a value, or nothing at the end.
  using Result = typename Iteration::Result;

  class iterator;

  explicit AsyncIter(T&& iterable) : iteration_(iterable) {}

  // Begins with the next value, where an earlier loop was left.
  iterator begin() {
    iteration_.Begin();
    return iterator(iteration_);
  }
  std::default_sentinel_t end() const { return {}; }

  // Takes a step by hand.
  Result Next() {
    return iteration_.StepByHand(
        [](Stepper& stepper) { return Await(stepper.Next()); });
  }
  // The same, and passes `value` to the generator: see AsyncGenerator::Send().
  template <class Value>
    requires internal::CanSend<Stepper, Value>  //
  Result Send(Value&& value) {
    return iteration_.StepByHand([&value](Stepper& stepper) {
      return Await(stepper.Send(std::forward<Value>(value)));
    });
  }
  // See AsyncGenerator::Throw(). `error`: an exception, or a
  // std::exception_ptr.
  template <class Error>
    requires internal::CanThrow<Stepper, Error>  //
  Result Throw(Error&& error) {
    return iteration_.StepByHand([&error](Stepper& stepper) {
      return Await(stepper.Throw(std::forward<Error>(error)));
    });
  }
  // Lets the iterator clean up, and brings it to its end. Returns what its own
  // Close() returns.
  decltype(auto) Close()
    requires internal::CanClose<Stepper>
  {
    return iteration_.Close();
  }

 private:
  Iteration iteration_;
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
  reference operator*() const { return *iteration_->Read(); }
  iterator& operator++() {
    iteration_->Advance();
    return *this;
  }
  void operator++(int) { ++*this; }

  bool operator==(std::default_sentinel_t) const {
    return !iteration_->HasValue();
  }

 private:
  friend class AsyncIter;
  explicit iterator(Iteration& iteration) : iteration_(&iteration) {}

  Iteration* iteration_ = nullptr;
};

// Refuses every other type, in one sentence.
template <class T>
  requires(!AsyncIterable<T>)  //
class [[nodiscard]] AsyncIter<T> {
  static_assert(AsyncIterable<T>,
                "greenback::AsyncIter(iterable): this type is not an async "
                "iterable: it has no Next() whose awaited result is "
                "optional-like, no GetAsyncIterator() that returns such an "
                "iterator, and no greenback::AsyncIterableAdapter");

 public:
  explicit AsyncIter(T&&) {}
  internal::NotAwaitable<T>* begin() const { return nullptr; }
  internal::NotAwaitable<T>* end() const { return nullptr; }
};

}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_ITER_H_
