// RunIo: what a run offers to code that does I/O for its tasks. Internal, for
// greenback/asio.
//
// A handle of the run, or of none; it is copied like a pointer. It must not be
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
  // Of no run.
  RunIo() = default;
  // The run on this thread, or none.
  static RunIo Current() noexcept {
    return RunIo(static_cast<Loop*>(ThisThread().loop));
  }
  // The same, but where there is none it is an error of `what`, the function
  // that was called.
  static RunIo CurrentOrDie(const char* what);
  // The run of `task`, which runs on this thread, or none. `task` may be null.
  static RunIo Of(const PortalTask* task) noexcept;

  explicit operator bool() const noexcept { return loop_ != nullptr; }
  bool operator==(const RunIo&) const noexcept = default;

  // What the run polls between its tasks' steps, and waits in.
  boost::asio::io_context& context() const noexcept;

  // An operation of context() has been started, or has ended. The run polls
  // while there are any.
  void OperationStarted() const noexcept;
  void OperationEnded() const noexcept;
  // From now on operations may be started without OperationStarted(): the run
  // always polls.
  void KeepPolling() const noexcept;

  // Whether the calling thread is the run's.
  bool OnThisThread() const noexcept;

  // Runs it on the run's thread, between steps, in the order of posting. The
  // first never fails; the second throws std::bad_alloc when there is no
  // memory.
  void Post(Posted& posted) const noexcept;
  void Post(std::function<void()> fn) const;
  // Runs it behind every handler that context() has ready now. Never fails.
  void PostLast(PostedLast& posted) const noexcept;

 private:
  explicit RunIo(Loop* loop) : loop_(loop) {}

  Loop* loop_ = nullptr;
};

// What PostLast() runs. `run_last` is to be set, and is like Posted::run.
struct PostedLast : private Posted {
  using Posted::End;

  void (*run_last)(PostedLast& posted, End end);

 private:
  friend class RunIo;
  RunIo io_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_RUN_IO_H_
