// Event: something that happens once, for any number of tasks to wait for.
//
//   greenback::Event connected;
//   ...
//   absl::Status waited = co_await connected.Wait();   // here
//   connected.Set();                                   // there
//
// Belongs to one run, and is used on its thread. Set() never suspends and never
// runs a waiter itself: waiters are scheduled in order of waiting.
// Lifetime: must outlive the waits for it, which Set() ends.
#ifndef GREENBACK_RUNTIME_EVENT_H_
#define GREENBACK_RUNTIME_EVENT_H_

#include <coroutine>
#include <cstddef>

#include "absl/status/status.h"
#include "greenback/internal/intrusive_list.h"
#include "greenback/runtime/internal/cancel_state.h"

namespace greenback {

class Event {
 public:
  class Waiter;

  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool is_set() const { return set_; }

  // Ends all waits. Waits that begin later are only checkpoints. A second call
  // does nothing.
  void Set();

  // co_await -> absl::Status: OK, or kCancelled. Always a schedule point and a
  // cancellation point, also if the event is already set.
  Waiter Wait();

  size_t waiters() const { return count_; }

 private:
  internal::IntrusiveList<Waiter> waiting_;
  size_t count_ = 0;
  bool set_ = false;
};

class [[nodiscard]] Event::Waiter final
    : private internal::CancellableWait,
      private internal::ListItem<Event::Waiter> {
 public:
  explicit Waiter(Event& event) : event_(event) {}
  ~Waiter() { LeaveIfWaiting("Event::Wait()"); }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  absl::Status await_resume() { return TakeResult(); }

 private:
  friend class Event;
  friend class internal::IntrusiveList<Waiter>;
  bool Abort() override;
  void Leave();

  Event& event_;
};

inline Event::Waiter Event::Wait() { return Waiter(*this); }

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_EVENT_H_
