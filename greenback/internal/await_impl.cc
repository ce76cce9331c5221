#include "greenback/internal/await_impl.h"

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

#include "greenback/context/run_on_fiber.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::internal {

void CallUntilOver(FiberWaiter& waiter) {
  while (waiter.nested.function != nullptr && !waiter.is_abandoned()) {
    waiter.Resumed();
    std::exchange(waiter.nested.function, nullptr)(waiter.nested.argument);
    if (!waiter.is_over()) PortalAccess::Park(waiter);
  }
}

void ReportStackExhausted(const absl::Status& status) {
  ThrowOrDie(StackExhausted(std::string(status.message())));
}

absl::Status StatusOfOwnException() {
#if defined(__cpp_exceptions)
  try {
    throw;
  } catch (const Abandoned&) {
    return AbandonedStatus();
  } catch (const StackExhausted& error) {
    return absl::ResourceExhaustedError(error.what());
  } catch (const PortalError& error) {
    return absl::FailedPreconditionError(error.what());
  } catch (const AwaitableError& error) {
    return absl::FailedPreconditionError(error.what());
  }
#else
  std::abort();  // there is none
#endif
}

}  // namespace greenback::internal
