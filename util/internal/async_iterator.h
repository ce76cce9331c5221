// How AsyncIter() finds the async iterator of an iterable. Internal to
// util/async_iter.h.
#ifndef GREENBACK_UTIL_INTERNAL_ASYNC_ITERATOR_H_
#define GREENBACK_UTIL_INTERNAL_ASYNC_ITERATOR_H_

#include <concepts>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"

namespace greenback {

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
concept HasIterableAdapter =
    requires(T& iterable) { AsyncIterableAdapter<T>::Adapt(iterable); };
template <class T>
concept HasMemberGetAsyncIterator =
    requires(T& iterable) { iterable.GetAsyncIterator(); };
template <class T>
concept HasFreeGetAsyncIterator =
    requires(T& iterable) { GetAsyncIterator(iterable); };

// The iterator of an iterable: a value, or a reference. Anything that is not
// iterable is returned as it is.
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
// The iterator can tell whether its Close() has anything to do.
template <class T>
concept SaysNeedsClose = requires(T& iterator) {
  { iterator.NeedsClose() } -> std::convertible_to<bool>;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_INTERNAL_ASYNC_ITERATOR_H_
