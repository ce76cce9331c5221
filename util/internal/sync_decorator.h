// SyncDecorator: the function object that DecorateAsSync() returns. Internal to
// util/decorate_as_sync.h.
#ifndef GREENBACK_UTIL_INTERNAL_SYNC_DECORATOR_H_
#define GREENBACK_UTIL_INTERNAL_SYNC_DECORATOR_H_

#include <concepts>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "util/internal/auto_awaited.h"

namespace greenback::internal {

// What a decorator returned, shared by all copies of this callable.
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
                  "decorator returned cannot be called with these arguments");
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
                    "must return a callable");
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

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_SYNC_DECORATOR_H_
