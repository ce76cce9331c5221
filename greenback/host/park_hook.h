// ParkHook: is notified when the synchronous frames of a task leave their
// thread, and when they return. Internal.
//
// For a thread-local variable that is to be the task's own, a lock whose holder
// must not wait, a trace. A task has one list of hooks, and an Await() checks
// once whether that is empty.
#ifndef GREENBACK_HOST_PARK_HOOK_H_
#define GREENBACK_HOST_PARK_HOOK_H_

#include <source_location>

#include "greenback/internal/intrusive_list.h"

namespace greenback::internal {

// PortalAccess::AddParkHook() adds it to the list of a task, where it stays
// until LeaveList(), or until the task ends. Its functions are called on the
// task's thread; they must not await, and must not change the list.
class ParkHook : public ListItem<ParkHook> {
 public:
  // If it is not null, an Await() is refused, and its error names this place.
  virtual const std::source_location* Refuses() const noexcept {
    return nullptr;
  }
  // An Await() is about to leave the thread to others / has resumed, perhaps on
  // another thread. Called in pairs, also if nothing else had to run.
  virtual void Leaves() noexcept {}
  virtual void Returns() noexcept {}

 protected:
  ParkHook() = default;
  ~ParkHook() = default;
};

// The hooks of a task, the latest first.
class ParkHooks {
 public:
  ParkHooks() = default;
  ParkHooks(const ParkHooks&) = delete;
  ParkHooks& operator=(const ParkHooks&) = delete;
  ~ParkHooks() { hooks_.Clear(); }

  bool empty() const { return hooks_.empty(); }
  void Add(ParkHook& hook) { hooks_.PushFront(hook); }

  // The place that the latest hook names which refuses an Await(); null if none
  // does.
  const std::source_location* Refuses() const noexcept {
    for (const ParkHook* hook = hooks_.first(); hook != nullptr;
         hook = hooks_.Next(*hook)) {
      if (const std::source_location* const where = hook->Refuses()) {
        return where;
      }
    }
    return nullptr;
  }
  // Calls Leaves() of the latest hook first. Return() calls Returns() in
  // reverse order.
  void Leave() noexcept {
    for (ParkHook* hook = hooks_.first(); hook != nullptr;
         hook = hooks_.Next(*hook)) {
      hook->Leaves();
    }
  }
  void Return() noexcept { Return(hooks_.first()); }

 private:
  void Return(ParkHook* hook) noexcept {
    if (hook == nullptr) return;
    Return(hooks_.Next(*hook));
    hook->Returns();
  }

  IntrusiveList<ParkHook> hooks_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_PARK_HOOK_H_
