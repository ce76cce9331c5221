// The private members of boost::asio::awaitable's frames that are the same in
// all versions of Boost from 1.81 on. Internal to awaitable_thread.h.
//
// The executor, the cancellation state and the top of the stack of frames are
// private members of the entry point's frame. Asio's operation handlers are
// friends of it, and the specialisation below is one of them.
#ifndef GREENBACK_ASIO_INTERNAL_FRAME_H_
#define GREENBACK_ASIO_INTERNAL_FRAME_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>

namespace greenback::asio::internal {

struct FrameAccess;

using EntryPoint = boost::asio::detail::awaitable_thread_entry_point;
template <class Executor>
using EntryFrame = boost::asio::detail::awaitable_frame<EntryPoint, Executor>;
template <class Executor>
using BaseFrame = boost::asio::detail::awaitable_frame_base<Executor>;
template <class Executor>
using FrameThread = boost::asio::detail::awaitable_thread<Executor>;
// Owns a suspended coroutine, and resumes it when it is called.
template <class Executor>
using Resumer =
    boost::asio::detail::awaitable_async_op_handler<void(), Executor>;
template <class Executor>
using FramePrivate =
    boost::asio::detail::awaitable_async_op_handler<FrameAccess, Executor>;

}  // namespace greenback::asio::internal

template <class Executor>
class boost::asio::detail::awaitable_async_op_handler<
    greenback::asio::internal::FrameAccess, Executor> {
  using Entry = greenback::asio::internal::EntryFrame<Executor>;
  using Frame = greenback::asio::internal::BaseFrame<Executor>;

  struct Peek : Frame {
    static bool IsAttached(Frame& frame) {
      return frame.*(&Peek::attached_thread_) != nullptr;
    }
  };

 public:
  static Executor& ExecutorOf(Entry& entry) { return entry.u_.executor_; }
  static cancellation_state& CancellationOf(Entry& entry) {
    return entry.cancellation_state_;
  }
  static cancellation_slot& ParentSlotOf(Entry& entry) {
    return entry.parent_cancellation_slot_;
  }
  static bool& ThrowsIfCancelled(Entry& entry) {
    return entry.throw_if_cancelled_;
  }
  static Frame& TopOf(Entry& entry) { return *entry.top_of_stack_; }
  // Whether the coroutine's own code runs (or has ended), and not an operation
  // that it has started.
  static bool Runs(Entry& entry) {
    return entry.top_of_stack_ == nullptr ||
           Peek::IsAttached(*entry.top_of_stack_);
  }
};

#endif  // GREENBACK_ASIO_INTERNAL_FRAME_H_
