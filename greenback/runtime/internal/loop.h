// The loop of a run: its ready queue, its fibers and its timers. Internal.
//
// The loop runs *on* fibers. A step that does not park costs nothing extra: the
// loop, the coroutine and its synchronous frames are plain calls on one fiber.
// When a step parks, its fiber is suspended as it is, with the loop's frame at
// its base, and the loop continues on another fiber. When the parked fiber is
// woken, the loop, at its top level, files the fiber that it runs on as idle
// and switches to the woken one; once the step ends there, the loop's frame at
// the base of that fiber is the loop. So every idle fiber is suspended at the
// same place, in SwitchTo(), with nothing to unwind, and the loop keeps its
// state in this object and none of it in local variables.
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

// Is notified of what the loop does. Set while there are instruments.
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

// Reports that `what` was called where no task of a run is running.
[[noreturn]] void DieOutsideRun(const char* what);

// The service that a run offers: its tasks are greenback::Task, with cancel
// scopes, in a Loop with timers.
inline constexpr HostService kRunService{
    1, "tasks that are run by greenback::Run()"};

// The base class, private or not, of awaiters that need a task of a run.
struct NeedsRun : ResumesAtHome {};
template <class A>
  requires std::is_base_of_v<NeedsRun, A>
inline constexpr const HostService* kNeededService<A> = &kRunService;

// Calls Fire() at a certain time. Lives in the object that waits for that time.
struct Timer {
  virtual void Fire() = 0;
  absl::Time deadline;
  uint64_t order = 0;  // among equal deadlines; not 0 while armed

 protected:
  ~Timer() = default;
};

// A function to call for a task when its step ends. Lives in the task.
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

  // Calls begin(), and runs what is ready until Stop(). ResourceExhausted if
  // there is no stack to begin on. An exception of begin() propagates, and the
  // thread is then as it was before.
  absl::Status Run(absl::FunctionRef<void()> begin);
  void Stop() { stopped_ = true; }

  // Puts `waiter` at the end of the ready queue.
  void Schedule(Waiter& waiter) {
    if (observer_ != nullptr) [[unlikely]]
      observer_->Scheduled(*waiter.task);
    ready_.Push(waiter);
  }

  // The coroutine of `waiter` is destroyed: whether or not it is ready, it will
  // not be resumed. To be called on the run's thread, or after the run. The
  // time is proportional to the length of the ready queue.
  static void Withdraw(Waiter& waiter) noexcept;

  // What PortalTask's private functions do for tasks of this loop.
  absl::Status ReserveFiber();
  context::SavedContext* Park(FiberWaiter& waiter);
  void Wake(Waiter& waiter) noexcept;

  // Calls promote(task) when the current step ends, unless the promotion has
  // left its list by then. Never fails, since portals are closed in
  // destructors.
  void PromoteAfterStep(Promotion& promotion) noexcept;

  // If there is no memory, throws std::bad_alloc and changes nothing.
  void Arm(Timer& timer, absl::Time deadline);
  void Disarm(Timer& timer);

  bool OnThisThread() const { return std::this_thread::get_id() == thread_; }
  // Posting `posted` never fails; posting a function throws std::bad_alloc if
  // there is no memory.
  void RunSoonFromAnyThread(Posted& posted) noexcept { reactor_.Post(posted); }
  void RunSoonFromAnyThread(std::function<void()> fn) {
    reactor_.Post(std::move(fn));
  }

  PortalTask* current_task() const { return thread_state_->current_task; }
  Clock& clock() { return *clock_; }
  Reactor& reactor() { return reactor_; }

  // A callback of the loop, which runs outside of tasks, has thrown. By default
  // that ends the program by std::terminate().
  virtual void Fail(std::exception_ptr error) noexcept;

  // Null if there are no instruments to notify.
  LoopObserver* observer() const { return observer_; }
  void set_observer(LoopObserver* observer) { observer_ = observer; }
  // The instruments of the run; they are the observer while there are any.
  Instruments* instruments() const { return instruments_; }
  void set_instruments(Instruments* instruments) { instruments_ = instruments; }

  // For the names of tasks.
  uint64_t NextTaskNumber() { return task_number_++; }

  // Steps begun so far.
  uint64_t step_count() const { return step_count_; }

  // The fibers that exist. All but one of them are parked or idle.
  size_t fiber_count() const { return fibers_.size(); }
  size_t idle_fiber_count() const { return idle_.size(); }
  // The switches between fibers so far.
  uint64_t switch_count() const { return switch_count_; }

 private:
  struct Fiber;

  static void FiberMain(void* fiber);
  // Ends all fibers, and restores the thread's state from before the run.
  void End() noexcept;
  // Runs steps until Stop(), on whatever fiber calls it.
  void RunOnThisFiber();
  void RunOne();
  // Whether nothing is ready but `waiter`, or the waker that resumes it.
  bool IsAllThatIsReady(const FiberWaiter& waiter) const;
  void EndStep(PortalTask& task);
  context::SavedContext* LeaveFiber(FiberWaiter& waiter);
  // Does what a step has left to do at the loop's top level. Returns the fiber
  // to switch to afterwards, or null.
  FiberWaiter* AfterStep();
  void Promote();
  // Runs I/O handlers and timers, between steps. If nothing is ready and
  // `may_wait`, waits until something is.
  void PollOrWait(bool may_wait);
  void Poll(absl::Duration timeout);
  void FireTimers();
  // Resumes `waiter`, and files the running fiber as idle, or ends it if there
  // are enough idle ones. At the loop's top level only.
  void SwitchTo(FiberWaiter& waiter);
  absl::Status MakeIdleFiber();
  static void RemoveFiber(void* fiber);

  ThreadState* thread_state_ = nullptr;  // of the run's thread
  ThreadState outer_state_;              // the thread's, from before the run
  const std::thread::id thread_;

  PostedQueue ready_;  // Waiters
  LoopObserver* observer_ = nullptr;
  Instruments* instruments_ = nullptr;
  uint64_t step_count_ = 0;
  // The step before which I/O and timers are checked next, so that a task that
  // never waits starves neither.
  uint64_t next_poll_ = 0;
  bool stopped_ = false;
  Waiter* fired_in_step_ = nullptr;
  IntrusiveList<Promotion> promotions_;

  context::StackPool stacks_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;  // its capacity suffices, so adding never fails
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
