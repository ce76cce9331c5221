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

void Main(void* argument) {
  StepFiber& fiber = *static_cast<StepFiber*>(argument);
  while (fiber.call.function != nullptr) {
    CallStep(&fiber);
    context::Switch(fiber.idle, fiber.resumer);
  }
  context::FinalSwitch(fiber.resumer);
}

}  // namespace

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
inline __attribute__((always_inline)) void StepRunner::Finish(Run& run) {
  // What OnParked() could not schedule, since the host continues it at once.
  ScheduleFired(run);
  if (run.after) ResumeAndTransfer(run.after);
  if (run.error) std::rethrow_exception(std::move(run.error));
}

// The task may be destroyed when its step has ended, or has parked where
// another thread resumes it. So it is not touched after a switch: what is
// called then knows a task by a waiter that has fired alone, where the task's
// frames still wait.
inline __attribute__((always_inline)) void StepRunner::RunFrom(
    ThreadState& state, PortalTask& task, StepFiber& fiber,
    context::SavedContext* from) {
  Run run;
  run.fiber = &fiber;
  {
    const Scope scope(state, *this, task, run);
    do {
      context::Switch(run.fiber->resumer, *from);
      from = Next(run);
    } while (from != nullptr);
  }
  Finish(run);
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
  if (fired->kind() == Waiter::Kind::kCoroutine) {
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

void StepRunner::Begin(ThreadState& state, PortalTask& task, FiberCall call) {
  if (!HasOrMakesIdle()) [[unlikely]] {
    // It can do everything but park; ReserveFiber() says why.
    Run run;
    {
      const Scope scope(state, *this, task, run);
      GREENBACK_TRY { call.function(call.argument); }
      GREENBACK_CATCH_ALL { run.error = std::current_exception(); }
    }
    Finish(run);
    return;
  }
  StepFiber& fiber = TakeIdle();
  fiber.call = call;
  RunFrom(state, task, fiber, &fiber.idle);
}

bool StepRunner::BeginOn(ThreadState& state, FiberWaiter& waiter,
                         FiberCall call) {
  if (!waiter.Borrow()) return false;
  StepFiber& fiber = *static_cast<StepFiber*>(waiter.host_fiber);
  fiber.call = call;
  waiter.nested.function = CallStep;
  waiter.nested.argument = &fiber;
  Resume(state, waiter);
  return true;
}

void StepRunner::Resume(ThreadState& state, FiberWaiter& waiter) {
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
