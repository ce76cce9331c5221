// AutoAwait(async_fn): an asynchronous function as a synchronous callable.
//
//   greenback::Co<int> Rank(const Url& url);   // asks a server
//
//   void SortByRank(std::vector<Url>& urls) {
//     auto rank = greenback::AutoAwait(Rank);
//     std::sort(urls.begin(), urls.end(), [&](const Url& a, const Url& b) {
//       return rank(a) < rank(b);
//     });
//   }
//
// Calling it with `args...` is Await(async_fn(args...)), through the portal of
// the task that is running when it is called, whichever that is. Use it where
// something takes a function to call: a comparator, a visitor, an observer, a
// std::function member. For one call in one place, Await() says the same more
// plainly; in a coroutine, co_await is cheaper.
//
// `async_fn` is anything that std::invoke accepts: a function, a lambda, a
// function object, or a pointer to a member function (called with the object
// first). The callable can be copied, called when const, or called only once,
// as `async_fn` can. std::invocable tells whether it can be called with given
// arguments; a call that does not return an awaitable is one compile error.
//
// Suspends: each call, when the awaitable does. Making the callable does not.
// Cancellation, resumption, threads: as for Await(). Several tasks may be
// inside the same callable at the same time. Ownership: `async_fn` is moved or
// copied into the callable (std::ref for a reference), which must outlive its
// calls. Arguments are forwarded, and live until the call returns, as those of
// any function do: a coroutine may take them by reference. The awaitable is
// destroyed before the call returns: if its result is an rvalue reference, the
// call returns a value, and an lvalue reference must not refer to the
// awaitable. Errors: the result or the exception of the awaitable is returned
// or thrown unchanged. Misuse (no task, no portal, a NoAwaitScope) is reported
// by Await() with the place of the AutoAwait(): a call is often made by code
// that is not the user's own, a standard algorithm or a framework, and its
// place would be of no use. (It is not available either, because no default
// argument may follow `args...`.)
#ifndef GREENBACK_UTIL_AUTO_AWAIT_H_
#define GREENBACK_UTIL_AUTO_AWAIT_H_

#include <source_location>
#include <type_traits>
#include <utility>

#include "util/internal/auto_awaited.h"

namespace greenback {

template <class Fn>
auto AutoAwait(Fn&& async_fn,
               std::source_location where = std::source_location::current()) {
  return internal::AutoAwaited<std::decay_t<Fn>>(std::forward<Fn>(async_fn),
                                                 where);
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_AUTO_AWAIT_H_
