// How Asio knows, in Boost 1.81 to 1.88, whether control has returned to the
// code that spawned a coroutine. Internal to awaitable_thread.h.
//
// The entry point's frame has a flag for it, has_context_switched_. It is the
// one member that a coroutine can reach without being suspended, so its address
// identifies the coroutine.
#ifndef GREENBACK_ASIO_INTERNAL_LAUNCH_1_81_H_
#define GREENBACK_ASIO_INTERNAL_LAUNCH_1_81_H_

#include <boost/version.hpp>

#if BOOST_VERSION < 108900

#include <boost/asio/awaitable.hpp>

#include "greenback/asio/internal/frame.h"

namespace greenback::asio::internal {

struct LaunchAccess;

// co_await FrameIdentity() yields a reference to the flag of the coroutine.
using FrameIdentity =
    boost::asio::detail::awaitable_thread_has_context_switched;

template <class Executor>
using LaunchPrivate =
    boost::asio::detail::awaitable_async_op_handler<LaunchAccess, Executor>;

}  // namespace greenback::asio::internal

template <class Executor>
class boost::asio::detail::awaitable_async_op_handler<
    greenback::asio::internal::LaunchAccess, Executor> {
 public:
  // The flag; null: this version of Asio has none.
  static bool* Flag(greenback::asio::internal::EntryFrame<Executor>& entry) {
    return &entry.has_context_switched_;
  }
  // Resumes the coroutines of `thread`, which are suspended.
  static void Launch(greenback::asio::internal::FrameThread<Executor>& thread) {
    thread.launch();
  }
};

#endif  // BOOST_VERSION

#endif  // GREENBACK_ASIO_INTERNAL_LAUNCH_1_81_H_
