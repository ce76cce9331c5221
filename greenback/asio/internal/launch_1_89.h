// How Asio knows, in Boost 1.89 to 1.92, whether control has returned to the
// code that spawned a coroutine. Internal to awaitable_thread.h.
//
// launch() has a record in a list of the thread's for as long as it runs; see
// launch_records.h. There is no flag in the frame, and nothing that identifies
// a coroutine without suspending it.
#ifndef GREENBACK_ASIO_INTERNAL_LAUNCH_1_89_H_
#define GREENBACK_ASIO_INTERNAL_LAUNCH_1_89_H_

#include <boost/version.hpp>

#if BOOST_VERSION >= 108900

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include "greenback/asio/internal/frame.h"

namespace greenback::asio::internal {

// co_await FrameIdentity() yields some bool, without suspending. That
// identifies nothing, so that RunningTaskOf() finds no task, and BecomeTask
// asks the frame.
using FrameIdentity = decltype(boost::asio::this_coro::throw_if_cancelled());

template <class Executor>
struct LaunchPrivate {
  // The flag; null: this version of Asio has none.
  static bool* Flag(EntryFrame<Executor>&) { return nullptr; }
  // Resumes the coroutines of `thread`, which are suspended. Not by launch():
  // code that these coroutines run may park the stack on which its record is.
  static void Launch(FrameThread<Executor>& thread) {
    struct Pump : FrameThread<Executor> {
      static void Call(FrameThread<Executor>& pumped) {
        (pumped.*(&Pump::pump))();
      }
    };
    FramePrivate<Executor>::TopOf(*thread.entry_point()).attach_thread(&thread);
    Pump::Call(thread);
  }
};

}  // namespace greenback::asio::internal

#endif  // BOOST_VERSION

#endif  // GREENBACK_ASIO_INTERNAL_LAUNCH_1_89_H_
