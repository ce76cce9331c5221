#include "greenback/host/step_runner.h"

#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/abandoned.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "greenback/host/step_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {
namespace {

// What the step throws is rethrown where the fiber was resumed.
void CallStep(void* argument) {
  StepFiber& fiber = *static_cast<StepFiber*>(argument);
  const FiberCall call = fiber.call;
  GREENBACK_TRY { call.function(call.argument); }
#if defined(__cpp_exceptions)
  catch (const Abandoned&) {
    // Everything is unwound: that is all it was for.
  }
#endif
  GREENBACK_CATCH_ALL { fiber.error = std::current_exception(); }
}

// It can do everything but park; ReserveFiber() says why.
void CallWithoutFiber(StepRunner::Run& run, FiberCall call) {
  GREENBACK_TRY { call.function(call.argument); }
  GREENBACK_CATCH_ALL { run.error = std::current_exception(); }
}

void Main(void* argument) {
  StepFiber& fiber = *static_cast<StepFiber*>(argument);
  while (fiber.call.function != nullptr) {
    CallStep(&fiber);
    context::Switch(fiber.idle, fiber.resumer);
  }
  context::FinalSwitch(fiber.resumer);
}

}  // namespace

// g++ 16, when it optimises, does not see that the destructor replaces what the
// constructor has stored.
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdangling-pointer"
#endif
class StepRunner::Scope {
 public:
  Scope(ThreadState& state, StepRunner& runner, PortalTask& task, Run& run)
      : state_(state), runner_(runner), run_(run) {
    run_.outer_task = std::exchange(state_.current_task, &task);
    run_.outer = std::exchange(runner_.run_, &run);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() {
    state_.current_task = run_.outer_task;
    runner_.run_ = run_.outer;
  }

 private:
  // A caller that runs a step stays on its thread meanwhile.
  ThreadState& state_;
  StepRunner& runner_;
  Run& run_;
};
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif

// Not inlined: see ThisThread().
__attribute__((noinline)) StepRunner& StepRunner::Make(ThreadState& state) {
  static_assert(std::is_trivially_destructible_v<StepRunner>);
  struct Owner {
    explicit Owner(StepRunner& owned) : runner(owned) {
      runner.most_idle_ = kMostIdle;
    }
    ~Owner() { runner.EndAll(); }
    StepRunner& runner;
  };
  thread_local constinit StepRunner runner;
  thread_local const Owner owner(runner);
  asm volatile("" ::: "memory");
  // Here, and not where a fiber is made: a thread may only ever resume those of
  // others.
  ReportStackOverflows();
  state.steps = &runner;
  return runner;
}

void StepRunner::ScheduleFired(Run& run) {
  if (Waiter* const fired = std::exchange(run.fired, nullptr)) {
    static_cast<StepTask*>(fired->task)->ScheduleContinue(*fired);
  }
}

// The step has ended or parked, and this thread has left its task.
inline __attribute__((always_inline)) FiberCall StepRunner::Finish(Run& run) {
  // What OnParked() could not schedule, since the host continues it at once.
  ScheduleFired(run);
  if (run.error) [[unlikely]] {
    run.after.CallIfSet();
    std::rethrow_exception(std::move(run.error));
  }
  return run.after;
}

// Switches to `from`, and to what else the run has to do then.
inline __attribute__((always_inline)) void StepRunner::RunUntilOver(
    Run& run, context::SavedContext* from) {
  while (from != nullptr) {
    context::Switch(run.fiber->resumer, *from);
    from = Next(run);
    if (from == nullptr && run.late != nullptr) [[unlikely]]
      from = StartLate(run);
  }
}

// The task may be destroyed when its step has ended, or has parked where
// another thread resumes it. So it is not touched after a switch: what is
// called then knows a task by a waiter that has fired alone, where the task's
// frames still wait.
inline __attribute__((always_inline)) FiberCall
StepRunner::RunFrom(ThreadState& state, PortalTask& task, StepFiber& fiber,
                    context::SavedContext* from) {
  Run run;
  run.fiber = &fiber;
  {
    const Scope scope(state, *this, task, run);
    RunUntilOver(run, from);
  }
  return Finish(run);
}

// All that the step was doing stands still. An operation that completes here
// lets the rest of its coroutine follow as a step.
context::SavedContext* StepRunner::StartLate(Run& run) {
  while (LateStart* const late = std::exchange(run.late, nullptr)) {
    const FiberCall rest = {ResumeAddress, late->waiter->handle.address()};
    if (late->start(*late)) continue;
    if (HasOrMakesIdle()) {
      run.fiber = &TakeIdle();
      run.fiber->call = rest;
      return &run.fiber->idle;
    }
    run.fiber = nullptr;
    CallWithoutFiber(run, rest);
  }
  return nullptr;
}

// `run.fiber` has parked, or ended a step. Returns what else there is to
// resume, and null at the end.
inline __attribute__((always_inline)) context::SavedContext* StepRunner::Next(
    Run& run) {
  StepFiber& fiber = *run.fiber;
  if (fiber.parked != nullptr) return OnParked(run);
  if (fiber.error) [[unlikely]]
    run.error = std::move(fiber.error);
  Waiter* const fired = std::exchange(run.fired, nullptr);
  if (fired == nullptr) [[likely]] {
    Recycle(fiber);
    return nullptr;
  }
  // What fired in its own task's step is the rest of that step.
  if (fired->kind() != Waiter::Kind::kFiber) {
    fiber.call.function = ResumeAddress;
    fiber.call.argument = fired->handle.address();
    return &fiber.idle;
  }
  Recycle(fiber);
  FiberWaiter& parked = static_cast<FiberWaiter&>(*fired);
  run.fiber = static_cast<StepFiber*>(parked.host_fiber);
  return &parked.context;
}

context::SavedContext* StepRunner::OnParked(Run& run) {
  FiberWaiter& waiter = *std::exchange(run.fiber->parked, nullptr);
  // Until then, what else fires is scheduled, too.
  ScheduleFired(run);
  if (const auto start = std::exchange(waiter.start, nullptr)) {
    waiter.ParkUnshared();
    if (start(waiter.start_argument, waiter)) return nullptr;
    return &waiter.context;
  }
  if (waiter.Park()) return nullptr;
  return &waiter.context;  // it has fired before it was parked
}

FiberCall StepRunner::Begin(ThreadState& state, PortalTask& task,
                            FiberCall call) {
  if (!HasOrMakesIdle()) [[unlikely]] {
    Run run;
    {
      const Scope scope(state, *this, task, run);
      CallWithoutFiber(run, call);
      RunUntilOver(run, StartLate(run));
    }
    return Finish(run);
  }
  StepFiber& fiber = TakeIdle();
  fiber.call = call;
  return RunFrom(state, task, fiber, &fiber.idle);
}

FiberCall StepRunner::BeginOn(ThreadState& state, FiberWaiter& waiter,
                              FiberCall call) {
  StepFiber& fiber = *static_cast<StepFiber*>(waiter.host_fiber);
  fiber.call = call;
  waiter.nested.function = CallStep;
  waiter.nested.argument = &fiber;
  return RunFrom(state, *waiter.task, fiber, &waiter.context);
}

void StepRunner::Resume(ThreadState& state, FiberWaiter& waiter) {
  RunFrom(state, *waiter.task, *static_cast<StepFiber*>(waiter.host_fiber),
          &waiter.context)
      .CallIfSet();
}

void StepRunner::Unwind(ThreadState& state, FiberWaiter& waiter) {
  RunFrom(state, *waiter.task, *static_cast<StepFiber*>(waiter.host_fiber),
          &waiter.context);
}

absl::Status StepRunner::MakeIdle() {
  context::StackOrError made = context::StackPool::Default().Acquire();
  if (!made.stack) return absl::ResourceExhaustedError(made.error);
  auto fiber = std::make_unique<StepFiber>();
  fiber->stack = std::move(made.stack);
  fiber->idle = context::SavedContext::Create(fiber->stack, Main, fiber.get());
  AddIdle(*fiber.release());
  return absl::OkStatus();
}

// False: there is no stack, or no memory.
inline bool StepRunner::HasOrMakesIdle() noexcept {
  if (has_idle()) [[likely]]
    return true;
  GREENBACK_TRY { return MakeIdle().ok(); }
  GREENBACK_CATCH_ALL { return false; }
}

void StepRunner::End(StepFiber& fiber) {
  fiber.call.function = nullptr;
  context::Switch(fiber.resumer, fiber.idle);
  delete &fiber;
}

void StepRunner::EndAll() {
  most_idle_ = 0;
  while (has_idle()) End(TakeIdle());
}

}  // namespace greenback::internal
