// Instrument: observes a run, for tracing, statistics, and portals for tasks as
// they are spawned.
//
//   class SlowSteps final : public greenback::Instrument {
//    public:
//     void before_task_step(greenback::Task&) override { start_ = Now(); }
//     void after_task_step(greenback::Task& task) override {
//       if (Now() - start_ > kLimit) Log(task.name(), " blocks its thread");
//     }
//
//    private:
//     absl::Time start_;
//   };
//   ...
//   greenback::AddInstrument(slow_steps);     // in a run
//   options.instruments = {&slow_steps};      // or for the whole run
//
// All hooks do nothing unless overridden. They are called on the run's thread
// and never suspend. Await() in a hook is an error, since no task runs there;
// the exception is task_spawned(), which is called in the step of the task that
// spawns, if there is one. Instruments are called in the order in which they
// were added. One that is added in a hook is called from the next hook on; one
// that is removed is not called any more.
//
// An instrument whose hook throws is removed, a line on standard error says
// why, and the run continues.
//
// A step is what a task does between two returns to the loop. Parking in
// Await() ends a step, and resuming begins one. An instrument added during a
// step receives after_task_step() without the matching before_task_step().
//
// Cost: a run without instruments pays one predictable branch at each place
// where they would be called.
// Ownership: the caller's. An instrument must outlive the run, or be removed.
#ifndef GREENBACK_RUNTIME_INSTRUMENT_H_
#define GREENBACK_RUNTIME_INSTRUMENT_H_

#include <cstddef>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "greenback/host/portal_task.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/task.h"

namespace greenback {

class Instrument {
 public:
  virtual ~Instrument() = default;

  // Called before any task has been spawned, for instruments in RunOptions
  // only.
  virtual void before_run() {}
  // Called after the last task has exited.
  virtual void after_run() {}

  // `task` is in its nursery and has not run yet.
  virtual void task_spawned(Task& /*task*/) {}
  // `task` has become ready, and will run.
  virtual void task_scheduled(Task& /*task*/) {}
  virtual void before_task_step(Task& /*task*/) {}
  virtual void after_task_step(Task& /*task*/) {}
  // `task` has ended. Only the end of its last step is still reported.
  virtual void task_exited(Task& /*task*/) {}

  // Called around each check for I/O, which waits for at most `timeout`
  // (InfiniteDuration: until something happens).
  virtual void before_io_wait(absl::Duration /*timeout*/) {}
  virtual void after_io_wait(absl::Duration /*timeout*/) {}
};

// The run on this thread calls `instrument` from now until the run ends. Does
// nothing if the run calls it already.
void AddInstrument(Instrument& instrument);
// Returns false if it was not there: never added, or removed because it threw.
bool RemoveInstrument(Instrument& instrument);

namespace internal {

// The instruments of a run.
class Instruments final : public LoopObserver {
 public:
  explicit Instruments(Loop& loop) : loop_(loop) { loop.set_instruments(this); }

  void Add(Instrument& instrument);
  bool Remove(Instrument& instrument);
  void RunBegins();
  void RunEnds();

 private:
  void Spawned(Task& task) override;
  void Scheduled(PortalTask& task) override;
  void StepBegins(PortalTask& task) override;
  void StepEnds(PortalTask& task) override;
  void Exited(Task& task) override;
  void IoWaitBegins(absl::Duration timeout) override;
  void IoWaitEnds(absl::Duration timeout) override;

  void Call(const char* hook, absl::FunctionRef<void(Instrument&)> call);
  void Compact();

  Loop& loop_;
  // Null entries were removed during a call.
  std::vector<Instrument*> instruments_;
  bool removed_ = false;  // an entry is null
  int calls_ = 0;         // in progress
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_INSTRUMENT_H_
