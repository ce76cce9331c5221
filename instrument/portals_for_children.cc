#include "instrument/portals_for_children.h"

#include "greenback/runtime/nursery.h"
#include "greenback/runtime/task.h"
#include "instrument/internal/portal_trees.h"

namespace greenback {

PortalsForChildren::PortalsForChildren()
    : task_(CurrentTask()), depth_(internal::TaskAccess::NurseryCount(task_)) {
  internal::EnterPortalTree(task_, depth_);
}

PortalsForChildren::~PortalsForChildren() {
  internal::LeavePortalTree(task_, depth_);
}

}  // namespace greenback
