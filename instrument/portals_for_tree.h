// PortalsForTree: portals for a stretch of a task, and for the tasks that are
// spawned below it.
//
//   greenback::PortalsForTree portals;
//   co_await portals.Enter();
//   ReadAll();                                 // may Await()
//   co_await greenback::OpenNursery(SendAll);  // and so may its children
//   co_await portals.Exit();
//
// As PortalsForChildren, and the task itself has a portal as well. Where the
// stretch is a function, WithPortalRunTree() is simpler.
//
// Enter() and Exit() are schedule points and no cancellation points, so that
// both may stand where a task cleans up. An object that goes without Exit()
// leaves without a schedule point; this happens when the task is cancelled, or
// an exception comes. A portal that the task had before stays, one that it
// ensures meanwhile does not.
//
// Has the form that AsyncContext (util/async_context.h) wants.
//
// Belongs to the task that enters; only in a task of greenback::Run(), as
// PortalsForChildren. Cost: the same.
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

  // At most once before Exit().
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
