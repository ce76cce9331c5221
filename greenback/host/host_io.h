// HostIo: the io_context of Boost.Asio's that a host polls for its tasks.
// Internal.
//
// A host other than Boost.Asio offers one, so that code that starts operations
// for its tasks (greenback/asio) does not have to know the host. A pointer to
// it must not be used after the host has ended, except to compare it.
//
// Threads: OnThisThread() and Post() may be called on any thread, everything
// else on the host's.
#ifndef GREENBACK_HOST_HOST_IO_H_
#define GREENBACK_HOST_HOST_IO_H_

#include <boost/asio/io_context.hpp>
#include <functional>

#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/posted.h"
#include "greenback/host/thread_state.h"

namespace greenback::internal {

struct PostedLast;

class HostIo {
 public:
  // This thread's, or null.
  static HostIo* Current() noexcept { return ThisThread().io; }
  // That of the host of `task`, which runs on this thread; null if it has none.
  // `task` may be null.
  static HostIo* Of(const PortalTask* task) noexcept {
    return task != nullptr && PortalAccess::Offers(*task, kIoService)
               ? Current()
               : nullptr;
  }

  // The host polls it between its tasks' steps, and waits in it.
  virtual boost::asio::io_context& context() noexcept = 0;

  // An operation of context() has been started, or has ended. The host polls
  // while any are in progress.
  virtual void OperationStarted() noexcept = 0;
  virtual void OperationEnded() noexcept = 0;
  // From now on operations may be started without OperationStarted(): the host
  // always polls.
  virtual void KeepPolling() noexcept = 0;

  // Whether the calling thread is the host's.
  virtual bool OnThisThread() const noexcept = 0;

  // Runs `posted` or `fn` on the host's thread, between steps, in the order of
  // posting. Posting `posted` never fails; posting a function throws
  // std::bad_alloc when there is no memory.
  virtual void Post(Posted& posted) noexcept = 0;
  virtual void Post(std::function<void()> fn) = 0;
  // Runs `posted` after every handler that context() has ready now. Never
  // fails.
  void PostLast(PostedLast& posted) noexcept;

 protected:
  ~HostIo() = default;
};

// What PostLast() runs. The caller sets `run_last`, which is called as
// Posted::run is.
struct PostedLast : private Posted {
  using Posted::End;

  void (*run_last)(PostedLast& posted, End end);

 private:
  friend class HostIo;
  HostIo* io_ = nullptr;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_HOST_IO_H_
