// The function of a WithPortalRun[Sync]() with PortalOptions. Internal to
// portal.h.
#ifndef GREENBACK_INTERNAL_PORTAL_OPTIONS_CALL_H_
#define GREENBACK_INTERNAL_PORTAL_OPTIONS_CALL_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/portal_options.h"

namespace greenback::internal {

// The pool of the process for stacks of that size. It is never destroyed.
context::StackPool& PoolOfStackSize(size_t stack_size);

template <class T>
inline constexpr bool kIsPortalOptions =
    std::is_same_v<std::remove_cvref_t<T>, PortalOptions>;

// Calls fn on a stack as `options` want it.
template <class Fn>
class OptionsCall {
 public:
  OptionsCall(const PortalOptions& options, Fn fn)
      : options_(options), fn_(std::move(fn)) {}

  // Null-terminated, and lives as long as this object.
  absl::string_view portal_name() const {
    return options_.name.empty() ? absl::string_view("foreign coroutine")
                                 : absl::string_view(options_.name);
  }

  template <class... Args>
    requires std::invocable<Fn, Args...>
  std::invoke_result_t<Fn, Args...> operator()(Args&&... args) && {
    const auto call = [&]() -> std::invoke_result_t<Fn, Args...> {
      return std::invoke(std::move(fn_), std::forward<Args>(args)...);
    };
    if (options_.stack_size == 0) return call();
    return RunOnFiber(PoolOfStackSize(options_.stack_size), call);
  }

 private:
  PortalOptions options_;
  Fn fn_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_PORTAL_OPTIONS_CALL_H_
