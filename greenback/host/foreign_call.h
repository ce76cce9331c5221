// ForeignCall<R>: a WithPortalRun[Sync]() in a coroutine that no host of
// greenback's runs. Internal to portal.h.
//
// The call is a task of its own, which lives as long as the call does, and its
// one step runs on a fiber. While that is parked the coroutine stays suspended.
// There is no loop to come home to: who completes what is awaited goes on with
// the fiber at once, on its own thread, and when the call has ended resumes the
// coroutine, as it is among coroutines.
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

  // The one step has ended: `coroutine_` goes on, unless it never stopped.
  void End();
  // After the step began. False: it has ended already.
  bool Suspend() { return race_.Suspend(); }

  std::coroutine_handle<> coroutine_;

 private:
  void ScheduleContinue(Waiter& waiter) noexcept override { Continue(waiter); }
  // There are no others to let run: what is left of this step comes first.
  void ScheduleCheckpoint(Waiter& waiter) override;
  absl::Status FinishCheckpoint() override { return absl::OkStatus(); }
  bool AddCancelHook(CancelHook& hook) override {
    hooks_.Add(hook);
    return true;
  }

  SuspendRace race_;         // of the coroutine with the step
  bool has_parked_ = false;  // known to the step alone
  CancelHooks hooks_;        // nobody cancels
};

template <class R>
class ForeignCall final : public ForeignTask {
 public:
  ForeignCall() {}  // = default would let emplace() clear all of it first
  // The coroutine is destroyed while it waits here.
  ~ForeignCall() override {
    if (is_parked()) Abandon();
  }

  // Begins with fn(), which lives until the call has ended. False: it has ended
  // already; else `coroutine` is resumed when it does.
  template <class Fn>
  bool Start(Fn& fn, std::coroutine_handle<> coroutine) {
    coroutine_ = coroutine;
    Step([this, &fn] {
      GREENBACK_TRY { outcome_.SetValue(fn); }
#if defined(__cpp_exceptions)
      catch (const Abandoned&) {
        return;  // there is nobody to tell
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
