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
// Calling it with `args...` is Await(async_fn(args...)): through the portal of
// the task that runs at the time of the call, whichever that is. Use it where
// something wants a function to call: a comparator, a visitor, an observer, a
// std::function member. For one call in one place, Await() says the same more
// plainly; in a coroutine, co_await is cheaper.
//
// `async_fn` is anything that std::invoke takes: a function, a lambda, a
// function object, a pointer to a member function (called with the object
// first). The callable can be copied, called when const, or only once, as
// `async_fn` can. Whether it can be called with given arguments can be asked
// (std::invocable); that what comes back is no awaitable is one error.
//
// Suspends: each call, when what it awaits does. Making the callable does not.
// Cancellation, resumption, threads: as for Await(). Tasks may be inside the
// same callable at the same time.
// Ownership: `async_fn` is moved or copied into the callable (std::ref for a
// reference), which must outlive its calls. Arguments are handed on as they
// are, and live until the call is over, as the parameters of any function: a
// coroutine may take them by reference. The awaitable is destroyed before the
// call returns: an rvalue reference that it gives is returned as a value, and
// an lvalue reference must not refer to it. Errors: what is awaited gives its
// result, or throws its exception, unchanged. Misuse (no task, no portal, a
// NoAwaitScope) is reported by Await(), with the place of the AutoAwait():
// calls are often made by code that is not ours, a standard algorithm or a
// framework, whose place would tell nothing. (It is also all that can be had:
// no default argument may follow `args...`.)
#ifndef GREENBACK_UTIL_AUTO_AWAIT_H_
#define GREENBACK_UTIL_AUTO_AWAIT_H_

#include <concepts>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/await.h"
#include "greenback/awaitable.h"

namespace greenback {

namespace internal {

template <class Fn>
class AutoAwaited {
  template <class F, class... Args>
  using Result = AwaitResult<std::invoke_result_t<F, Args...>>;

 public:
  template <class F>
  AutoAwaited(F&& async_fn, const std::source_location& where)
      : fn_(std::forward<F>(async_fn)), where_(where) {}

  template <class... Args>
  requires std::invocable<Fn&, Args...> Result<Fn&, Args...>
  operator()(Args&&... args) & {
    return Call<Fn&>(fn_, std::forward<Args>(args)...);
  }
  template <class... Args>
  requires std::invocable<const Fn&, Args...> Result<const Fn&, Args...>
  operator()(Args&&... args) const& {
    return Call<const Fn&>(fn_, std::forward<Args>(args)...);
  }
  template <class... Args>
  requires std::invocable<Fn, Args...> Result<Fn, Args...>
  operator()(Args&&... args) && {
    return Call<Fn>(std::move(fn_), std::forward<Args>(args)...);
  }

 private:
  template <class F, class... Args>
  Result<F, Args...> Call(F&& fn, Args&&... args) const {
    constexpr bool kAwaitable = Awaitable<std::invoke_result_t<F, Args...>>;
    static_assert(kAwaitable,
                  "greenback::AutoAwait(async_fn): async_fn gives nothing to "
                  "await when it is called with these arguments; it is "
                  "synchronous already");
    if constexpr (kAwaitable) {
      return Await(
          std::invoke(std::forward<F>(fn), std::forward<Args>(args)...),
          where_);
    } else {
      return {};
    }
  }

  Fn fn_;
  std::source_location where_;
};

}  // namespace internal

template <class Fn>
auto AutoAwait(Fn&& async_fn,
               std::source_location where = std::source_location::current()) {
  return internal::AutoAwaited<std::decay_t<Fn>>(std::forward<Fn>(async_fn),
                                                 where);
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_AUTO_AWAIT_H_
