// DecorateAsSync(decorator)(async_fn): a decorator of synchronous functions, on
// an asynchronous one.
//
//   // Somebody's cache; it knows nothing of coroutines.
//   const auto cached = [](auto fn) {
//     return [fn, pages = std::map<int, Page>()](int id) mutable {
//       auto found = pages.find(id);
//       if (found == pages.end()) found = pages.emplace(id, fn(id)).first;
//       return found->second;
//     };
//   };
//
//   greenback::Co<Page> Fetch(int id);   // asks a server
//   ...
//   auto fetch = greenback::DecorateAsSync(cached)(Fetch);
//   Page page = co_await fetch(7);       // asks
//   Page again = co_await fetch(7);      // does not
//
// Use it for a cache, retries, timing, tracing: what wraps a function and
// calls it, and would have to be written again for coroutines. For one call of
// synchronous code that awaits, WithPortalRunSync() is enough.
//
// `decorator` takes a synchronous callable, AutoAwait(async_fn), and gives
// another, which is made once, when DecorateAsSync(decorator)(async_fn) is
// called. It holds the state, the cache in the example, for all calls.
// `co_await fetch(args...)` behaves as `co_await
// WithPortalRunSync(decorator(AutoAwait(async_fn)), args...)`, but for that.
// It adds no checkpoint: a call that finds everything in the cache does not
// suspend. The portal ends with the call.
//
// fetch.synchronous() is what `decorator` gave, with the same state: for
// synchronous code in a task with a portal, and for other ways to open one.
//
// Cancellation, resumption: as for Await(). While one call waits, other tasks
// may call too, and find the decorator in the middle of its work: in the
// example two calls may both miss, and both ask. A decorator that keeps an
// iterator or a lock while it calls the function is not fit for that.
// Ownership: copies of `fetch` share what `decorator` gave; it lives as long as
// one of them, or a call. Arguments are kept by value until the call ends
// (std::ref for references), and handed on as rvalues.
// Threads: as what `decorator` gave allows; calls of one thread need nothing.
// Errors: results and exceptions pass unchanged through `decorator`'s hands.
// Misuse of Await() is reported with the place where `async_fn` was given.
#ifndef GREENBACK_UTIL_DECORATE_AS_SYNC_H_
#define GREENBACK_UTIL_DECORATE_AS_SYNC_H_

#include <concepts>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "util/auto_await.h"

namespace greenback {

namespace internal {

// What a decorator gave, shared by copies of this callable.
template <class Decorated>
class SharedCallable {
 public:
  template <class Make>
  explicit SharedCallable(std::in_place_t, Make&& make)
      : decorated_(new Decorated(make())) {}

  template <class... Args>
  requires std::invocable<Decorated&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    return std::invoke(*decorated_, std::forward<Args>(args)...);
  }

 private:
  std::shared_ptr<Decorated> decorated_;
};

template <class Decorated>
class DecoratedAsync {
 public:
  explicit DecoratedAsync(SharedCallable<Decorated> callable)
      : callable_(std::move(callable)) {}

  template <class... Args>
  auto operator()(Args&&... args) const {
    constexpr bool kCallable =
        std::invocable<Decorated&, std::decay_t<Args>...>;
    static_assert(kCallable,
                  "greenback::DecorateAsSync(decorator)(async_fn): what "
                  "decorator gave cannot be called with these arguments");
    if constexpr (kCallable) {
      return WithPortalRunSync(callable_, std::forward<Args>(args)...);
    } else {
      return NoAwaiter<Decorated>();
    }
  }

  const SharedCallable<Decorated>& synchronous() const { return callable_; }

 private:
  SharedCallable<Decorated> callable_;
};

template <class Decorator>
class SyncDecorator {
 public:
  template <class D>
  explicit SyncDecorator(std::in_place_t, D&& decorator)
      : decorator_(std::forward<D>(decorator)) {}

  template <class Fn>
  auto operator()(Fn&& async_fn, std::source_location where =
                                     std::source_location::current()) & {
    return Decorate<Decorator&>(decorator_, std::forward<Fn>(async_fn), where);
  }
  template <class Fn>
  auto operator()(Fn&& async_fn, std::source_location where =
                                     std::source_location::current()) const& {
    return Decorate<const Decorator&>(decorator_, std::forward<Fn>(async_fn),
                                      where);
  }
  template <class Fn>
  auto operator()(Fn&& async_fn, std::source_location where =
                                     std::source_location::current()) && {
    return Decorate<Decorator>(std::move(decorator_),
                               std::forward<Fn>(async_fn), where);
  }

 private:
  template <class D, class Fn>
  static auto Decorate(D&& decorator, Fn&& async_fn,
                       const std::source_location& where) {
    using Sync = AutoAwaited<std::decay_t<Fn>>;
    constexpr bool kCallable = std::invocable<D, Sync>;
    static_assert(kCallable,
                  "greenback::DecorateAsSync(decorator)(async_fn): decorator "
                  "cannot be called with the synchronous form of async_fn");
    if constexpr (kCallable) {
      using Decorated = std::decay_t<std::invoke_result_t<D, Sync>>;
      static_assert(!std::is_void_v<Decorated>,
                    "greenback::DecorateAsSync(decorator)(async_fn): decorator "
                    "must give a callable");
      if constexpr (!std::is_void_v<Decorated>) {
        return DecoratedAsync<Decorated>(SharedCallable<Decorated>(
            std::in_place, [&]() -> std::invoke_result_t<D, Sync> {
              return std::invoke(std::forward<D>(decorator),
                                 Sync(std::forward<Fn>(async_fn), where));
            }));
      } else {
        return NotAwaitable<D>();
      }
    } else {
      return NotAwaitable<D>();
    }
  }

  Decorator decorator_;
};

}  // namespace internal

// `decorator` is moved or copied; the result may be used for any number of
// functions, each with a state of its own.
template <class Decorator>
auto DecorateAsSync(Decorator&& decorator) {
  return internal::SyncDecorator<std::decay_t<Decorator>>(
      std::in_place, std::forward<Decorator>(decorator));
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_DECORATE_AS_SYNC_H_
