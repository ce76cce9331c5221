// AutoAwaited: the callable that AutoAwait() returns. Internal to
// util/auto_await.h and util/decorate_as_sync.h.
#ifndef GREENBACK_UTIL_INTERNAL_AUTO_AWAITED_H_
#define GREENBACK_UTIL_INTERNAL_AUTO_AWAITED_H_

#include <concepts>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "greenback/await.h"
#include "greenback/awaitable.h"

namespace greenback::internal {

template <class Fn>
class AutoAwaited {
  template <class F, class... Args>
  using Result = AwaitResult<std::invoke_result_t<F, Args...>>;

 public:
  template <class F>
  AutoAwaited(F&& async_fn, const std::source_location& where)
      : fn_(std::forward<F>(async_fn)), where_(where) {}

  template <class... Args>
    requires std::invocable<Fn&, Args...>
  Result<Fn&, Args...> operator()(Args&&... args) & {
    return Call<Fn&>(fn_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<const Fn&, Args...>
  Result<const Fn&, Args...> operator()(Args&&... args) const& {
    return Call<const Fn&>(fn_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<Fn, Args...>
  Result<Fn, Args...> operator()(Args&&... args) && {
    return Call<Fn>(std::move(fn_), std::forward<Args>(args)...);
  }

 private:
  template <class F, class... Args>
  Result<F, Args...> Call(F&& fn, Args&&... args) const {
    constexpr bool kAwaitable = Awaitable<std::invoke_result_t<F, Args...>>;
    static_assert(kAwaitable,
                  "greenback::AutoAwait(async_fn): async_fn returns nothing "
                  "to await when it is called with these arguments; it is "
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

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_AUTO_AWAITED_H_
