// WithPortalRunTree(async_fn, args...): gives portals to a call, and to every
// task that is spawned in nurseries which are opened inside it.
//
//   co_await greenback::WithPortalRunTree(ImportAll, directory);
//   greenback::Run(greenback::WithPortalRunTree, Main);    // a whole program
//
// co_await -> the result of `co_await async_fn(args...)`, or its exception. It
// does what WithPortalRun() (portal.h) does. In addition, tasks begin with a
// portal if they are spawned in nurseries that are opened inside the call, and
// so on down the tree. Tasks in nurseries around the call get none, whichever
// task spawns them. Neither do system tasks (system_task.h), which are outside
// every call; AutoPortalInstrument is for those.
//
// Adds no checkpoint. Only in a task of greenback::Run(), and until the call
// ends it costs what PortalsForChildren costs.
#ifndef GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_
#define GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_

#include "instrument/internal/run_in_tree.h"

namespace greenback {

// An object, so that it can be passed to Run().
inline constexpr internal::WithPortalRunTreeFunction WithPortalRunTree;

}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_WITH_PORTAL_RUN_TREE_H_
