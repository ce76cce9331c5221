// SpawnSystemTask(): a task that serves the whole run, and ends with it.
//
//   greenback::SpawnSystemTask(FlushLogs).set_name("log flusher");
//
// For what libraries need in the background: a system task is no child of the
// task that spawns it, and nobody waits for its result. It runs until the main
// task has ended, is cancelled then, and waited for. One that fails (other than
// by being cancelled then) cancels the whole run, and its failure comes out of
// Run(). Use a nursery for tasks whose results matter to their parent.
//
// It begins without a portal, in the context (task_local.h) in which Run() was
// called, whoever spawns it.
//
// Called in a task or a loop callback of a run that is not ending, on its
// thread; otherwise: std::logic_error, or a message and abort. Never suspends.
// `fn` and `args` are as for Nursery::StartSoon(). The reference is good until
// the task ends.
#ifndef GREENBACK_RUNTIME_SYSTEM_TASK_H_
#define GREENBACK_RUNTIME_SYSTEM_TASK_H_

#include <utility>

#include "greenback/runtime/nursery.h"
#include "greenback/runtime/task.h"
#include "greenback/task_local.h"

namespace greenback {

namespace internal {

// Of the run on this thread.
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
