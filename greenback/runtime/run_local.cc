#include "greenback/runtime/run_local.h"

#include "greenback/runtime/run_state.h"

namespace greenback::internal {

std::shared_ptr<void>& RunLocalValue(uint64_t key) {
  return RunState::Current("RunLocal").locals[key];
}

}  // namespace greenback::internal
