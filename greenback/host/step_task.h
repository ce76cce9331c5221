// StepTask: a task of a host whose loop is not greenback's: what such a host
// implements and calls. Internal; for authors of hosts.
//
// Each step of the task runs on a fiber (StepRunner). Step() switches to one,
// calls the step, switches back and recycles the fiber for the next step. A
// step that parks keeps its fiber and returns control to the code that began
// it. When the operation that it awaits has completed, the host calls
// Continue() where the task's steps may run, and the rest of the step runs
// until it ends or parks again. So an idle task holds no stack, and a step
// costs a round trip of two switches. A step of an awaitable that the task
// awaits needs no other fiber: it runs on the stack that waits for it.
//
// A step may begin inside another task's step (Asio's dispatch() does that):
// the outer one stands still until the inner one ends or parks. A step that
// begins inside a step of the same task is part of it, and runs in place.
//
// Threads: the steps of a task follow one another, each on any thread. Only
// what a step does between starting an operation and parking for it may overlap
// with the next step. Idle fibers are kept by thread until its thread-local
// objects are destroyed; steps may still run then, as static objects are
// destroyed later.
#ifndef GREENBACK_HOST_STEP_TASK_H_
#define GREENBACK_HOST_STEP_TASK_H_

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"

namespace greenback::internal {

// A wait that starts when a step has ended or parked; see
// StepTask::StartLate(). Lives in the awaiter of the coroutine that waits.
struct LateStart {
  Waiter* waiter = nullptr;
  // Starts the operation of `waiter`, which is parked, and returns true; or
  // returns false, and the rest of the coroutine follows as a step. The
  // coroutine may be continued and destroyed before this returns true.
  bool (*start)(LateStart& late) = nullptr;
};

class StepTask : public PortalTask {
 public:
  // Calls fn() as a step of this task. Returns when it has returned or parked,
  // and throws what it throws. fn is moved to the fiber. A step of an awaitable
  // that the task awaits at `waiter` runs on the stack of `waiter`, if that is
  // parked.
  template <class Fn>
  void Step(Fn&& fn, FiberWaiter* waiter = nullptr) {
    RunStep(ToCall<Fn>(fn), waiter).CallIfSet();
  }

  // Continues the step in which `waiter`, which has fired, has parked. Returns
  // when that step has ended or has parked again; in a step of this task, at
  // once, and the waiter continues when that ends or parks. For
  // ScheduleContinue().
  void Continue(Waiter& waiter);

  // The host abandons the task: nothing will be continued any more. Unwinds
  // what is parked, innermost first, before it returns; see abandoned.h. Not
  // inside a step of this task.
  void Abandon() noexcept;

  // Whether a step of this task runs on this thread, or stands still for one of
  // another task that began inside it.
  bool IsRunningHere() const noexcept;

  // Whether a step of the task is parked; while no step of it runs.
  bool is_parked() { return PortalAccess::Innermost(*this) != nullptr; }

  // In a step of a StepTask: `late` starts once the step has ended or parked,
  // in no task. False: another one does already.
  static bool StartLate(LateStart& late) noexcept;

  // Whether this is the stack of `waiter`, an Await() in a StepTask. Then
  // waiter.start and waiter.nested may be set.
  static bool IsOnStackOf(const FiberWaiter& waiter) noexcept;
  // In a step of a StepTask: whether a local variable at `address` is on the
  // stack of that step.
  static bool IsOnThisStack(const void* address) noexcept;

 protected:
  explicit StepTask(const char* host, uint8_t services = 0)
      : PortalTask(host, services) {}
  ~StepTask() override = default;

  // Calls Continue(waiter) where the task's steps may run: now if that is here,
  // and this is not inside a step; else soon.
  virtual void ScheduleContinue(Waiter& waiter) noexcept = 0;

  // An override must call it, in a step of this task.
  absl::Status ReserveFiber(FiberWaiter* waiter) override;

  // Sets the flag that becomes true when an Await() that starts after this call
  // parks, so that control returns to the caller of Step(). May be null.
  void set_has_parked(bool* has_parked) { has_parked_ = has_parked; }

  // Whether this thread is in a step, of whatever StepTask.
  static bool IsInStep() noexcept;

  // Step(), but returns what is to be called because the step has ended. If
  // there is nothing, the task may have been destroyed.
  template <class Fn>
  FiberCall BeginStep(Fn&& fn) {
    return RunStep(ToCall<Fn>(fn), nullptr);
  }

  // In a step of this task: `call` is made when the step has ended and its
  // fiber is recycled, on the stack where the step was begun or continued. The
  // task may be destroyed then.
  static void CallAfterStep(FiberCall call);

 private:
  friend class StepRunner;

  // Calls a function that is at `argument`, and moved from there.
  template <class Fn>
  static void Call(void* argument) {
    std::decay_t<Fn> fn =
        std::forward<Fn>(*static_cast<std::remove_reference_t<Fn>*>(argument));
    std::move(fn)();
  }

  template <class Fn>
  static FiberCall ToCall(std::remove_reference_t<Fn>& fn) {
    return {Call<Fn>,
            const_cast<void*>(static_cast<const void*>(std::addressof(fn)))};
  }

  FiberCall RunStep(FiberCall call, FiberWaiter* waiter);
  // In a step of this task: `waiter`, whose wait is over, continues when the
  // step ends or parks.
  void ContinueAfterStep(Waiter& waiter) noexcept;
  // For a host that has no other tasks to run: the rest of the step follows at
  // once. A host with a queue overrides it.
  void ScheduleCheckpoint(Waiter& waiter) override;
  // Before each step: see PortalTask.
  void Promote();

  context::SavedContext* Park(FiberWaiter& waiter) final;
  void Wake(Waiter& waiter) noexcept final;
  void Withdraw(Waiter& waiter) noexcept final;
  void OnSelfBestowed() final { promote_ = true; }

  bool* has_parked_ = nullptr;
  bool promote_ = false;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_STEP_TASK_H_
