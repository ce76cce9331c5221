// DecorateAsSync(decorator)(async_fn): applies a decorator of synchronous
// functions to an asynchronous one.
//
//   // A cache from some library that knows nothing of coroutines.
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
// Use it for a cache, retries, timing, tracing: for code that wraps a function
// and calls it, and would have to be written again for coroutines. For one call
// of synchronous code that awaits, WithPortalRunSync() is enough.
//
// `decorator` takes a synchronous callable, AutoAwait(async_fn), and returns
// another one. It is called once, by DecorateAsSync(decorator)(async_fn), so
// that the callable which it returns holds the state of all calls: the cache in
// the example. Apart from that, `co_await fetch(args...)` behaves as
// `co_await WithPortalRunSync(decorator(AutoAwait(async_fn)), args...)`. It
// adds no checkpoint: a call that finds everything in the cache does not
// suspend. The portal ends with the call.
//
// fetch.synchronous() is the callable that `decorator` returned, with the same
// state: for synchronous code in a task with a portal, and for other ways to
// open one.
//
// Cancellation, resumption: as for Await(). While one call waits, other tasks
// may call too, and find the decorator in the middle of its work. In the
// example two calls may both miss, and both ask. A decorator that keeps an
// iterator or a lock while it calls the function cannot be used for that.
// Ownership: copies of `fetch` share the callable that `decorator` returned. It
// lives as long as one of the copies, or a call. Arguments are kept by value
// until the call ends (std::ref for references), and passed on as rvalues.
// Threads: as that callable allows; calls on one thread need nothing.
// Errors: results and exceptions pass through the decorator and are otherwise
// unchanged. Misuse of Await() is reported with the place where `async_fn` was
// passed.
#ifndef GREENBACK_UTIL_DECORATE_AS_SYNC_H_
#define GREENBACK_UTIL_DECORATE_AS_SYNC_H_

#include <type_traits>
#include <utility>

#include "util/auto_await.h"  // IWYU pragma: export
#include "util/internal/sync_decorator.h"

namespace greenback {

// `decorator` is moved or copied. The result may be called with any number of
// functions; each gets a state of its own.
template <class Decorator>
auto DecorateAsSync(Decorator&& decorator) {
  return internal::SyncDecorator<std::decay_t<Decorator>>(
      std::in_place, std::forward<Decorator>(decorator));
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_DECORATE_AS_SYNC_H_
