// What PortalExecutor passes to the executor that it wraps. Internal to
// portal_executor.h.
#ifndef GREENBACK_ASIO_INTERNAL_TASK_STEP_H_
#define GREENBACK_ASIO_INTERNAL_TASK_STEP_H_

#include <utility>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/host/portal_task.h"

namespace greenback::asio::internal {

// A step of a task.
template <class Fn>
struct TaskStep {
  CoroutineTask* task;
  Fn fn;
  void operator()() { task->Step(std::move(fn)); }
};

// A step of an awaitable that the task awaits at task->step_waiter().
template <class Fn>
struct NestedTaskStep {
  CoroutineTask* task;
  Fn fn;
  void operator()() { task->Step(std::move(fn), task->step_waiter()); }
};

// A function that is executed inside a task's step and does not belong to it.
template <class Fn>
struct OutsideTasks {
  Fn fn;
  void operator()() {
    struct Restore {
      PortalTask* const task =
          std::exchange(ThisThread().current_task, nullptr);
      ~Restore() { ThisThread().current_task = task; }
    } restore;
    std::move(fn)();
  }
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_TASK_STEP_H_
