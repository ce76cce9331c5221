// ThreadState: what greenback knows of the running thread. Internal.
#ifndef GREENBACK_HOST_THREAD_STATE_H_
#define GREENBACK_HOST_THREAD_STATE_H_

#include <coroutine>

namespace greenback {

class PortalTask;

namespace internal {

class HostIo;
class StartMark;
class StepRunner;

struct ThreadState {
  PortalTask* current_task = nullptr;  // null between steps
  // The loop of a host that has the thread to itself for a while.
  void* loop = nullptr;
  std::coroutine_handle<> next;  // see transfer.h
  StepRunner* steps = nullptr;   // null before the first step
  // Whether there is something to do when the present step has returned to the
  // top level of the host's loop.
  bool attention = false;
  HostIo* io = nullptr;           // of the host with the loop, if it has one
  StartMark* starting = nullptr;  // the innermost one on this stack
};

// Never inlined, because compilers keep the address of a thread-local in a
// register across a switch. For the same reason, do not keep the reference
// where the flow may change threads.
ThreadState& ThisThread() noexcept;

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_THREAD_STATE_H_
