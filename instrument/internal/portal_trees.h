// The trees of tasks, in the run on this thread, whose tasks are spawned with
// portals. Internal to instrument/.
#ifndef GREENBACK_INSTRUMENT_INTERNAL_PORTAL_TREES_H_
#define GREENBACK_INSTRUMENT_INTERNAL_PORTAL_TREES_H_

#include <cstddef>

#include "greenback/runtime/task.h"

namespace greenback::internal {

// Begins and ends a tree. It consists of the tasks in the nurseries of `task`
// from number `depth` on, and of their descendants. Trees may be nested; those
// of one task may end in any order.
void EnterPortalTree(Task& task, size_t depth);
void LeavePortalTree(Task& task, size_t depth);

// For tests: the number of trees that have begun and not ended, and of the
// tasks that the instrument knows, which are those that began one.
struct PortalTreeStats {
  size_t scopes;
  size_t tasks;
};
PortalTreeStats PortalTreesOfRun();

}  // namespace greenback::internal

#endif  // GREENBACK_INSTRUMENT_INTERNAL_PORTAL_TREES_H_
