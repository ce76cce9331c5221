#include "greenback/runtime/event.h"

#include "greenback/runtime/task.h"

namespace greenback {

void Event::Set() {
  set_ = true;
  while (first_ != nullptr) {
    Waiter* waiter = first_;
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
  previous_ = event_.last_;
  (previous_ ? previous_->next_ : event_.first_) = this;
  event_.last_ = this;
  ++event_.count_;
}

void Event::Waiter::Leave() {
  (previous_ ? previous_->next_ : event_.first_) = next_;
  (next_ ? next_->previous_ : event_.last_) = previous_;
  --event_.count_;
}

bool Event::Waiter::Abort() {
  Leave();
  return true;
}

}  // namespace greenback
