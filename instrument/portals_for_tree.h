// PortalsForTree: gives portals to a task for a stretch of its code, and to the
// tasks that are spawned in nurseries which it opens there.
//
//   greenback::PortalsForTree portals;
//   co_await portals.Enter();
//   ReadAll();                                 // may Await()
//   co_await greenback::OpenNursery(SendAll);  // and so may its children
//   co_await portals.Exit();
//
// Does what PortalsForChildren does, and gives the task itself a portal as
// well. If the stretch is a function, WithPortalRunTree() is simpler.
//
// Enter() and Exit() are schedule points and no cancellation points, so that a
// task may also call them while it cleans up. An object that is destroyed
// without Exit(), because the task is cancelled or an exception propagates,
// ends the stretch without a schedule point. A portal that the task had before
// stays; one that it ensures during the stretch does not.
//
// It is a context manager as AsyncContext (util/async_context.h) takes it.
//
// It belongs to the task that enters, only in a task of greenback::Run(), and
// costs what PortalsForChildren costs.
#ifndef GREENBACK_INSTRUMENT_PORTALS_FOR_TREE_H_
#define GREENBACK_INSTRUMENT_PORTALS_FOR_TREE_H_

#include <exception>
#include <optional>

#include "greenback/portal.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/task.h"
#include "instrument/portals_for_children.h"

namespace greenback {

class PortalsForTree {
 public:
  PortalsForTree() = default;
  PortalsForTree(const PortalsForTree&) = delete;
  PortalsForTree& operator=(const PortalsForTree&) = delete;

  // Must not be called again before Exit().
  Co<void> Enter() {
    children_.emplace();
    portal_.emplace(CurrentTask());
    co_await CancelShieldedCheckpoint();
  }

  Co<void> Exit(std::exception_ptr /*in_flight*/ = nullptr) {
    portal_.reset();
    children_.reset();
    co_await CancelShieldedCheckpoint();
  }

 private:
  std::optional<PortalsForChildren> children_;
  std::optional<internal::PortalForCall> portal_;
};

}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_PORTALS_FOR_TREE_H_
