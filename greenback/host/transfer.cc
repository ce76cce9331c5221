#include "greenback/host/transfer.h"

#include <cassert>
#include <utility>

#include "greenback/host/portal_task.h"

namespace greenback::internal {

void LeaveForTrampoline(std::coroutine_handle<> handle) noexcept {
  ThreadState& thread = ThisThread();
  assert(!thread.next);
  thread.next = handle;
  thread.attention = true;
}

std::coroutine_handle<> TakeFromTrampoline() noexcept {
  return std::exchange(ThisThread().next, nullptr);
}

}  // namespace greenback::internal
