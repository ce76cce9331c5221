// What an await of an operation yields, from the arguments of its completion
// handler. Internal to operation.h.
#ifndef GREENBACK_ASIO_INTERNAL_OPERATION_RESULT_H_
#define GREENBACK_ASIO_INTERNAL_OPERATION_RESULT_H_

#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <concepts>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

namespace greenback::asio::internal {

// Throws `error` as a boost::system::system_error; without exceptions, prints a
// message and aborts.
[[noreturn]] void ThrowErrorCode(const boost::system::error_code& error);
// The same, for a handler that was destroyed without being called.
[[noreturn]] void ThrowDropped();

template <class... Values>
auto ValuesOf(std::tuple<Values...> values) {
  if constexpr (sizeof...(Values) == 1) {
    return std::get<0>(std::move(values));
  } else if constexpr (sizeof...(Values) > 1) {
    return values;
  }
}

// The result for the arguments of a handler. If the first of them is an error,
// throws that.
template <class... Values>
auto ResultOf(std::tuple<Values...> results) {
  return ValuesOf(std::move(results));
}
template <class... Values>
auto ResultOf(std::tuple<boost::system::error_code, Values...> results) {
  if (std::get<0>(results)) ThrowErrorCode(std::get<0>(results));
  return std::apply(
      [](auto&, Values&... values) {
        return ValuesOf(std::tuple<Values...>(std::move(values)...));
      },
      results);
}
template <class... Values>
auto ResultOf(std::tuple<std::exception_ptr, Values...> results) {
  if (std::get<0>(results)) std::rethrow_exception(std::get<0>(results));
  return std::apply(
      [](auto&, Values&... values) {
        return ValuesOf(std::tuple<Values...>(std::move(values)...));
      },
      results);
}

// Whether operation_aborted is anywhere in the arguments of a handler.
bool ReportsAbort(const boost::system::error_code& error);
bool ReportsAbort(const std::exception_ptr& error);
template <class T>
bool ReportsAbort(const T& results) {
  if constexpr (requires { std::tuple_size<T>::value; }) {
    return std::apply(
        [](const auto&... result) { return (ReportsAbort(result) || ...); },
        results);
  } else if constexpr (requires {
                         ReportsAbort(*results.begin());
                         results.end();
                       }) {
    for (const auto& result : results) {
      if (ReportsAbort(result)) return true;
    }
    return false;
  } else {
    return false;
  }
}

// Whether DroppedResults() can report operation_aborted by arguments of these
// types.
template <class T>
inline constexpr bool kCanReportAbort = false;
template <class... Values>
inline constexpr bool
    kCanReportAbort<std::tuple<boost::system::error_code, Values...>> =
        (std::default_initializable<Values> && ...);
template <class... Values>
inline constexpr bool kCanReportAbort<std::tuple<std::tuple<Values...>>> =
    kCanReportAbort<std::tuple<Values...>>;

// The arguments of a handler that was destroyed without being called: they
// report operation_aborted. If they cannot, throws.
template <class Results>
Results DroppedResults() {
  if constexpr (kCanReportAbort<Results>) {
    Results results{};
    auto& first = std::get<0>(results);
    using First = std::remove_reference_t<decltype(first)>;
    if constexpr (kCanReportAbort<First>) {
      first = DroppedResults<First>();  // as_tuple
    } else {
      first = boost::asio::error::operation_aborted;
    }
    return results;
  } else {
    ThrowDropped();
  }
}

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_OPERATION_RESULT_H_
