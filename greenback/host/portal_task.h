// PortalTask: a task as portals see it, and what a host (the code that runs
// tasks) implements to give its tasks portals.
//
// Users meet it as the argument of HasPortal() and BestowPortal(); the
// runtime's Task is one. To write a host:
//
//  - derive a task type, and implement the private virtual functions below;
//  - call ReportStackOverflows() once on each thread before it runs a fiber;
//  - around each step of a task, point ThisThread().current_task at it;
//  - call PromoteBestowed() on a task before its next step when
//    OnSelfBestowed() has asked for it.
//
// Threads: a task runs on one thread at a time. Everything here is called on
// the thread that runs the task, except Wake().
#ifndef GREENBACK_HOST_PORTAL_TASK_H_
#define GREENBACK_HOST_PORTAL_TASK_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/context/switch.h"
#include "greenback/host/park_hook.h"
#include "greenback/host/thread_state.h"
#include "greenback/host/waiter.h"
#include "greenback/internal/intrusive_list.h"

namespace greenback {

namespace internal {

class CancelHook;
struct Locals;  // the values of task-local variables; see ../task_local.h
struct PortalAccess;

// For hosts, once on each thread before it runs a fiber: turns on the report of
// stack overflows, which then names the running task.
void ReportStackOverflows() noexcept;

}  // namespace internal

class PortalTask {
 public:
  PortalTask(const PortalTask&) = delete;
  PortalTask& operator=(const PortalTask&) = delete;

  // For messages; not empty, and followed by a null character.
  virtual absl::string_view name() const = 0;
  // What runs the task, as messages call it.
  const char* host() const { return host_; }

 private:
  // Makes sure that a following Park() cannot fail, or returns
  // ResourceExhausted, with a message that names the setting to raise. Called
  // before anything is awaited, with the waiter of the Await(); null if there
  // is none yet.
  virtual absl::Status ReserveFiber(internal::FiberWaiter* waiter) = 0;

  // Prepares to leave the calling stack until Wake(waiter). Returns the context
  // to switch to, or null if `waiter` has nothing to wait for any more and the
  // caller should continue.
  virtual context::SavedContext* Park(internal::FiberWaiter& waiter) = 0;

  // The awaited operation has completed: fires `waiter`, and resumes it, now or
  // later, if it was parked. Called once for each wait, on any thread, also
  // before or during Park().
  virtual void Wake(internal::Waiter& waiter) noexcept = 0;

  // The suspending half of a checkpoint: puts `waiter`, a coroutine, at the end
  // of the host's queue.
  virtual void ScheduleCheckpoint(internal::Waiter& waiter) = 0;
  // The resuming half: returns kCancelled if the task is cancelled, and OK
  // otherwise.
  virtual absl::Status FinishCheckpoint() = 0;

  // Notifies `hook` when the task is cancelled, until it is removed at the end
  // of the wait. Returns false, and adds nothing, if the task is cancelled
  // already.
  virtual bool AddCancelHook(internal::CancelHook& hook) = 0;
  // Does nothing if it was removed already. A host whose tasks are cancelled on
  // any thread overrides it, to wait for a notification on another thread.
  virtual void RemoveCancelHook(internal::CancelHook& hook) noexcept;

  // The running task has bestowed a portal on itself: the host has to call
  // PromoteBestowed() before the task's next step.
  virtual void OnSelfBestowed() = 0;

  // What the program should do about a stack overflow, for its report.
  // Async-signal-safe.
  virtual const char* OverflowAdvice() const noexcept;

 protected:
  // `host` is kept as a pointer, so it is a literal. `services` has the bits of
  // the services that the task offers.
  explicit PortalTask(const char* host, uint8_t services = 0)
      : host_(host), services_(services) {}
  virtual ~PortalTask() = default;

  // Makes usable what was bestowed on the running task.
  void PromoteBestowed() {
    if (portal_ == Portal::kBestowed) portal_ = Portal::kOpen;
  }

  // The coroutine of `waiter` is destroyed after ScheduleCheckpoint() or Wake()
  // was called for it: the host removes it from its queue. The default, for a
  // host that cannot do that, prints a message and aborts.
  virtual void Withdraw(internal::Waiter& waiter) noexcept;

 private:
  friend struct internal::PortalAccess;
  friend void internal::ReportStackOverflows() noexcept;

  // kAbandoned: nothing will be awaited any more, whatever is opened.
  enum class Portal : uint8_t { kNone, kBestowed, kOpen, kAbandoned };

  const char* const host_;
  internal::FiberWaiter* innermost_ = nullptr;
  const uint8_t services_;
  Portal portal_ = Portal::kNone;
  internal::ParkHooks park_hooks_;
  std::shared_ptr<internal::Locals> locals_;  // null: none is set
};

namespace internal {

// A service that the tasks of some hosts offer and some awaiters need, beyond
// what every PortalTask does. There is one object for each service.
struct HostService {
  uint8_t bit;              // which no other service has
  absl::string_view tasks;  // those that offer it, in words: "tasks that ..."
};

// Among the bits of the services, and none itself: what a task awaits starts
// when its waiter has parked; see parked_start.h.
inline constexpr uint8_t kStartsParked = 4;

// The service of a host whose thread has a HostIo; see host_io.h.
inline constexpr HostService kIoService{
    2, "tasks whose host polls an io_context for them"};

// The service without which an awaiter of type A cannot be awaited; null if it
// needs none. The code that defines a service specialises this for the awaiters
// that need it.
template <class A>
inline constexpr const HostService* kNeededService = nullptr;

// Is notified when its task is cancelled while it waits. Lives in an awaiter,
// for the time of one wait.
class CancelHook : public ListItem<CancelHook> {
 public:
  // The task is cancelled, and the hook has been removed: the awaited operation
  // may be cancelled. Called on the thread that runs the task; in a coroutine
  // of another library, on the thread that cancels it.
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
  // Does nothing if it was removed already.
  static void Remove(CancelHook& hook) { hook.LeaveList(); }
  // Removes and notifies each of them.
  void Cancel() {
    while (CancelHook* const hook = hooks_.first()) {
      Remove(*hook);
      hook->OnCancel();
    }
  }

 private:
  IntrusiveList<CancelHook> hooks_;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_PORTAL_TASK_H_
