// PortalsForChildren: portals for the tasks that are spawned below a stretch of
// a task.
//
//   greenback::PortalsForChildren portals;
//   co_await greenback::OpenNursery(
//       [&](greenback::Nursery& nursery) -> greenback::Co<void> {
//         nursery.StartSoon(Serve);        // may Await(), and so may what it
//         ...                              // spawns into nurseries of its own
//       });
//
// While it lives, tasks begin with a portal when they are spawned into a
// nursery that this task opens meanwhile, or into one that such a task opens,
// and so on. Whoever spawns them: the nursery decides. Tasks of nurseries that
// were open before get none, and this task itself gets none; PortalsForTree is
// for both. A task that Nursery::Start() moves to another nursery keeps the
// portal that it has, and counts from then on where it has been moved to.
//
// RAII, in coroutines and in synchronous code: to enter and to leave are plain
// calls, which never suspend. It belongs to the task that makes it, and ends
// before that does.
//
// Only in a task of greenback::Run(), which has a tree of tasks: elsewhere
// std::logic_error (PortalError in a task of another host), or a message and
// abort.
//
// Cost: an instrument (greenback/runtime/instrument.h), one for the whole run,
// while there is any such object. It looks at each task that is spawned, and at
// those above it.
#ifndef GREENBACK_INSTRUMENT_PORTALS_FOR_CHILDREN_H_
#define GREENBACK_INSTRUMENT_PORTALS_FOR_CHILDREN_H_

#include <cstddef>

#include "greenback/runtime/task.h"

namespace greenback {

class [[nodiscard]] PortalsForChildren {
 public:
  PortalsForChildren();
  PortalsForChildren(const PortalsForChildren&) = delete;
  PortalsForChildren& operator=(const PortalsForChildren&) = delete;
  ~PortalsForChildren();

 private:
  Task& task_;
  // Nurseries of the task that were open before.
  const size_t depth_;
};

namespace internal {

// Of the run on this thread, for tests: how many objects are active, and how
// many tasks the instrument knows: those that have such an object.
struct PortalTreeStats {
  size_t scopes;
  size_t tasks;
};
PortalTreeStats PortalTreesOfRun();

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_PORTALS_FOR_CHILDREN_H_
