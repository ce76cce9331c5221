// SenderTask: the task that runs the function of an AsSender(). Internal to
// as_sender.h.
//
// It is a ForeignTask around which there is a receiver in place of a coroutine:
// the completer of an awaited operation continues it at once, on the
// completer's thread, and the receiver is completed where the function ends,
// outside of the fiber. The receiver's stop token cancels it.
#ifndef GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_
#define GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_

#include <cassert>
#include <utility>

#include "greenback/host/foreign_call.h"
#include "greenback/host/library_hooks.h"

namespace greenback::internal {

class SenderTask : public ForeignTask {
 protected:
  // `hooks` has the function that links the task to a stop token; it receives
  // `operation`.
  SenderTask(const LibraryHooks& hooks, void* operation) {
    set_name("sender");
    outer_.hooks = &hooks;
    outer_.promise = operation;
  }
  // Not while the task waits: an operation lives until it completes.
  ~SenderTask() override {
    assert(!is_parked() &&
           "the operation of an AsSender() is destroyed before "
           "it has completed");
  }

  // Calls run() as the one step. This may be destroyed before it returns.
  template <class Run>
  void Start(Run run) noexcept {
    auto step = [this, &run] {
      run();
      CallAfterStep({CallComplete, this});
    };
    BeginStep(step).CallIfSet();
  }

 private:
  // The step has ended. May destroy this.
  virtual void Complete() noexcept = 0;

  static void CallComplete(void* task) {
    static_cast<SenderTask*>(task)->Complete();
  }
};

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_SENDER_TASK_H_
