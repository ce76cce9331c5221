// NoAwaitScope: no Await() below this point.
//
// Await() lets other tasks run in the middle of a synchronous function. Where
// that must not happen, say so, and a call that would suspend becomes an error
// which names both places:
//
//   std::lock_guard lock(mutex_);
//   greenback::NoAwaitScope no_await;  // a task that wants mutex_ would block
//   table_.Rehash(callback);           // the thread that is to wake us
//
// It belongs to the task that runs when it is made, and does not refuse a
// native `co_await`. Scopes nest, and end in reverse order. Outside a task it
// does nothing, as Await() is refused there anyway. Never suspends.
#ifndef GREENBACK_NO_AWAIT_SCOPE_H_
#define GREENBACK_NO_AWAIT_SCOPE_H_

#include <source_location>

#include "greenback/portal_task.h"

namespace greenback {

class [[nodiscard]] NoAwaitScope {
 public:
  explicit NoAwaitScope(
      std::source_location where = std::source_location::current())
      : where_(where), task_(internal::ThisThread().current_task) {
    if (task_ == nullptr) return;
    outer_ = task_->no_await_;
    task_->no_await_ = &where_;
  }
  NoAwaitScope(const NoAwaitScope&) = delete;
  NoAwaitScope& operator=(const NoAwaitScope&) = delete;
  ~NoAwaitScope() {
    if (task_ != nullptr) task_->no_await_ = outer_;
  }

 private:
  const std::source_location where_;
  PortalTask* task_;
  const std::source_location* outer_ = nullptr;
};

}  // namespace greenback

#endif  // GREENBACK_NO_AWAIT_SCOPE_H_
