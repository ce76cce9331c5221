// How an Await() ends in an abandoned task. Internal; ../abandoned.h documents
// what it promises.
#ifndef GREENBACK_HOST_ABANDONMENT_H_
#define GREENBACK_HOST_ABANDONMENT_H_

#include <type_traits>

#include "greenback/abandoned.h"
#include "greenback/host/waiter.h"
#include "greenback/internal/carries_status.h"

namespace greenback::internal {

// Throws Abandoned; without exceptions, prints a message and aborts.
[[noreturn]] void ThrowAbandoned();
// False while another exception is unwinding, and without exceptions.
bool MayThrowAbandoned() noexcept;

// Ends an await in an abandoned task: throws Abandoned if that is possible, and
// otherwise returns an `R` that says so, or void. Where neither is possible, it
// calls ThrowAbandoned() all the same, which ends the program.
template <class R>
R AbandonedResult() {
  if constexpr (std::is_void_v<R>) {
#if defined(__cpp_exceptions)
    if (!MayThrowAbandoned()) return;
#endif
  } else if constexpr (kCarriesStatus<R>) {
    if (!MayThrowAbandoned()) return AbandonedStatus();
  } else if constexpr (HasAbandonedValue<R>) {
    if (!MayThrowAbandoned()) return AbandonedValue<R>::Make();
  }
  ThrowAbandoned();
}

// The waker of `waiter` was destroyed in place of being resumed: abandons the
// task. The task's thread calls it once the wait is over.
void AbandonTaskOf(FiberWaiter& waiter) noexcept;

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_ABANDONMENT_H_
