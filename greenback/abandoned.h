// Abandoned: the exception that Await() throws when the task's host has been
// destroyed, so that nothing can wake the task any more.
//
// Structured tasks end before their host does. But a host that is not
// greenback's can be destroyed first: an io_context, while one of its
// coroutines waits in synchronous code, or a coroutine of another library,
// while its WithPortalRunSync() waits. Then the waiting frames are resumed once
// more, to be unwound: Await() throws Abandoned, every destructor on the way
// runs, and the destructor of the host waits for them.
//
// It is not a std::exception, so that code which handles errors does not take
// it for one. Do not catch it; in a `catch (...)`, rethrow. If it is swallowed
// all the same, the next Await() throws it again, and the result that the
// frames finally return is discarded. A destructor that awaits while the frames
// are unwound cannot throw a second exception. There Await() returns at once if
// its result is void or can express abandonment: kCancelled where it can carry
// a status, and otherwise its AbandonedValue.
//
// C frames must not be unwound: code that they run after the call, such as
// unlocking a mutex, would be skipped. So a callback that a C library calls
// awaits with TryAwait(), which never throws Abandoned; it returns kCancelled
// instead, at once from then on. The callback returns an error to the library
// in the library's own way, and the frames end by returning:
//
//   // A function that SQLite calls.
//   void Fetch(sqlite3_context* context, int, sqlite3_value** arguments) {
//     absl::StatusOr<int> row = greenback::TryAwait(Ask(arguments[0]));
//     if (!row.ok()) {
//       std::string message(row.status().message());
//       return sqlite3_result_error(context, message.c_str(), -1);
//     }
//     sqlite3_result_int(context, *row);
//   }
//
// TryAwait() returns misuse and exhaustion in the same way. Exceptions of the
// awaitable itself have to be caught in the callback. A library that continues
// after an error of its callback has to be stopped in its own way
// (sqlite3_interrupt()). The C++ frames around the C library continue, after it
// has returned, until their next Await() throws.
//
// If a frame on the way is noexcept, the process ends with a message that names
// the task. Without exceptions Await() returns the values above where the
// result has one, and otherwise ends the process with that message.
#ifndef GREENBACK_ABANDONED_H_
#define GREENBACK_ABANDONED_H_

#include <concepts>
#include <exception>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/status/status.h"

namespace greenback {

// Thrown by Await(), as described above.
class Abandoned final {};

// The value that an Await() that cannot throw Abandoned returns in place of a
// Result. Specialise it, with a static function Make() -> Result, for an error
// type of your own. It is defined for std::error_code (operation_canceled),
// std::exception_ptr (an Abandoned), types like std::expected whose error_type
// has a value, and a std::tuple or std::pair with an element that has one, if
// each of the others has a value or a default constructor. asio/operation.h
// specialises it for boost::system::error_code (operation_aborted).
template <class Result>
struct AbandonedValue {};

// Whether AbandonedValue is specialised for a Result.
template <class Result>
concept HasAbandonedValue = requires {
  { AbandonedValue<Result>::Make() } -> std::convertible_to<Result>;
};

namespace internal {

// kCancelled, with a text that says why.
absl::Status AbandonedStatus();

template <class Element>
concept CanBeInAbandonedValue =
    HasAbandonedValue<Element> || std::default_initializable<Element>;
template <CanBeInAbandonedValue Element>
Element AbandonedElement() {
  if constexpr (HasAbandonedValue<Element>) {
    return AbandonedValue<Element>::Make();
  } else {
    return Element();
  }
}

}  // namespace internal

template <>
struct AbandonedValue<absl::Status> {
  static absl::Status Make() { return internal::AbandonedStatus(); }
};

template <>
struct AbandonedValue<std::error_code> {
  static std::error_code Make() {
    return std::make_error_code(std::errc::operation_canceled);
  }
};

#if defined(__cpp_exceptions)
template <>
struct AbandonedValue<std::exception_ptr> {
  static std::exception_ptr Make() {
    return std::make_exception_ptr(Abandoned());
  }
};
#endif

template <class Result>
  requires(
      HasAbandonedValue<typename Result::error_type> &&
      std::constructible_from<Result, typename Result::unexpected_type>)  //
struct AbandonedValue<Result> {
  static Result Make() {
    return Result(typename Result::unexpected_type(
        AbandonedValue<typename Result::error_type>::Make()));
  }
};

template <internal::CanBeInAbandonedValue... Elements>
  requires((HasAbandonedValue<Elements> || ...))  //
struct AbandonedValue<std::tuple<Elements...>> {
  static std::tuple<Elements...> Make() {
    return std::tuple<Elements...>(internal::AbandonedElement<Elements>()...);
  }
};

template <internal::CanBeInAbandonedValue First,
          internal::CanBeInAbandonedValue Second>
  requires(HasAbandonedValue<First> || HasAbandonedValue<Second>)  //
struct AbandonedValue<std::pair<First, Second>> {
  static std::pair<First, Second> Make() {
    return {internal::AbandonedElement<First>(),
            internal::AbandonedElement<Second>()};
  }
};

}  // namespace greenback

#endif  // GREENBACK_ABANDONED_H_
