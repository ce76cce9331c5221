// What Await() accepts, and how to make a foreign type awaitable.
//
// An awaitable is what a coroutine may `co_await`: an awaiter, or something
// with a member or free `operator co_await`. A type that has neither (a future
// of another library, an operation that wants a callback) becomes awaitable by
// specialising AwaitableAdapter beside it:
//
//   template <class T>
//   struct greenback::AwaitableAdapter<other::Future<T>> {
//     static auto Adapt(other::Future<T>&& future) {
//       return FutureAwaiter<T>{std::move(future)};   // any awaitable
//     }
//   };
//   ...
//   int answer = greenback::Await(other::Ask());
//
// The functions of an awaiter may have any qualifiers. They are called as the
// compiler calls them, on an lvalue; a function that is for rvalues alone, as
// some libraries' coroutines require, is called on an rvalue, unless the
// awaitable is an lvalue. greenback's own awaiters can be awaited in every
// library's coroutines: their await_ready() is const and noexcept, and whatever
// may fail is left to await_suspend().
//
// An operation of a callback API has no type to specialise for: see
// from_callback.h. Adapt() may return a FromCallback().
//
// Nothing here suspends or allocates.
#ifndef GREENBACK_AWAITABLE_H_
#define GREENBACK_AWAITABLE_H_

#include "greenback/internal/awaitable_traits.h"

namespace greenback {

// Specialise for a foreign type (unqualified: no reference, no const), with a
// static function Adapt that takes the awaitable by reference, as it is
// awaited, and returns an awaitable. Takes precedence over the standard's own
// forms.
template <class T>
struct AwaitableAdapter;

// A type with the three functions that the compiler calls. T may be a
// reference.
template <class T>
concept Awaiter = internal::Awaiter<T>;

// A type that can be awaited: an awaiter, one with operator co_await, or one
// with an AwaitableAdapter.
template <class T>
concept Awaitable = internal::Awaitable<T>;

// The awaiter of an awaitable, as `co_await` would obtain it: the result of its
// operator co_await, or a reference to the awaitable itself, of its own value
// category. Any other type is returned as it is, and is not an Awaiter.
template <class T>
decltype(auto) GetAwaiter(T&& awaitable);

// The result of Await() of a T: the result of `co_await std::declval<T>()`, but
// a value in place of an rvalue reference, moved out before the awaiter is
// destroyed.
template <class T>
using AwaitResult = typename internal::AwaitResultOf<T>::type;

}  // namespace greenback

#endif  // GREENBACK_AWAITABLE_H_
