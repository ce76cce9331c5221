// PortalTask: a task as portals see it, and what a host (the thing that runs
// tasks) does to give its tasks portals.
//
// Users meet it as the argument of HasPortal() and BestowPortal(); the
// runtime's Task is one. To write a host:
//
//  - derive a task type, and implement the private virtual functions below;
//  - around each step of a task, point ThisThread().current_task at it;
//  - call PromoteBestowed() on a task before its next step when
//    OnSelfBestowed() has asked for it.
//
// Threads: a task runs on one thread at a time. Everything here is called by
// the thread that runs the task, but Wake().
#ifndef GREENBACK_HOST_PORTAL_TASK_H_
#define GREENBACK_HOST_PORTAL_TASK_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/context/switch.h"
#include "greenback/host/park_hook.h"
#include "greenback/host/thread_state.h"
#include "greenback/host/waiter.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/portal_error.h"

namespace greenback {

class PortalTask;

namespace internal {

// Something that the tasks of some hosts offer, and some awaiters need, beyond
// what every PortalTask does. One object for each service.
struct HostService {
  uint8_t bit;              // its own
  absl::string_view tasks;  // whose it is, in words: "tasks that ..."
};

// The service without which an awaiter of type A cannot be awaited; null: none.
// Who defines a service specialises this for what needs it.
template <class A>
inline constexpr const HostService* kNeededService = nullptr;

// Something that waits, and wants to know when its task is cancelled. Lives in
// an awaiter, for the time of one wait.
class CancelHook : public ListItem<CancelHook> {
 public:
  // The task is cancelled, and the hook has been taken out: what is awaited may
  // be called off. Called by CancelHooks, on the thread that runs the task.
  virtual void OnCancel() = 0;

 protected:
  CancelHook() = default;
  ~CancelHook() = default;
};

// The hooks of a task.
class CancelHooks {
 public:
  void Add(CancelHook& hook) { hooks_.PushFront(hook); }
  bool empty() const { return hooks_.first() == nullptr; }
  // Does nothing when it was taken out already.
  static void Remove(CancelHook& hook) { hook.LeaveList(); }
  // Takes each out and tells it.
  void Cancel() {
    while (CancelHook* const hook = hooks_.first()) {
      Remove(*hook);
      hook->OnCancel();
    }
  }

 private:
  IntrusiveList<CancelHook> hooks_;
};

// The values of task-local variables; see runtime/task_local.h.
struct Locals;

struct PortalAccess;

}  // namespace internal

class PortalTask {
 public:
  PortalTask(const PortalTask&) = delete;
  PortalTask& operator=(const PortalTask&) = delete;

  // For messages; not empty, and followed by a null character.
  virtual absl::string_view name() const = 0;
  // What runs the task, as messages call it.
  const char* host() const { return host_; }

 protected:
  // `host` is kept as a pointer: a literal. `services` are the bits of what the
  // task offers.
  explicit PortalTask(const char* host, uint8_t services = 0)
      : host_(host), services_(services) {}
  virtual ~PortalTask() = default;

  // What was bestowed on the running task becomes usable.
  void PromoteBestowed() {
    if (portal_ == Portal::kBestowed) portal_ = Portal::kOpen;
  }

  // The coroutine of `waiter` is destroyed, for which ScheduleCheckpoint() or
  // Wake() was called: the host forgets it. By default, for a host that cannot:
  // prints a message and aborts.
  virtual void Withdraw(internal::Waiter& waiter) noexcept;

 private:
  friend struct internal::PortalAccess;

  // Abandoned: nothing will be awaited any more, whatever is opened.
  enum class Portal : uint8_t { kNone, kBestowed, kOpen, kAbandoned };

  // Makes sure that a following Park() cannot fail; ResourceExhausted that
  // names the setting otherwise. Called before anything is awaited, with the
  // waiter of the Await(), if there is one already.
  virtual absl::Status ReserveFiber(internal::FiberWaiter* waiter) = 0;

  // Prepares to leave the calling stack until Wake(waiter). Returns the context
  // to switch to, or null if there is nothing to wait for any more and the
  // caller should continue.
  virtual context::SavedContext* Park(internal::FiberWaiter& waiter) = 0;

  // What was awaited has completed: `waiter` fires. Called once for each wait,
  // on any thread, also before or during Park().
  virtual void Wake(internal::Waiter& waiter) noexcept = 0;

  // Puts `waiter`, a coroutine, at the end of the host's queue: the suspending
  // half of a checkpoint.
  virtual void ScheduleCheckpoint(internal::Waiter& waiter) = 0;
  // The resuming half: OK, or kCancelled when the task is.
  virtual absl::Status FinishCheckpoint() = 0;

  // Until the wait ends, and CancelHooks::Remove() takes it out again, `hook`
  // learns when the task is cancelled. False, and nothing is added, when it is
  // cancelled already.
  virtual bool AddCancelHook(internal::CancelHook& hook) = 0;

  // The running task had a portal bestowed on itself: see PromoteBestowed().
  virtual void OnSelfBestowed() = 0;

  // For the report of a stack overflow: what the program should do about it.
  // Async-signal-safe.
  virtual const char* OverflowAdvice() const noexcept;

  const char* const host_;
  internal::FiberWaiter* innermost_ = nullptr;
  const uint8_t services_;
  Portal portal_ = Portal::kNone;
  internal::ParkHooks park_hooks_;
  std::shared_ptr<internal::Locals> locals_;  // null: none is set
};

namespace internal {

// For hosts, once on each thread before it runs a fiber: turns the report of
// stack overflows on, which then names the running task.
void ReportStackOverflows() noexcept;

// The private side of PortalTask, for the portal manager.
struct PortalAccess {
  using Portal = PortalTask::Portal;

  static bool Offers(const PortalTask& task, const HostService& service) {
    return (task.services_ & service.bit) != 0;
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
  // return less comes after the switch; see jump.h.
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
  static void OnSelfBestowed(PortalTask& task) { task.OnSelfBestowed(); }
  static const char* OverflowAdvice(const PortalTask& task) {
    return task.OverflowAdvice();
  }
  static FiberWaiter*& Innermost(PortalTask& task) { return task.innermost_; }

 private:
  GREENBACK_SWITCHES_INLINE static void SwitchFrom(FiberWaiter& waiter) {
    if (context::SavedContext* const next = waiter.task->Park(waiter)) {
      context::Switch(waiter.context, *next);
    }
  }
  static void ParkWithHooks(FiberWaiter& waiter);
};

inline FiberWaiter::FiberWaiter(PortalTask& waiting) : Waiter(Kind::kFiber) {
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

// The running task if it may Await() what needs `service`; see kNeededService.
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

// Whether the running task is one that is abandoned.
bool IsAbandoned() noexcept;

// Why TaskToAwait() returned null, otherwise, for an Await() at `where`.
Misuse ExplainMisuse(const std::source_location& where,
                     const HostService* service);
// Throws PortalError, or prints its text and aborts.
[[noreturn]] void ReportMisuse(const std::source_location& where,
                               const HostService* service);

// "file.cc:12 (Function)"
std::string Describe(const std::source_location& where);

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_PORTAL_TASK_H_
