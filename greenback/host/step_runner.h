// StepRunner: runs the steps of StepTasks on fibers, for one thread. Internal
// to step_task.h.
//
// A step that has ended leaves its fiber to the next one on the thread; a step
// that has parked keeps it.
#ifndef GREENBACK_HOST_STEP_RUNNER_H_
#define GREENBACK_HOST_STEP_RUNNER_H_

#include <cstddef>
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/host/thread_state.h"
#include "greenback/host/waiter.h"

namespace greenback::internal {

struct StepFiber {
  StepFiber* next = nullptr;  // the next idle one
  context::Stack stack;
  context::SavedContext idle;     // between steps
  context::SavedContext resumer;  // waits until the step ends or parks
  // The step to begin, or the nested one. Without a function, the fiber ends.
  FiberCall call;
  // What the resumer finds: where the step has parked, or how it has ended.
  FiberWaiter* parked = nullptr;
  std::exception_ptr error;
};

// It is trivially destructible, and there as long as the thread is. A static
// object, which is destroyed after the main thread's thread-local ones, may run
// the last steps: they find that no fiber is kept any more.
class StepRunner {
 public:
  // A step that is being run.
  struct Run {
    StepFiber* fiber = nullptr;  // null: there was no stack for one
    Waiter* fired = nullptr;     // continues when the step has ended or parked
    LateStart* late = nullptr;   // starts when the step has ended or parked
    FiberCall after;             // called once the step has ended
    std::exception_ptr error;    // of a step that has ended
    // The task and the step that ran here when it began, and stand still.
    PortalTask* outer_task = nullptr;
    Run* outer = nullptr;
  };

  // This thread's, whose state is `state`.
  static StepRunner& Of(ThreadState& state) {
    return state.steps != nullptr ? *state.steps : Make(state);
  }
  // The innermost step on a thread, or null.
  static Run* RunningOn(const ThreadState& state) {
    return state.steps != nullptr ? state.steps->run_ : nullptr;
  }

  // The innermost step on this thread; there is one.
  Run& run() { return *run_; }

  // Each of these two returns what is to be called because the step has ended.
  //
  // Calls `call` as a step of `task`, on a fiber.
  FiberCall Begin(ThreadState& state, PortalTask& task, FiberCall call);
  // Calls `call` as a step of the task of `waiter`, on the stack of that, which
  // the caller has borrowed.
  FiberCall BeginOn(ThreadState& state, FiberWaiter& waiter, FiberCall call);
  // Continues the step in which `waiter` has parked, and calls what is to be
  // called then. (A caller that did that would have one return more to
  // predict.)
  void Resume(ThreadState& state, FiberWaiter& waiter);
  // The same for a task that is being abandoned: nothing is called, since that
  // might destroy the task.
  void Unwind(ThreadState& state, FiberWaiter& waiter);

  // Makes sure that the next step will find a fiber, for as long as the thread
  // keeps any.
  absl::Status Reserve() {
    if (has_idle() || most_idle_ == 0) [[likely]]
      return absl::OkStatus();
    return MakeIdle();
  }

 private:
  // For the time of a run, it is the thread's innermost one, and the thread's
  // current task is the run's.
  class Scope;

  // Of one thread; further ones go back to the pool.
  static constexpr size_t kMostIdle = 64;

  constexpr StepRunner() = default;

  static StepRunner& Make(ThreadState& state);

  FiberCall RunFrom(ThreadState& state, PortalTask& task, StepFiber& fiber,
                    context::SavedContext* from);
  void RunUntilOver(Run& run, context::SavedContext* from);
  context::SavedContext* Next(Run& run);
  static context::SavedContext* OnParked(Run& run);
  context::SavedContext* StartLate(Run& run);
  static void ScheduleFired(Run& run);
  static FiberCall Finish(Run& run);

  bool has_idle() const { return idle_ != nullptr; }
  StepFiber& TakeIdle() {
    --idle_count_;
    return *std::exchange(idle_, idle_->next);
  }
  void AddIdle(StepFiber& fiber) {
    ++idle_count_;
    fiber.next = std::exchange(idle_, &fiber);
  }
  void Recycle(StepFiber& fiber) {
    if (idle_count_ >= most_idle_) [[unlikely]] {
      End(fiber);
      return;
    }
    AddIdle(fiber);
  }
  absl::Status MakeIdle();
  bool HasOrMakesIdle() noexcept;
  __attribute__((noinline)) static void End(StepFiber& fiber);
  void EndAll();

  Run* run_ = nullptr;
  StepFiber* idle_ = nullptr;
  size_t idle_count_ = 0;
  size_t most_idle_ = 0;  // kMostIdle until the thread ends
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_STEP_RUNNER_H_
