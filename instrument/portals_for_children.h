// PortalsForChildren: gives portals to the tasks that are spawned in nurseries
// which the current task opens during a stretch of its code.
//
//   greenback::PortalsForChildren portals;
//   co_await greenback::OpenNursery(
//       [&](greenback::Nursery& nursery) -> greenback::Co<void> {
//         nursery.StartSoon(Serve);   // may Await(), and so may the tasks
//         ...                         // in the nurseries that Serve opens
//       });
//
// While the object lives, a task begins with a portal if it is spawned in a
// nursery that the current task has opened meanwhile, or in one that such a
// task opens, and so on. The nursery decides, not the task that spawns. Tasks
// in nurseries that were open before get no portal, and neither does the
// current task itself; PortalsForTree is for both. A task that Nursery::Start()
// moves to another nursery keeps the portal that it has; the tasks that it
// spawns from then on get portals if those of its new nursery do.
//
// RAII, in coroutines and in synchronous code: its beginning and its end are
// plain calls, which never suspend. It belongs to the task that makes it, and
// must be destroyed before that task ends.
//
// Only in a task of greenback::Run(), which has a tree of tasks. Elsewhere it
// is a std::logic_error (a PortalError in a task of another host), or, without
// exceptions, a message and an abort.
//
// Cost: one instrument (greenback/runtime/instrument.h) for the whole run, as
// long as there is any such object. It looks at each task that is spawned, and
// at the tasks above it in the tree.
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
  // The number of nurseries that the task had open before.
  const size_t depth_;
};

}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_PORTALS_FOR_CHILDREN_H_
