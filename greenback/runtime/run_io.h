// RunIo: what a run offers to code that does I/O for its tasks. Internal, for
// greenback/asio.
//
// A handle to a run, or to none, which is copied like a pointer. It must not be
// used after the run has ended, except to compare it.
//
// Threads: OnThisThread() and Post() may be called on any thread, everything
// else on the run's.
#ifndef GREENBACK_RUNTIME_RUN_IO_H_
#define GREENBACK_RUNTIME_RUN_IO_H_

#include <boost/asio/io_context.hpp>
#include <functional>

#include "greenback/host/portal_task.h"

namespace greenback::internal {

class Loop;
struct PostedLast;

class RunIo {
 public:
  // A handle to no run.
  RunIo() = default;
  // The run on this thread, or none.
  static RunIo Current() noexcept {
    return RunIo(static_cast<Loop*>(ThisThread().loop));
  }
  // The same, but without a run it is an error, which names `what`, the
  // function that was called.
  static RunIo CurrentOrDie(const char* what);
  // The run of `task`, which runs on this thread, or none. `task` may be null.
  static RunIo Of(const PortalTask* task) noexcept;

  explicit operator bool() const noexcept { return loop_ != nullptr; }
  bool operator==(const RunIo&) const noexcept = default;

  // The run polls it between its tasks' steps, and waits in it.
  boost::asio::io_context& context() const noexcept;

  // An operation of context() has been started, or has ended. The run polls
  // while any are in progress.
  void OperationStarted() const noexcept;
  void OperationEnded() const noexcept;
  // From now on operations may be started without OperationStarted(): the run
  // always polls.
  void KeepPolling() const noexcept;

  // Whether the calling thread is the run's.
  bool OnThisThread() const noexcept;

  // Runs `posted` or `fn` on the run's thread, between steps, in the order of
  // posting. Posting `posted` never fails; posting a function throws
  // std::bad_alloc when there is no memory.
  void Post(Posted& posted) const noexcept;
  void Post(std::function<void()> fn) const;
  // Runs `posted` after every handler that context() has ready now. Never
  // fails.
  void PostLast(PostedLast& posted) const noexcept;

 private:
  explicit RunIo(Loop* loop) : loop_(loop) {}

  Loop* loop_ = nullptr;
};

// What PostLast() runs. The caller sets `run_last`, which is called as
// Posted::run is.
struct PostedLast : private Posted {
  using Posted::End;

  void (*run_last)(PostedLast& posted, End end);

 private:
  friend class RunIo;
  RunIo io_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_RUN_IO_H_
