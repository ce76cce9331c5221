#include "greenback/runtime/system_task.h"

#include <stdexcept>

#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/run_state.h"

namespace greenback::internal {

Nursery& SystemNursery() {
  const RunState& run = RunState::Current("SpawnSystemTask()");
  if (run.ending()) {
    ThrowOrDie(std::logic_error(
        "greenback::SpawnSystemTask(): the run is ending; spawn it before the "
        "main task ends"));
  }
  if (run.system_nursery() == nullptr) {
    ThrowOrDie(std::logic_error(
        "greenback::SpawnSystemTask(): the run has not begun; spawn it in the "
        "main task, or later"));
  }
  return *run.system_nursery();
}

Context SystemContext() {
  return RunState::Current("SpawnSystemTask()").system_context;
}

}  // namespace greenback::internal
