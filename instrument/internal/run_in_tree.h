// The function object WithPortalRunTree. Internal to
// instrument/with_portal_run_tree.h.
#ifndef GREENBACK_INSTRUMENT_INTERNAL_RUN_IN_TREE_H_
#define GREENBACK_INSTRUMENT_INTERNAL_RUN_IN_TREE_H_

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "instrument/portals_for_children.h"

namespace greenback::internal {

template <class Fn, class... Args>
Co<AwaitResult<std::invoke_result_t<Fn, Args...>>> RunInTree(Fn fn,
                                                             Args... args) {
  const PortalsForChildren portals;
  co_return co_await std::invoke(std::move(fn), std::move(args)...);
}

struct WithPortalRunTreeFunction {
  template <class Fn, class... Args>
  auto operator()(Fn&& async_fn, Args&&... args) const {
    static_assert(std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
                  "greenback::WithPortalRunTree(async_fn, args...): async_fn "
                  "cannot be called with these arguments");
    if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
      return WithPortalRun(RunInTree<std::decay_t<Fn>, std::decay_t<Args>...>,
                           std::forward<Fn>(async_fn),
                           std::forward<Args>(args)...);
    } else {
      return NoAwaiter<Fn>();
    }
  }
};

}  // namespace greenback::internal

#endif  // GREENBACK_INSTRUMENT_INTERNAL_RUN_IN_TREE_H_
