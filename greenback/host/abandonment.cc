#include "greenback/host/abandonment.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "absl/status/status.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/thread_state.h"

namespace greenback::internal {
namespace {

constexpr char kAbandonedText[] =
    "the task's host was destroyed while the task waited in "
    "greenback::Await()";

void PrintAbandoned(const char* why) {
  const PortalTask* const task = ThisThread().current_task;
  std::fprintf(stderr, "greenback: task \"%s\": %s, and %s\n",
               task != nullptr ? task->name().data() : "?", kAbandonedText,
               why);
}

#if defined(__cpp_exceptions)
std::terminate_handler terminate_before = nullptr;

// Whether the program terminates because of an Abandoned. g++ does not always
// make an Abandoned that meets a noexcept frame the current exception.
bool IsBecauseOfAbandoned() {
  if (const std::exception_ptr error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const Abandoned&) {
      return true;
    } catch (...) {
    }
  }
  return std::uncaught_exceptions() > 0 && IsAbandoned();
}

[[noreturn]] void TerminateHandler() {
  if (IsBecauseOfAbandoned()) {
    PrintAbandoned(
        "its frames cannot be unwound: one of them is noexcept, or is a "
        "destructor that awaits a value while it is unwound");
  }
  if (terminate_before != nullptr) terminate_before();
  std::abort();
}
#endif

}  // namespace

bool MayThrowAbandoned() noexcept {
#if defined(__cpp_exceptions)
  return std::uncaught_exceptions() == 0;
#else
  return false;
#endif
}

absl::Status AbandonedStatus() { return absl::CancelledError(kAbandonedText); }

void ThrowAbandoned() {
#if defined(__cpp_exceptions)
  // Nothing finds a noexcept frame on the way before std::terminate() does, so
  // the message comes from a handler of that.
  [[maybe_unused]] static const bool installed = [] {
    terminate_before = std::set_terminate(TerminateHandler);
    return true;
  }();
  throw Abandoned();
#else
  PrintAbandoned(
      "it cannot be unwound without exceptions: await what can carry an "
      "absl::Status, or end the task before its host");
  std::abort();
#endif
}

void AbandonTaskOf(FiberWaiter& waiter) noexcept {
  waiter.Abandon();
  PortalAccess::Abandon(*waiter.task);
}

}  // namespace greenback::internal
