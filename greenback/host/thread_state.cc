#include "greenback/host/thread_state.h"

namespace greenback::internal {

__attribute__((noinline)) ThreadState& ThisThread() noexcept {
  thread_local constinit ThreadState state;
  // Keeps the compiler from finding out that this function is pure, and thus
  // from using one thread's answer on another.
  asm volatile("" ::: "memory");
  return state;
}

}  // namespace greenback::internal
