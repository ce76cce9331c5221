// WithPortalRunTree(async_fn, args...): portals for a call, and for every task
// that is spawned below it.
//
//   co_await greenback::WithPortalRunTree(ImportAll, directory);
//   greenback::Run(greenback::WithPortalRunTree, Main);    // a whole program
//
// co_await -> what `co_await async_fn(args...)` gives, result or exception. As
// WithPortalRun() (portal.h), and tasks that are spawned into nurseries which
// are opened inside the call have portals too, and so on down the tree. Tasks
// of nurseries around the call have none, whoever spawns them. System tasks
// (system_task.h) are below nobody's call; AutoPortalInstrument is for them.
//
// Adds no checkpoint. Only in a task of greenback::Run(), as
// PortalsForChildren; cost: the same, until the call ends.
#ifndef GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_
#define GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "instrument/portals_for_children.h"

namespace greenback {

namespace internal {

template <class Fn, class... Args>
Co<AwaitResult<std::invoke_result_t<Fn, Args...>>> RunInTree(Fn fn,
                                                             Args... args) {
  const PortalsForChildren portals;
  co_return co_await std::invoke(std::move(fn), std::move(args)...);
}

// An object, so that it can be handed to Run().
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

}  // namespace internal

inline constexpr internal::WithPortalRunTreeFunction WithPortalRunTree;

}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_
