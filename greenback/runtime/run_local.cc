#include "greenback/runtime/run_local.h"

#include <utility>

#include "greenback/runtime/internal/run_state.h"

namespace greenback::internal {

void* FindRunLocal(uint64_t key) {
  return RunState::Current("RunLocal").locals.Find(key);
}

void* KeepRunLocal(uint64_t key, std::shared_ptr<void> made) {
  return RunState::Current("RunLocal").locals.Keep(key, std::move(made));
}

}  // namespace greenback::internal
