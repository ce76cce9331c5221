#include "greenback/host/step_task.h"

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/abandoned.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"

namespace greenback::internal {

struct StepFiber {
  StepFiber* next = nullptr;  // of the idle ones
  context::Stack stack;
  context::SavedContext idle;     // between steps
  context::SavedContext resumer;  // who waits for the step to end or park
  // The step that begins; null: there will be none.
  void (*call)(void*) = nullptr;
  void* argument = nullptr;
  // What the resumer finds: where the step has parked, or how it has ended.
  FiberWaiter* parked = nullptr;
  std::exception_ptr error;
};

namespace {

// Of one thread; further ones go back to the pool.
constexpr size_t kMostIdle = 64;

// What it throws is for who runs the fiber.
void CallStep(void (*call)(void*), void* argument, StepFiber& fiber) {
  GREENBACK_TRY { call(argument); }
#if defined(__cpp_exceptions)
  catch (const Abandoned&) {
    // Everything is unwound: that is all it was for.
  }
#endif
  GREENBACK_CATCH_ALL { fiber.error = std::current_exception(); }
}

void Main(void* argument) {
  StepFiber& fiber = *static_cast<StepFiber*>(argument);
  while (fiber.call != nullptr) {
    CallStep(fiber.call, fiber.argument, fiber);
    context::Switch(fiber.idle, fiber.resumer);
  }
  context::FinalSwitch(fiber.resumer);
}

}  // namespace

// A step that is being run: who does it.
struct StepRun {
  StepFiber* fiber = nullptr;  // null: there was no stack for one
  Waiter* fired = nullptr;
  std::coroutine_handle<> after;
  std::exception_ptr error;  // of a step that has ended
  // What ran here when it began, and stands still meanwhile.
  PortalTask* outer_task = nullptr;
  StepRun* outer = nullptr;
};

// Trivially destructible, and there as long as the thread is: a static object,
// which is destroyed after the main thread's thread-local ones, may run the
// last steps. They find that no fiber is kept any more.
struct StepThread {
  StepRun* run = nullptr;
  StepFiber* idle = nullptr;
  size_t idle_count = 0;
  size_t most_idle = 0;  // kMostIdle while there is an owner

  bool keeps_fibers() const { return most_idle != 0; }
  bool has_idle() const { return idle != nullptr; }
  StepFiber* TakeIdle() {
    --idle_count;
    return std::exchange(idle, idle->next);
  }
  void AddIdle(StepFiber* fiber) {
    ++idle_count;
    fiber->next = std::exchange(idle, fiber);
  }
  void PutBy(StepFiber* fiber) {
    if (idle_count >= most_idle) [[unlikely]] {
      End(fiber);
      return;
    }
    AddIdle(fiber);
  }
  void EndAll() {
    most_idle = 0;
    while (idle != nullptr) End(TakeIdle());
  }

 private:
  __attribute__((noinline)) static void End(StepFiber* fiber) {
    fiber->call = nullptr;
    context::Switch(fiber->resumer, fiber->idle);
    delete fiber;
  }
};

namespace {

static_assert(std::is_trivially_destructible_v<StepThread>);

// Not inlined: see ThisThread().
__attribute__((noinline)) StepThread& MakeStepThread(ThreadState& state) {
  struct Owner {
    explicit Owner(StepThread& owned) : steps(owned) {
      steps.most_idle = kMostIdle;
    }
    ~Owner() { steps.EndAll(); }
    StepThread& steps;
  };
  thread_local constinit StepThread steps;
  thread_local const Owner owner(steps);
  asm volatile("" ::: "memory");
  // Here, and not where a fiber is made: a thread may only ever resume those of
  // others.
  ReportStackOverflows();
  state.steps = &steps;
  return steps;
}

inline StepThread& StepsOf(ThreadState& state) {
  return state.steps != nullptr ? *state.steps : MakeStepThread(state);
}

// For the time of a run, the thread's current task and run are these.
class StepScope {
 public:
  StepScope(ThreadState& state, StepThread& thread, PortalTask& task,
            StepRun& run)
      : state_(state), thread_(thread), run_(run) {
    run_.outer_task = std::exchange(state_.current_task, &task);
    run_.outer = std::exchange(thread_.run, &run);
  }
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;
  ~StepScope() {
    state_.current_task = run_.outer_task;
    thread_.run = run_.outer;
  }

 private:
  // Who runs a step stays on its thread meanwhile.
  ThreadState& state_;
  StepThread& thread_;
  StepRun& run_;
};

absl::Status MakeIdleFiber(StepThread& thread) {
  context::StackOrError made = context::StackPool::Default().Acquire();
  if (!made.stack) return absl::ResourceExhaustedError(made.error);
  auto fiber = std::make_unique<StepFiber>();
  fiber->stack = std::move(made.stack);
  fiber->idle = context::SavedContext::Create(fiber->stack, Main, fiber.get());
  thread.AddIdle(fiber.release());
  return absl::OkStatus();
}

// False: there is no stack, or no memory.
bool HasIdleFiber(StepThread& thread) noexcept {
  if (thread.has_idle()) [[likely]]
    return true;
  GREENBACK_TRY { return MakeIdleFiber(thread).ok(); }
  GREENBACK_CATCH_ALL { return false; }
}

// A step on the stack of who waits for it.
struct BelowCall {
  void (*call)(void*);
  void* argument;
  StepFiber* fiber;
};

void CallBelow(void* argument) {
  // It is gone when the call has parked, and goes on.
  const BelowCall below = *static_cast<BelowCall*>(argument);
  CallStep(below.call, below.argument, *below.fiber);
}

}  // namespace

void StepTask::Promote() {
  if (!promote_) [[likely]]
    return;
  promote_ = false;
  PromoteBestowed();
}

// The task may be destroyed when its step has ended, or has parked where
// another thread resumes it. So it is not touched after a switch: what is
// called then is static, and knows a task by a waiter that has fired, where its
// frames still wait.
inline __attribute__((always_inline)) void StepTask::Run(
    ThreadState& state, StepThread& thread, StepFiber* fiber,
    context::SavedContext* from) {
  StepRun run;
  run.fiber = fiber;
  {
    const StepScope scope(state, thread, *this, run);
    do {
      context::Switch(run.fiber->resumer, *from);
      from = Next(thread, run);
    } while (from != nullptr);
  }
  if (run.after) ResumeAndTransfer(run.after);
  if (run.error) std::rethrow_exception(std::move(run.error));
}

// `run.fiber` has parked, or ended a step. Gives what else there is to do, and
// null at the end.
inline __attribute__((always_inline)) context::SavedContext* StepTask::Next(
    StepThread& thread, StepRun& run) {
  StepFiber& fiber = *run.fiber;
  if (fiber.parked != nullptr) return OnParked(run);
  if (fiber.error) [[unlikely]]
    run.error = std::move(fiber.error);
  Waiter* const fired = std::exchange(run.fired, nullptr);
  if (fired == nullptr) [[likely]] {
    thread.PutBy(&fiber);
    return nullptr;
  }
  // What fired in its own task's step is the rest of that step.
  if (fired->kind() == Waiter::Kind::kCoroutine) {
    fiber.call = ResumeAddress;
    fiber.argument = fired->handle.address();
    return &fiber.idle;
  }
  thread.PutBy(&fiber);
  FiberWaiter& parked = static_cast<FiberWaiter&>(*fired);
  run.fiber = static_cast<StepFiber*>(parked.host_fiber);
  return &parked.context;
}

void StepTask::ScheduleFired(StepRun& run) {
  if (Waiter* const fired = std::exchange(run.fired, nullptr)) {
    static_cast<StepTask*>(fired->task)->ScheduleContinue(*fired);
  }
}

context::SavedContext* StepTask::OnParked(StepRun& run) {
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

inline __attribute__((always_inline)) void StepTask::Begin(ThreadState& state,
                                                           void (*call)(void*),
                                                           void* argument) {
  Promote();
  StepThread& thread = StepsOf(state);
  if (!HasIdleFiber(thread)) [[unlikely]] {
    // It can do everything but park; ReserveFiber() says why.
    StepRun run;
    {
      const StepScope scope(state, thread, *this, run);
      call(argument);
      ScheduleFired(run);
    }
    if (run.after) ResumeAndTransfer(run.after);
    return;
  }
  StepFiber* const fiber = thread.TakeIdle();
  fiber->call = call;
  fiber->argument = argument;
  Run(state, thread, fiber, &fiber->idle);
}

void StepTask::Step(void (*call)(void*), void* argument, FiberWaiter* below) {
  ThreadState& state = ThisThread();
  if (state.current_task == this) [[unlikely]] {
    call(argument);
    return;
  }
  if (below != nullptr && StepOn(state, *below, call, argument)) return;
  Begin(state, call, argument);
}

bool StepTask::StepOn(ThreadState& state, FiberWaiter& waiter,
                      void (*call)(void*), void* argument) {
  if (!waiter.Borrow()) return false;
  BelowCall below{call, argument, static_cast<StepFiber*>(waiter.host_fiber)};
  waiter.below = CallBelow;
  waiter.below_argument = &below;
  Resume(state, waiter);
  return true;
}

void StepTask::Continue(Waiter& waiter) {
  if (waiter.kind() == Waiter::Kind::kCoroutine) {
    // On a fiber of its own, also where a step of the task has just parked.
    Begin(ThisThread(), ResumeAddress, waiter.handle.address());
    return;
  }
  ThreadState& state = ThisThread();
  if (state.current_task == this) [[unlikely]] {
    ContinueAfter(*state.steps->run, waiter);
    return;
  }
  Resume(state, static_cast<FiberWaiter&>(waiter));
}

void StepTask::Resume(ThreadState& state, FiberWaiter& waiter) {
  Promote();
  Run(state, StepsOf(state), static_cast<StepFiber*>(waiter.host_fiber),
      &waiter.context);
}

bool StepTask::IsInStep() noexcept {
  const StepThread* const steps = ThisThread().steps;
  return steps != nullptr && steps->run != nullptr;
}

bool StepTask::IsRunningHere() const noexcept {
  const ThreadState& state = ThisThread();
  if (state.current_task == this) return true;
  if (state.steps == nullptr) return false;
  for (const StepRun* run = state.steps->run; run; run = run->outer) {
    if (run->outer_task == this) return true;
  }
  return false;
}

void StepTask::ResumeAfterStep(std::coroutine_handle<> handle) {
  StepsOf(ThisThread()).run->after = handle;
}

bool StepTask::IsOnStackOf(const FiberWaiter& waiter) noexcept {
  const StepThread* const steps = ThisThread().steps;
  return steps != nullptr && steps->run != nullptr &&
         steps->run->fiber == waiter.host_fiber;
}

absl::Status StepTask::ReserveFiber(FiberWaiter* waiter) {
  StepThread& thread = StepsOf(ThisThread());
  // The next step of another task shall find a fiber, too; not where it would
  // be left behind when the thread ends.
  if (!thread.has_idle() && thread.keeps_fibers()) [[unlikely]] {
    absl::Status made = MakeIdleFiber(thread);
    if (!made.ok()) return made;
  }
  StepFiber* const fiber = thread.run->fiber;
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
      state.steps->run->fiber == static_cast<FiberWaiter&>(waiter).host_fiber) {
    // It is on its way to Park(), and looks at the state before.
    waiter.FireInline();
    return;
  }
  if (!waiter.Fire()) return;  // Run() sees it
  if (is_running) {
    ContinueAfter(*state.steps->run, waiter);
  } else {
    ScheduleContinue(waiter);
  }
}

void StepTask::Withdraw(Waiter& waiter) noexcept {
  // Nothing is continued any more.
  if (PortalAccess::Get(*this) == PortalAccess::Portal::kAbandoned) return;
  const ThreadState& state = ThisThread();
  if (state.current_task == this) {
    Waiter*& fired = state.steps->run->fired;
    if (fired == &waiter) {
      fired = nullptr;
      return;
    }
  }
  // The host has it in a queue of its own.
  PortalTask::Withdraw(waiter);
}

void StepTask::ContinueAfterStep(Waiter& waiter) noexcept {
  ContinueAfter(*ThisThread().steps->run, waiter);
}

// `waiter` has fired during `run`, which is of the same task.
void StepTask::ContinueAfter(StepRun& run, Waiter& waiter) noexcept {
  if (run.fired == nullptr) {
    run.fired = &waiter;
  } else {
    ScheduleContinue(waiter);
  }
}

void StepTask::Abandon() noexcept {
  PortalAccess::Abandon(*this);
  while (FiberWaiter* const innermost = PortalAccess::Innermost(*this)) {
    innermost->Abandon();
    GREENBACK_TRY { Resume(ThisThread(), *innermost); }
    GREENBACK_CATCH_ALL {
      // What the frames have to say in the end is dropped.
    }
  }
}

}  // namespace greenback::internal
