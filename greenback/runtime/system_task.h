// SpawnSystemTask(): a task that serves the whole run, and ends with it.
//
//   greenback::SpawnSystemTask(FlushLogs).set_name("log flusher");
//
// Use it for background work of a library: a system task is not a child of the
// task that spawns it, and no task waits for its result. When the main task has
// ended, system tasks are cancelled, and the run waits for them. A system task
// that fails otherwise cancels the whole run, and its failure propagates from
// Run(). Use a nursery for tasks whose results matter to their parent.
//
// It begins without a portal, in the context (task_local.h) in which Run() was
// called, not in that of its spawner.
//
// Call it in a task or a loop callback of a run that is not ending, on its
// thread; otherwise: std::logic_error, or a message and abort. Never suspends.
// `fn` and `args` are as for Nursery::StartSoon(). The reference is valid until
// the task ends.
#ifndef GREENBACK_RUNTIME_SYSTEM_TASK_H_
#define GREENBACK_RUNTIME_SYSTEM_TASK_H_

#include <utility>

#include "greenback/runtime/nursery.h"
#include "greenback/runtime/task.h"
#include "greenback/task_local.h"

namespace greenback {

namespace internal {

// The nursery and the first context of the system tasks in this thread's run.
Nursery& SystemNursery();
Context SystemContext();

}  // namespace internal

template <class Fn, class... Args>
Task& SpawnSystemTask(Fn&& fn, Args&&... args) {
  Nursery& nursery = internal::SystemNursery();
  return internal::SystemContext().Run([&]() -> Task& {
    return nursery.StartSoon(std::forward<Fn>(fn), std::forward<Args>(args)...);
  });
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_SYSTEM_TASK_H_
