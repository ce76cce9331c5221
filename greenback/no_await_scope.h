// NoAwaitScope: no Await() until this ends.
//
// Await() lets other tasks run in the middle of a synchronous function. Where
// that must not happen, say so, and a call that would suspend becomes an error
// which names both places:
//
//   greenback::NoAwaitScope no_await;  // the index is half made
//   table_.Rehash(callback);
//
// Beside a lock, use NoAwaitLock (no_await_lock.h), which is both.
//
// A scope belongs to the task that runs when it is made, and does not refuse a
// native `co_await`. Outside a task it does nothing, as Await() is refused
// there anyway. Scopes end in any order, and may be members of objects on the
// heap: a task awaits again when all of its scopes have ended, and an error
// names the latest of those that have not. A scope may end in another task, or
// when its task has ended already. Never suspends.
//
// Threads: the end of a scope is an access to its task: at a time when no other
// thread runs that task, or ends it.
//
// The place is the line that makes the scope. A type of lock that keeps a scope
// of its own, and wants its caller's line named, has to be given it:
//
//   void CheckedMutex::lock(
//       std::source_location where = std::source_location::current()) {
//     mutex_.lock();
//     no_await_.emplace(where);  // a std::optional<greenback::NoAwaitScope>
//   }
//
// That works for `mutex.lock()`. std::lock_guard and its like call lock() from
// a line of the standard library, as std::make_unique() makes a scope from one;
// of that, the error says that the caller is not known. Hand the place on, or
// use a NoAwaitLock, which is made on a line of the caller's own.
#ifndef GREENBACK_NO_AWAIT_SCOPE_H_
#define GREENBACK_NO_AWAIT_SCOPE_H_

#include <source_location>

#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"

namespace greenback {

namespace internal {

class NoAwaitHook final : public ParkHook {
 public:
  explicit NoAwaitHook(const std::source_location& where) : where_(where) {}

  // From now on, in the running task, if there is one.
  void Begin() {
    PortalTask* const task = ThisThread().current_task;
    if (task != nullptr) PortalAccess::AddParkHook(*task, *this);
  }

  const std::source_location& where() const { return where_; }
  void set_where(const std::source_location& where) { where_ = where; }

 private:
  const std::source_location* Refuses() const noexcept override {
    return &where_;
  }

  std::source_location where_;
};

}  // namespace internal

class [[nodiscard]] NoAwaitScope {
 public:
  explicit NoAwaitScope(
      std::source_location where = std::source_location::current())
      : hook_(where) {
    hook_.Begin();
  }
  ~NoAwaitScope() { hook_.LeaveList(); }
  NoAwaitScope(const NoAwaitScope&) = delete;
  NoAwaitScope& operator=(const NoAwaitScope&) = delete;

 private:
  internal::NoAwaitHook hook_;
};

}  // namespace greenback

#endif  // GREENBACK_NO_AWAIT_SCOPE_H_
