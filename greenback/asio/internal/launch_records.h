// LaunchRecords: keeps the thread's list of Asio's launches in order while a
// task is parked. Internal to coroutine_task.h.
//
// From Boost 1.89 on, a coroutine that starts in co_spawn() puts a record into
// a list of the thread's, on the stack that calls co_spawn(), and removes it
// when it first suspends. If it starts inside a task's step and awaits through
// the portal there, that stack parks with the record. Other code would then
// find the record in the list, and remove records of its own in another order.
#ifndef GREENBACK_ASIO_INTERNAL_LAUNCH_RECORDS_H_
#define GREENBACK_ASIO_INTERNAL_LAUNCH_RECORDS_H_

#include <boost/version.hpp>

#include "greenback/host/park_hook.h"
#include "greenback/host/portal_task.h"

namespace greenback::asio::internal {

// While a stack of the task is parked, the records on it are out of the
// thread's list. A task needs it once there is a record on such a stack.
class LaunchRecords final : public greenback::internal::ParkHook {
 public:
  // Hangs itself on `task`, whose step this is, if there is a record on the
  // stack of the step.
  void Watch(PortalTask& task);

 private:
  void Leaves() noexcept override;
  void Returns() noexcept override;

  // Not used where Asio has no such list.
  [[maybe_unused]] bool is_watching_ = false;
  // The records on the task's parked stacks, those of a stack in order. The
  // type is Asio's.
  [[maybe_unused]] void* parked_ = nullptr;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_LAUNCH_RECORDS_H_
