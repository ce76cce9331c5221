// The reactor: Boost.Asio's io_context as the runtime's loop sees it. Internal.
//
// Its handlers only push to the loop's ready queue. No task runs inside Asio's
// frames, so a frame of Asio's is never parked. This header does not include
// Asio: files that start operations include reactor_context.h.
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

class HostIo;
class ReactorContext;  // the io_context and its timer

class Reactor {
 public:
  // `failed` is called with an exception that a handler throws.
  explicit Reactor(void (*failed)(std::exception_ptr error) noexcept);
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  // Whether Wait() may find a handler that is ready.
  bool has_work() const {
    return operations_ != 0 || keep_polling_ || has_posted();
  }
  // Whether it will, for certain or very probably.
  bool has_posted() const { return posted_.load(std::memory_order_acquire); }
  // Waits until a handler has run, or for `timeout`. With a timeout of zero,
  // runs the handlers that are ready, up to a bound, so that one which posts
  // itself again and again starves no task.
  void Wait(absl::Duration timeout);
  // Runs the handlers that are ready now, and not those that become ready
  // meanwhile, which may have no end. Called at the end of the run.
  void Drain();

  // Runs `posted` or `fn` in a later Wait() or Drain(), in the order of
  // posting. May be called on any thread. Posting `posted` never fails; posting
  // a function throws std::bad_alloc if there is no memory.
  void Post(Posted& posted) noexcept;
  void Post(std::function<void()> fn);

  // An operation of the io_context was started, or its handler runs.
  void OperationStarted() { ++operations_; }
  void OperationEnded() { --operations_; }
  // From now on operations may be started without OperationStarted().
  void KeepPolling() { keep_polling_ = true; }

  ReactorContext& context() { return *context_; }
  // Not null.
  HostIo* io();

 private:
  void RunReady();
  // Calls poll(), which runs at most one handler and returns how many it has
  // run. Returns whether it has run one.
  template <class Poll>
  bool RunHandler(Poll poll);
  bool PollOne();
  // A program can stop the io_context, which then no longer waits, but only the
  // end of the main task ends a run. Returns whether it was stopped.
  bool RestartIfStopped();
  // Has the io_context call RunPosted(), which runs everything that is posted.
  void PostRunPosted();
  void RunPosted();

  void (*const failed_)(std::exception_ptr error) noexcept;
  std::unique_ptr<ReactorContext> context_;
  size_t operations_ = 0;
  bool keep_polling_ = false;
  std::atomic<bool> posted_{false};
  // Held while posting: the posted function may end the run, on the run's
  // thread, while the poster still uses this object.
  std::mutex posting_;
  PostedQueue queue_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_REACTOR_H_
