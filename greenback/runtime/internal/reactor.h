// The reactor: Boost.Asio's io_context as the runtime's loop sees it. Internal.
//
// Its handlers only push to the loop's ready queue; no user code runs inside
// Asio's frames, so nothing of Asio is ever parked. Does not include Asio: who
// starts operations includes reactor_context.h.
#ifndef GREENBACK_RUNTIME_INTERNAL_REACTOR_H_
#define GREENBACK_RUNTIME_INTERNAL_REACTOR_H_

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/time/time.h"
#include "greenback/host/posted.h"

namespace greenback::internal {

class ReactorContext;  // the io_context and its timer

class Reactor {
 public:
  // `failed` takes what a handler throws.
  explicit Reactor(void (*failed)(std::exception_ptr error) noexcept);
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  // Whether Wait() could find anything at once.
  bool has_work() const {
    return operations_ != 0 || keep_polling_ || has_posted();
  }
  // Whether it would, for certain or nearly so.
  bool has_posted() const { return posted_.load(std::memory_order_acquire); }
  // Waits until a handler has run, or for `timeout`. With no time to wait, runs
  // what is ready, but not without end: what is posted again and again starves
  // nobody.
  void Wait(absl::Duration timeout);
  // Runs what is ready now; nothing of what that makes ready, which may have no
  // end. At the end of the run.
  void Drain();

  // Runs it in a following Wait() or Drain(), in the order of posting. From any
  // thread. Posting `posted` never fails; for a function there must be memory.
  void Post(Posted& posted) noexcept;
  void Post(std::function<void()> fn);

  // An operation of the io_context was started / its handler runs.
  void OperationStarted() { ++operations_; }
  void OperationEnded() { --operations_; }
  // Operations may be started, from now on, that are not told of.
  void KeepPolling() { keep_polling_ = true; }

  ReactorContext& context() { return *context_; }

 private:
  void RunReady();
  // Runs a handler by poll(), which returns how many it has run; whether it
  // has.
  template <class Poll>
  bool RunHandler(Poll poll);
  bool PollOne();
  // The program can stop the io_context, which would then wait for nothing: a
  // run ends with its main task alone. Whether it was stopped.
  bool RestartIfStopped();
  // Has the io_context call RunPosted(), which runs all that is posted.
  void PostRunPosted();
  void RunPosted();

  void (*const failed_)(std::exception_ptr error) noexcept;
  std::unique_ptr<ReactorContext> context_;
  size_t operations_ = 0;
  bool keep_polling_ = false;
  std::atomic<bool> posted_{false};
  // Held while posting: what is posted may end the run on its thread before the
  // poster has let go of this object.
  std::mutex posting_;
  PostedQueue queue_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_REACTOR_H_
