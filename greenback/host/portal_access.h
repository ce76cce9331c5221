// PortalAccess: the private side of PortalTask, and the question whether
// Await() may suspend the running task. Internal.
#ifndef GREENBACK_HOST_PORTAL_ACCESS_H_
#define GREENBACK_HOST_PORTAL_ACCESS_H_

#include <memory>
#include <source_location>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "greenback/context/switch.h"
#include "greenback/host/park_hook.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/waiter.h"
#include "greenback/portal_error.h"

namespace greenback::internal {

// For the code that opens portals and awaits, and for what hosts share.
struct PortalAccess {
  using Portal = PortalTask::Portal;

  static bool Offers(const PortalTask& task, const HostService& service) {
    return (task.services_ & service.bit) != 0;
  }
  static bool StartsParked(const PortalTask& task) {
    return (task.services_ & kStartsParked) != 0;
  }
  static bool IsOpen(const PortalTask& task) {
    return task.portal_ == Portal::kOpen;
  }
  static Portal Get(const PortalTask& task) { return task.portal_; }
  static void Set(PortalTask& task, Portal portal) {
    if (task.portal_ != Portal::kAbandoned) task.portal_ = portal;
  }
  static void Abandon(PortalTask& task) { task.portal_ = Portal::kAbandoned; }
  static const ParkHooks& Hooks(const PortalTask& task) {
    return task.park_hooks_;
  }
  static void AddParkHook(PortalTask& task, ParkHook& hook) {
    task.park_hooks_.Add(hook);
  }
  static absl::Status ReserveFiber(PortalTask& task,
                                   FiberWaiter* waiter = nullptr) {
    return task.ReserveFiber(waiter);
  }
  // Leaves the calling stack until `waiter` has fired. Inline, so that one
  // return less follows the switch; see jump.h.
  GREENBACK_SWITCHES_INLINE static void Park(FiberWaiter& waiter) {
    if (!waiter.task->park_hooks_.empty()) [[unlikely]] {
      ParkWithHooks(waiter);
      return;
    }
    SwitchFrom(waiter);
  }
  static void Wake(Waiter& waiter) noexcept { waiter.task->Wake(waiter); }
  static void ScheduleCheckpoint(Waiter& waiter) {
    waiter.task->ScheduleCheckpoint(waiter);
  }
  static void Withdraw(Waiter& waiter) noexcept {
    waiter.task->Withdraw(waiter);
  }
  static absl::Status FinishCheckpoint(PortalTask& task) {
    return task.FinishCheckpoint();
  }
  static std::shared_ptr<internal::Locals>& Locals(PortalTask& task) {
    return task.locals_;
  }
  static bool AddCancelHook(PortalTask& task, CancelHook& hook) {
    return task.AddCancelHook(hook);
  }
  static void RemoveCancelHook(PortalTask& task, CancelHook& hook) noexcept {
    task.RemoveCancelHook(hook);
  }
  static void OnSelfBestowed(PortalTask& task) { task.OnSelfBestowed(); }
  static FiberWaiter*& Innermost(PortalTask& task) { return task.innermost_; }

 private:
  GREENBACK_SWITCHES_INLINE static void SwitchFrom(FiberWaiter& waiter) {
    if (context::SavedContext* const next = waiter.task->Park(waiter)) {
      context::Switch(waiter.context, *next);
    }
  }
  static void ParkWithHooks(FiberWaiter& waiter);
};

inline FiberWaiter::FiberWaiter(PortalTask& waiting)
    : WakenWaiter(Kind::kFiber) {
  task = &waiting;
  FiberWaiter*& innermost = PortalAccess::Innermost(waiting);
  outer = innermost;
  innermost = this;
}
inline FiberWaiter::~FiberWaiter() {
  FiberWaiter** link = &PortalAccess::Innermost(*task);
  while (*link != this) link = &(*link)->outer;
  *link = outer;
}

// Why Await() may not suspend here.
struct Misuse {
  PortalError::Reason reason;
  std::string message;
};

// The running task if Await() may suspend it; null otherwise.
PortalTask* TaskWithPortal() noexcept;

// The running task if it may Await() an awaiter that needs `service`; null
// otherwise. See kNeededService.
template <const HostService* service>
PortalTask* TaskToAwait() noexcept {
  // With UBSan, g++ 12 does not take a comparison of addresses for a constant.
  constexpr bool kNeedsService =
      !std::is_same_v<std::integral_constant<const HostService*, service>,
                      std::integral_constant<const HostService*, nullptr>>;
  PortalTask* const task = TaskWithPortal();
  if constexpr (kNeedsService) {
    if (task != nullptr && !PortalAccess::Offers(*task, *service)) {
      return nullptr;
    }
  }
  return task;
}

// Whether the running task has been abandoned.
bool IsAbandoned() noexcept;

// Why TaskToAwait() returned null for an Await() at `where`, where the task has
// not been abandoned.
Misuse ExplainMisuse(const std::source_location& where,
                     const HostService* service);
// Throws that as a PortalError; without exceptions, prints its text and aborts.
[[noreturn]] void ReportMisuse(const std::source_location& where,
                               const HostService* service);

// Throws a PortalError: what an awaitable wants of its library's coroutines, in
// its function `what`, is not known in `task`, which may be null.
[[noreturn]] void ReportNoContext(const PortalTask* task, const char* what);

// "file.cc:12 (Function)"
std::string Describe(const std::source_location& where);

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_PORTAL_ACCESS_H_
