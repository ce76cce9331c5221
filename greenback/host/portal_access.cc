#include "greenback/host/portal_access.h"

#include <mutex>
#include <source_location>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "greenback/host/thread_state.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {

void PortalAccess::ParkWithHooks(FiberWaiter& waiter) {
  // The task does not end while a fiber of it waits.
  ParkHooks& hooks = waiter.task->park_hooks_;
  hooks.Leave();
  SwitchFrom(waiter);
  hooks.Return();
}

namespace {

// Not inlined, so that an Await() where no hook is set pays for a comparison.
__attribute__((noinline)) bool IsRefusedByHook(
    const PortalTask& task) noexcept {
  return PortalAccess::Hooks(task).Refuses() != nullptr;
}

}  // namespace

PortalTask* TaskWithPortal() noexcept {
  PortalTask* const task = ThisThread().current_task;
  if (task == nullptr || !PortalAccess::IsOpen(*task)) return nullptr;
  if (!PortalAccess::Hooks(*task).empty() && IsRefusedByHook(*task))
      [[unlikely]] {
    return nullptr;
  }
  return task;
}

bool IsAbandoned() noexcept {
  const PortalTask* const task = ThisThread().current_task;
  return task != nullptr &&
         PortalAccess::Get(*task) == PortalAccess::Portal::kAbandoned;
}

std::string Describe(const std::source_location& where) {
  return absl::StrCat(where.file_name(), ":", where.line(), " (",
                      where.function_name(), ")");
}

namespace {

// Whether `where` is a line of the standard library. The default argument of a
// lock() names one if std::lock_guard calls it, and so does that of a
// constructor that std::make_unique() calls.
bool IsInStandardLibrary(const std::source_location& where) {
  struct Locked {
    void lock(std::source_location by = std::source_location::current()) {
      called_by = by;
    }
    void unlock() {}
    std::source_location called_by;
  };
  Locked locked;
  {
    const std::lock_guard<Locked> lock(locked);
  }
  // Its headers are in two folders, of which lock_guard is in the inner one.
  absl::string_view folder = locked.called_by.file_name();
  for (int i = 0; i < 2; ++i) folder = folder.substr(0, folder.rfind('/'));
  return !folder.empty() && absl::StartsWith(where.file_name(), folder) &&
         absl::string_view(where.file_name()).substr(folder.size(), 1) == "/";
}

std::string DescribeNoAwait(const std::source_location& where) {
  if (!IsInStandardLibrary(where)) return Describe(where);
  return absl::StrCat("a caller that is not known (it was made in ",
                      where.function_name(),
                      ", of the standard library; a std::source_location as "
                      "its argument, or a greenback::NoAwaitLock in place of a "
                      "lock, names the line)");
}

}  // namespace

Misuse ExplainMisuse(const std::source_location& where,
                     const HostService* service) {
  using Reason = PortalError::Reason;
  const std::string place =
      absl::StrCat("greenback::Await at ", Describe(where), ": ");
  PortalTask* task = ThisThread().current_task;
  if (task == nullptr) {
    return {Reason::kNoTask,
            absl::StrCat(place,
                         "no task is running on this thread; call it inside a "
                         "coroutine that runs as a task, or inside co_await "
                         "greenback::WithPortalRunSync()")};
  }
  const std::string name = absl::StrCat("task \"", task->name(), "\"");
  if (const std::source_location* const no_await =
          PortalAccess::Hooks(*task).Refuses()) {
    return {Reason::kNoAwaitScope,
            absl::StrCat(place, name, " is inside the NoAwaitScope of ",
                         DescribeNoAwait(*no_await),
                         "; end that scope first, or await outside it")};
  }
  if (PortalAccess::Get(*task) == PortalAccess::Portal::kBestowed) {
    return {Reason::kBestowedNow,
            absl::StrCat(place, name,
                         " has bestowed a portal on itself, which is usable "
                         "after its next checkpoint; co_await "
                         "greenback::EnsurePortal() instead")};
  }
  if (PortalAccess::IsOpen(*task) && service != nullptr) {
    return {Reason::kWrongHost,
            absl::StrCat(place, name, " is run by ", task->host(),
                         ", and this awaitable is for ", service->tasks,
                         "; await what ", task->host(), " has for it")};
  }
  return {Reason::kNoPortal,
          absl::StrCat(place, name,
                       " has no portal; co_await greenback::EnsurePortal(), or "
                       "run this through greenback::WithPortalRunSync()")};
}

void ReportNoContext(const PortalTask* task, const char* what) {
  ThrowOrDie(PortalError(
      PortalError::Reason::kWrongHost,
      absl::StrCat(
          "greenback: an awaitable whose ", what,
          " wants an executor or an environment of its own library is awaited "
          "in ",
          task == nullptr
              ? "no task"
              : absl::StrCat("task \"", task->name(),
                             "\", which has none: it is run by ", task->host()),
          "; await it below WithPortalRunSync() in a coroutine of that "
          "library, or write a greenback::AwaitableAdapter for it")));
}

void ReportMisuse(const std::source_location& where,
                  const HostService* service) {
  Misuse misuse = ExplainMisuse(where, service);
  ThrowOrDie(PortalError(misuse.reason, misuse.message));
}

}  // namespace greenback::internal
