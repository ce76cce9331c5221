#include "greenback/internal/portal_options_call.h"

#include <map>
#include <memory>
#include <mutex>

namespace greenback::internal {

context::StackPool& PoolOfStackSize(size_t stack_size) {
  struct Pools {
    std::mutex mutex;
    std::map<size_t, std::unique_ptr<context::StackPool>> by_size;
  };
  static auto* const pools = new Pools();
  const std::lock_guard<std::mutex> lock(pools->mutex);
  std::unique_ptr<context::StackPool>& pool = pools->by_size[stack_size];
  if (pool == nullptr) {
    context::StackPoolOptions options;
    options.stack_size = stack_size;
    pool = std::make_unique<context::StackPool>(options);
  }
  return *pool;
}

}  // namespace greenback::internal
