#include "greenback/runtime/system_task.h"

#include <stdexcept>

#include "greenback/context/exceptions.h"
#include "greenback/runtime/run_state.h"

namespace greenback::internal {

Nursery& SystemNursery() {
  Nursery* const nursery =
      RunState::Current("SpawnSystemTask()").system_nursery();
  if (nursery == nullptr) {
    context::ThrowOrDie(std::logic_error(
        "greenback::SpawnSystemTask(): the run is ending; spawn it before the "
        "main task ends"));
  }
  return *nursery;
}

Context SystemContext() {
  return RunState::Current("SpawnSystemTask()").system_context;
}

}  // namespace greenback::internal
