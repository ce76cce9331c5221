// SenderTask: the task that runs the function of an AsSender(). Internal to
// as_sender.h.
//
// As a ForeignTask, it has no loop: the completer of an awaited operation
// continues the task at once, on the completer's thread. But a stop may be
// requested by any thread at any time, and cancel hooks may be called only
// where no step of the task runs. So one thread at a time owns the task:
//
//   what a thread does      if the task has an owner     if it has none
//   Start()                 -                            runs a step, Serve()
//   ScheduleContinue()      queues the waiter            the same, and Serve()
//   Cancel()                sets is_cancelled_           the same, and Serve()
//
// The thread that finds no owner is the owner from then on. In Serve() it does
// what other threads have left to it, until there is nothing more; then the
// task has no owner. A task ends in a step, and therefore while it has an
// owner, which completes the receiver.
#ifndef GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_
#define GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_

#include <atomic>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/posted.h"
#include "greenback/host/step_task.h"
#include "greenback/host/waiter.h"

namespace greenback::internal {

class SenderTask : public StepTask {
 public:
  absl::string_view name() const override { return "sender"; }

 protected:
  SenderTask();
  // Not while the task waits: an operation lives until it completes.
  ~SenderTask() override;

  // Calls run() as the first step. This may be destroyed before it returns.
  template <class Run>
  void Start(Run&& run) noexcept {
    Step(std::forward<Run>(run));
    Serve();
  }
  // The last thing in the last step.
  void End() { has_ended_ = true; }

  // On any thread, until Complete() has destroyed the stop callback. Unless the
  // task has an owner, this may be destroyed before it returns.
  void Cancel() noexcept;

 private:
  // The task has ended. Destroys the stop callback before all else, and may
  // destroy this.
  virtual void Complete() noexcept = 0;

  void Serve() noexcept;

  void ScheduleContinue(Waiter& waiter) noexcept override;
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(CancelHook& hook) override;

  std::mutex mutex_;
  bool has_owner_ = true;  // guarded by mutex_; the first one calls Start()
  PostedQueue fired_;      // guarded by mutex_
  // Set with mutex_ locked.
  std::atomic<bool> is_cancelled_{false};
  // The owner's.
  CancelHooks hooks_;
  bool has_called_hooks_ = false;
  bool has_ended_ = false;
};

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_
