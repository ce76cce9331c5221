// What greenback knows of the running thread. Internal.
#ifndef GREENBACK_HOST_THREAD_STATE_H_
#define GREENBACK_HOST_THREAD_STATE_H_

#include <coroutine>

namespace greenback {

class PortalTask;

namespace internal {

class StepRunner;

struct ThreadState {
  PortalTask* current_task = nullptr;  // null between steps
  // Of a host that has the thread to itself for a while: its loop.
  void* loop = nullptr;
  std::coroutine_handle<> next;  // see transfer.h
  StepRunner* steps = nullptr;   // null before the first step
  // There is something to do when the present step is back at the top level of
  // the host's loop.
  bool attention = false;
};

// Never inlined, and the reference must not be kept across a point where the
// flow may change threads: compilers keep the address of a thread-local in a
// register over a switch.
ThreadState& ThisThread() noexcept;

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_THREAD_STATE_H_
