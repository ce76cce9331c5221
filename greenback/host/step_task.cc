#include "greenback/host/step_task.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/context/switch.h"
#include "greenback/host/step_runner.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {

void StepTask::Promote() {
  if (!promote_) [[likely]]
    return;
  promote_ = false;
  PromoteBestowed();
}

FiberCall StepTask::RunStep(FiberCall call, FiberWaiter* waiter) {
  ThreadState& state = ThisThread();
  if (state.current_task == this) [[unlikely]] {
    call.function(call.argument);
    return {};
  }
  Promote();
  StepRunner& runner = StepRunner::Of(state);
  if (waiter != nullptr && waiter->Borrow()) {
    return runner.BeginOn(state, *waiter, call);
  }
  return runner.Begin(state, *this, call);
}

void StepTask::Continue(Waiter& waiter) {
  ThreadState& state = ThisThread();
  if (waiter.kind() != Waiter::Kind::kFiber) {
    // On a fiber of its own, also where a step of the task has just parked.
    Promote();
    StepRunner::Of(state)
        .Begin(state, *this, {ResumeAddress, waiter.handle.address()})
        .CallIfSet();
  } else if (state.current_task == this) [[unlikely]] {
    ContinueAfterStep(waiter);
  } else {
    Promote();
    StepRunner::Of(state).Resume(state, static_cast<FiberWaiter&>(waiter));
  }
}

bool StepTask::StartLate(LateStart& late) noexcept {
  LateStart*& pending = StepRunner::RunningOn(ThisThread())->late;
  if (pending != nullptr) return false;
  pending = &late;
  return true;
}

bool StepTask::IsInStep() noexcept {
  return StepRunner::RunningOn(ThisThread()) != nullptr;
}

bool StepTask::IsRunningHere() const noexcept {
  const ThreadState& state = ThisThread();
  if (state.current_task == this) return true;
  for (const StepRunner::Run* run = StepRunner::RunningOn(state); run;
       run = run->outer) {
    if (run->outer_task == this) return true;
  }
  return false;
}

void StepTask::CallAfterStep(FiberCall call) {
  StepRunner::RunningOn(ThisThread())->after = call;
}

bool StepTask::IsOnStackOf(const FiberWaiter& waiter) noexcept {
  const StepRunner::Run* const run = StepRunner::RunningOn(ThisThread());
  return run != nullptr && run->fiber == waiter.host_fiber;
}

bool StepTask::IsOnThisStack(const void* address) noexcept {
  const StepFiber* const fiber = StepRunner::RunningOn(ThisThread())->fiber;
  return fiber != nullptr && fiber->stack.HoldsLocal(address);
}

absl::Status StepTask::ReserveFiber(FiberWaiter* waiter) {
  StepRunner& runner = StepRunner::Of(ThisThread());
  absl::Status reserved = runner.Reserve();
  if (!reserved.ok()) [[unlikely]]
    return reserved;
  StepFiber* const fiber = runner.run().fiber;
  if (waiter != nullptr) {
    waiter->host_fiber = fiber;
    waiter->has_parked = has_parked_;
  }
  if (fiber != nullptr) [[likely]]
    return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "greenback: there was no stack for a fiber when this step of task \"",
      name(), "\" began, so that it cannot wait"));
}

context::SavedContext* StepTask::Park(FiberWaiter& waiter) {
  StepFiber* const fiber = static_cast<StepFiber*>(waiter.host_fiber);
  fiber->parked = &waiter;
  if (waiter.has_parked != nullptr) *waiter.has_parked = true;
  return &fiber->resumer;
}

void StepTask::Wake(Waiter& waiter) noexcept {
  const ThreadState& state = ThisThread();
  const bool is_running = state.current_task == this;
  if (is_running && waiter.kind() == Waiter::Kind::kFiber &&
      state.steps->run().fiber ==
          static_cast<FiberWaiter&>(waiter).host_fiber) {
    // It is about to Park(), and looks at the state before.
    waiter.FireInline();
    return;
  }
  if (!waiter.Fire()) return;  // its StepRunner sees it
  if (is_running) {
    ContinueAfterStep(waiter);
  } else {
    ScheduleContinue(waiter);
  }
}

void StepTask::Withdraw(Waiter& waiter) noexcept {
  const ThreadState& state = ThisThread();
  if (state.current_task == this) {
    Waiter*& fired = state.steps->run().fired;
    if (fired == &waiter) {
      fired = nullptr;
      return;
    }
    LateStart*& late = state.steps->run().late;
    if (late != nullptr && late->waiter == &waiter) {
      late = nullptr;
      return;
    }
  }
  // Nothing else is continued any more.
  if (PortalAccess::Get(*this) == PortalAccess::Portal::kAbandoned) return;
  // The host has it in a queue of its own.
  PortalTask::Withdraw(waiter);
}

void StepTask::ScheduleCheckpoint(Waiter& waiter) { ContinueAfterStep(waiter); }

void StepTask::ContinueAfterStep(Waiter& waiter) noexcept {
  Waiter*& fired = StepRunner::RunningOn(ThisThread())->fired;
  if (fired == nullptr) {
    fired = &waiter;
  } else {
    ScheduleContinue(waiter);
  }
}

void StepTask::Abandon() noexcept {
  PortalAccess::Abandon(*this);
  while (FiberWaiter* const innermost = PortalAccess::Innermost(*this)) {
    innermost->Abandon();
    GREENBACK_TRY {
      ThreadState& state = ThisThread();
      StepRunner::Of(state).Unwind(state, *innermost);
    }
    GREENBACK_CATCH_ALL {
      // An exception from a destructor of the frames is dropped.
    }
  }
}

}  // namespace greenback::internal
