// ForeignCall<R>: a WithPortalRun[Sync]() in a coroutine that no host of
// greenback's runs. Internal to portal.h.
//
// The call is a task of its own, which lives as long as the call does, and its
// one step runs on a fiber. While the fiber is parked, the coroutine stays
// suspended. There is no loop in whose thread the fiber could resume: the
// completer of the awaited operation resumes it at once, on the completer's
// thread, and resumes the coroutine there when the call has ended. Coroutines
// without a host resume each other in the same way.
#ifndef GREENBACK_HOST_FOREIGN_CALL_H_
#define GREENBACK_HOST_FOREIGN_CALL_H_

#include <coroutine>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/abandoned.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/host/suspend_race.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/in_place.h"
#include "greenback/internal/outcome.h"

namespace greenback::internal {

class ForeignTask : public StepTask {
 public:
  absl::string_view name() const override { return "foreign coroutine"; }

 protected:
  ForeignTask();
  ~ForeignTask() override = default;

  // The one step has ended: resumes `coroutine_`, if that was suspended.
  void End();
  // To be called when the step has begun. False: it has ended already.
  bool Suspend() { return race_.Suspend(); }

  std::coroutine_handle<> coroutine_;

 private:
  void ScheduleContinue(Waiter& waiter) noexcept override { Continue(waiter); }
  absl::Status FinishCheckpoint() override { return absl::OkStatus(); }
  bool AddCancelHook(CancelHook& hook) override {
    hooks_.Add(hook);
    return true;
  }

  SuspendRace race_;         // between the coroutine and the step
  bool has_parked_ = false;  // used by the step alone
  CancelHooks hooks_;        // never called: nothing cancels
};

template <class R>
class ForeignCall final : public ForeignTask {
 public:
  ForeignCall() {}  // = default would let emplace() clear all of it first
  // If the coroutine is destroyed while it waits here, the step is unwound.
  ~ForeignCall() override {
    if (is_parked()) Abandon();
  }

  // Begins the step, fn(); fn must live until the call has ended. False: it has
  // ended already. Otherwise `coroutine` is resumed when it ends.
  template <class Fn>
  bool Start(Fn& fn, std::coroutine_handle<> coroutine) {
    coroutine_ = coroutine;
    Step([this, &fn] {
      GREENBACK_TRY { outcome_.SetValue(fn); }
#if defined(__cpp_exceptions)
      catch (const Abandoned&) {
        return;  // nothing waits for the result any more
      }
#endif
      GREENBACK_CATCH_ALL { outcome_.SetCurrentException(); }
      if (PortalAccess::Get(*this) != PortalAccess::Portal::kAbandoned) End();
    });
    return Suspend();
  }

  R Take() { return outcome_.Take(); }

 private:
  Outcome<R> outcome_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_FOREIGN_CALL_H_
