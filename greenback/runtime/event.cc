#include "greenback/runtime/event.h"

#include "greenback/runtime/task.h"

namespace greenback {

void Event::Set() {
  set_ = true;
  while (Waiter* const waiter = waiting_.first()) {
    waiter->Leave();
    waiter->Finish();
  }
}

void Event::Waiter::await_suspend(std::coroutine_handle<> handle) {
  if (!Begin(internal::CurrentCancellable(), handle)) return;
  if (event_.set_) {
    Finish();
    return;
  }
  event_.waiting_.PushBack(*this);
  ++event_.count_;
}

void Event::Waiter::Leave() {
  internal::ListItem<Waiter>::LeaveList();
  --event_.count_;
}

bool Event::Waiter::Abort() {
  Leave();
  return true;
}

}  // namespace greenback
