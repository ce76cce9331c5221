#include "greenback/asio/internal/run_as_task.h"

#include "greenback/host/portal_access.h"

namespace greenback::asio::internal {

TaskEnd::~TaskEnd() {
  PortalAccess::Set(task_, PortalAccess::Portal::kNone);
  task_.set_coroutine({});
  // If it does not run, the coroutine is being destroyed.
  PortalTask*& running = ThisThread().current_task;
  if (running == &task_) running = nullptr;
}

}  // namespace greenback::asio::internal
