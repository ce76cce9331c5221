// The loop of a run: its ready queue, its fibers and its timers. Internal.
//
// The loop runs *on* fibers. A step that does not park costs nothing extra: the
// loop, the coroutine and its synchronous frames are plain calls on one fiber.
// When a step parks, its fiber is left standing, the loop's frame at its base,
// and the loop goes on on another one. When the parked fiber is woken, the
// loop, at its top level, files the fiber that it runs on as idle and switches
// to the woken one, whose loop frame goes on being the loop once the step ends.
// So every idle fiber stands at the same place, in SwitchTo(), with nothing to
// unwind; and all state of the loop is here, none in locals.
//
// Threads: one; only RunSoonFromAnyThread() may be called from others.
#ifndef GREENBACK_RUNTIME_INTERNAL_LOOP_H_
#define GREENBACK_RUNTIME_INTERNAL_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/awaitable.h"
#include "greenback/context/switch.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/posted.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/internal/reactor.h"

namespace greenback {

class Task;

namespace internal {

class Instruments;

// Is told what the loop does, when there are instruments.
class LoopObserver {
 public:
  virtual void Spawned(Task& task) = 0;
  virtual void Scheduled(PortalTask& task) = 0;
  virtual void StepBegins(PortalTask& task) = 0;
  virtual void StepEnds(PortalTask& task) = 0;
  virtual void Exited(Task& task) = 0;
  virtual void IoWaitBegins(absl::Duration timeout) = 0;
  virtual void IoWaitEnds(absl::Duration timeout) = 0;

 protected:
  ~LoopObserver() = default;
};

// `what` was called where no task of a run is running.
[[noreturn]] void DieOutsideRun(const char* what);

// What a run offers: tasks that are greenback::Task, with cancel scopes, in a
// Loop with timers.
inline constexpr HostService kRunService{
    1, "tasks that are run by greenback::Run()"};

// Base class, private or not, of the awaiters that need a task of a run.
struct NeedsRun : ResumesAtHome {};
template <class A>
  requires std::is_base_of_v<NeedsRun, A>
inline constexpr const HostService* kNeededService<A> = &kRunService;

// Something to do at a time. Lives in what waits for it.
struct Timer {
  virtual void Fire() = 0;
  absl::Time deadline;
  uint64_t order = 0;  // among equal deadlines; not 0 while armed

 protected:
  ~Timer() = default;
};

// What is left to do for a task when its step ends. Lives in the task.
struct Promotion : ListItem<Promotion> {
  PortalTask* task = nullptr;
  void (*promote)(PortalTask&) = nullptr;
};

class Loop {
 public:
  Loop(context::StackPoolOptions stacks, Clock* clock);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  virtual ~Loop();

  // The loop of the run on this thread, or null.
  static Loop* Current() { return static_cast<Loop*>(ThisThread().loop); }

  // Calls begin(), and runs what is ready until Stop(). ResourceExhausted when
  // there is no stack to begin on. Throws what begin() throws; the thread is
  // then as it was before.
  absl::Status Run(absl::FunctionRef<void()> begin);
  void Stop() { stopped_ = true; }

  // At the end of the ready queue.
  void Schedule(Waiter& waiter) {
    if (observer_ != nullptr) [[unlikely]]
      observer_->Scheduled(*waiter.task);
    ready_.Push(waiter);
  }

  // The coroutine of `waiter` is destroyed: it is not resumed, whether it is
  // ready or not. On the run's thread, or after the run. Takes time in
  // proportion to what is ready.
  static void Withdraw(Waiter& waiter) noexcept;

  // PortalTask's private functions, for tasks of this loop.
  absl::Status ReserveFiber();
  context::SavedContext* Park(FiberWaiter& waiter);
  void Wake(Waiter& waiter) noexcept;

  // Calls promote(task) when the present step ends, unless the promotion has
  // left its list by then. Never fails: portals are given back in destructors.
  void PromoteAfterStep(Promotion& promotion) noexcept;

  // Throws std::bad_alloc when there is no memory; nothing has changed then.
  void Arm(Timer& timer, absl::Time deadline);
  void Disarm(Timer& timer);

  bool OnThisThread() const { return std::this_thread::get_id() == thread_; }
  // The first never fails; for the second there must be memory.
  void RunSoonFromAnyThread(Posted& posted) noexcept { reactor_.Post(posted); }
  void RunSoonFromAnyThread(std::function<void()> fn) {
    reactor_.Post(std::move(fn));
  }

  PortalTask* current_task() const { return thread_state_->current_task; }
  Clock& clock() { return *clock_; }
  Reactor& reactor() { return reactor_; }

  // A callback that the loop has called, and no task, has thrown. By default
  // that ends the program: std::terminate().
  virtual void Fail(std::exception_ptr error) noexcept;

  // Null: nobody is told.
  LoopObserver* observer() const { return observer_; }
  void set_observer(LoopObserver* observer) { observer_ = observer; }
  // The run's, which observe when there are any.
  Instruments* instruments() const { return instruments_; }
  void set_instruments(Instruments* instruments) { instruments_ = instruments; }

  // For the names of tasks.
  uint64_t NextTaskNumber() { return task_number_++; }

  // Steps begun so far.
  uint64_t step_count() const { return step_count_; }

  // Fibers that exist; all but one of them are parked or idle.
  size_t fiber_count() const { return fibers_.size(); }
  size_t idle_fiber_count() const { return idle_.size(); }
  // Switches between fibers so far.
  uint64_t switch_count() const { return switch_count_; }

 private:
  struct Fiber;

  static void FiberMain(void* fiber);
  // Ends all fibers, and gives the thread back to what was there before.
  void End() noexcept;
  // Until Stop(), on whatever fiber calls it.
  void RunOnThisFiber();
  void RunOne();
  // In Park().
  bool IsAllThatIsReady(const FiberWaiter& waiter) const;
  void EndStep(PortalTask& task);
  context::SavedContext* LeaveFiber(FiberWaiter& waiter);
  // What a step that returned to the loop's top level has left to do there.
  // Returns what to switch to then, if anything.
  FiberWaiter* AfterStep();
  void Promote();
  // The slow part of taking from the ready queue: I/O, timers, waiting. Between
  // steps.
  void PollOrWait(bool may_wait);
  void Poll(absl::Duration timeout);
  void FireTimers();
  // Files the running fiber as idle, or ends it where there are enough, and
  // resumes `waiter`. At the loop's top level only.
  void SwitchTo(FiberWaiter& waiter);
  absl::Status MakeIdleFiber();
  static void RemoveFiber(void* fiber);

  ThreadState* thread_state_ = nullptr;  // of the run's thread
  ThreadState outer_state_;              // what there was before the run
  const std::thread::id thread_;

  PostedQueue ready_;  // Waiters
  LoopObserver* observer_ = nullptr;
  Instruments* instruments_ = nullptr;
  uint64_t step_count_ = 0;
  // The step before which to look at I/O and timers, so that a task that never
  // waits starves neither.
  uint64_t next_poll_ = 0;
  bool stopped_ = false;
  Waiter* fired_in_step_ = nullptr;
  IntrusiveList<Promotion> promotions_;

  context::StackPool stacks_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;  // has room for all that it may hold
  Fiber* running_ = nullptr;
  context::SavedContext outside_;  // the caller of Run()
  uint64_t switch_count_ = 0;
  uint64_t task_number_ = 0;

  absl::btree_map<std::pair<absl::Time, uint64_t>, Timer*> timers_;
  uint64_t timer_order_ = 0;
  std::unique_ptr<Clock> own_clock_;
  Clock* clock_;
  Reactor reactor_{[](std::exception_ptr error) noexcept {
    Current()->Fail(std::move(error));
  }};
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_INTERNAL_LOOP_H_
