// StepTask: a task of a host whose loop is not greenback's. Internal; for those
// who write hosts.
//
// Each step of such a task runs on a fiber: Step() switches to one, calls what
// is to be run, switches back and puts the fiber by for the next step. A step
// that parks keeps its fiber, and gives control back to who began it; when what
// it awaits has completed, the host calls Continue() where the task's steps may
// run, and the rest of the step gives control back to that caller. So an idle
// task holds no stack, and a step costs a round trip of two switches. What is
// itself awaited in a step needs no other fiber: it runs on the one that waits
// for it.
//
// A step may begin inside another task's step (Asio's dispatch() does that):
// the outer one stands still until the inner one ends or parks. One that begins
// inside a step of the same task is part of it, and runs in place.
//
// Threads: the steps of a task follow one another, each on any thread. Only
// what a step does after it has started what it waits for may overlap the next
// step: it parks. Idle fibers are kept by thread, until its thread-local
// objects are destroyed; steps may still run then, as static objects are
// destroyed later.
#ifndef GREENBACK_HOST_STEP_TASK_H_
#define GREENBACK_HOST_STEP_TASK_H_

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/host/portal_task.h"

namespace greenback::internal {

struct StepFiber;
struct StepRun;

class StepTask : public PortalTask {
 public:
  // Calls fn() as a step of this task. Returns when it has returned or parked,
  // and throws what it throws. fn is moved to the fiber. A step that is a part
  // of what is awaited at `below` runs on the stack that waits there, if
  // something does.
  template <class Fn>
  void Step(Fn&& fn, FiberWaiter* below = nullptr) {
    Step(Call<Fn>,
         const_cast<void*>(static_cast<const void*>(std::addressof(fn))),
         below);
  }

  // Whether this is the stack of `waiter`, which is that of an Await() in a
  // StepTask: then its `start` and `below` may be set.
  static bool IsOnStackOf(const FiberWaiter& waiter) noexcept;

  // Resumes `waiter`, which has fired. Returns when it has come to the end of
  // the step or has parked again; in a step of this task, at once, and what
  // waits is the rest of that step. For ScheduleContinue().
  void Continue(Waiter& waiter);

  // The host gives the task up: nothing will be continued any more. What is
  // parked is unwound, innermost first, before this returns; see abandoned.h.
  // Not inside a step of this task.
  void Abandon() noexcept;

  // Whether a step of this task runs on this thread, or stands still for one of
  // another task that began inside it.
  bool IsRunningHere() const noexcept;

  // Whether something of the task is parked; while no step of it runs.
  bool is_parked() { return PortalAccess::Innermost(*this) != nullptr; }

 protected:
  explicit StepTask(const char* host) : PortalTask(host) {}
  ~StepTask() override = default;

  // What is told that an Await() which begins from now on has parked, and
  // control has gone back to who began the step. May be null.
  void set_has_parked(bool* has_parked) { has_parked_ = has_parked; }

  // Calls Continue(waiter) where the task's steps may run: now if that is here,
  // and this is not inside a step; else soon.
  virtual void ScheduleContinue(Waiter& waiter) noexcept = 0;

  // Whether this thread is in a step, of whatever StepTask.
  static bool IsInStep() noexcept;

  // In a step of this task: `waiter`, whose wait is over, is the rest of the
  // step.
  void ContinueAfterStep(Waiter& waiter) noexcept;

  // When the present step of this task has ended, and its fiber is put by,
  // `handle` is resumed where the step was begun or continued. The task may go
  // then.
  static void ResumeAfterStep(std::coroutine_handle<> handle);

 private:
  // Calls a function that is at `argument`, and moved from there.
  template <class Fn>
  static void Call(void* argument) {
    std::decay_t<Fn> fn =
        std::forward<Fn>(*static_cast<std::remove_reference_t<Fn>*>(argument));
    std::move(fn)();
  }

  void Step(void (*call)(void*), void* argument, FiberWaiter* below);
  // A step on a fiber of its own.
  void Begin(ThreadState& state, void (*call)(void*), void* argument);
  // False: `waiter` is not parked.
  bool StepOn(ThreadState& state, FiberWaiter& waiter, void (*call)(void*),
              void* argument);
  // Runs `fiber` on from `from`; and then what has fired in the step.
  void Run(ThreadState& state, StepThread& thread, StepFiber* fiber,
           context::SavedContext* from);
  static context::SavedContext* Next(StepThread& thread, StepRun& run);
  static context::SavedContext* OnParked(StepRun& run);
  static void ScheduleFired(StepRun& run);
  void Resume(ThreadState& state, FiberWaiter& waiter);
  void ContinueAfter(StepRun& run, Waiter& waiter) noexcept;
  void Promote();

  absl::Status ReserveFiber(FiberWaiter* waiter) final;
  context::SavedContext* Park(FiberWaiter& waiter) final;
  void Wake(Waiter& waiter) noexcept final;
  void Withdraw(Waiter& waiter) noexcept final;
  void OnSelfBestowed() final { promote_ = true; }

  bool* has_parked_ = nullptr;
  bool promote_ = false;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_STEP_TASK_H_
