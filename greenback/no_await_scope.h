// NoAwaitScope: a scope in which Await() is an error.
//
// Await() lets other tasks run in the middle of a synchronous function. Use a
// NoAwaitScope where that must not happen: an Await() inside it is an error
// that names the place of the scope and its own.
//
//   greenback::NoAwaitScope no_await;  // the index is half made
//   table_.Rehash(callback);
//
// To forbid Await() while a mutex is locked, use NoAwaitLock (no_await_lock.h),
// which is a lock and a scope.
//
// A scope belongs to the task that runs when it is made, and does not refuse a
// native `co_await`. Outside a task it does nothing, because Await() is refused
// there anyway. Scopes may end in any order, and may be members of objects on
// the heap: a task may await again when all of its scopes have ended, and an
// error names the latest of those that have not. A scope may end in another
// task, or after its task has ended. Never suspends.
//
// Threads: the end of a scope accesses its task, so it must not happen while
// another thread runs that task or ends it.
//
// An error names the line that makes the scope. A class of lock that has a
// scope as a member, and wants errors to name its caller's line, has to pass
// that on:
//
//   void CheckedMutex::lock(
//       std::source_location where = std::source_location::current()) {
//     mutex_.lock();
//     no_await_.emplace(where);  // a std::optional<greenback::NoAwaitScope>
//   }
//
// That works for `mutex.lock()`. But std::lock_guard and its like call lock()
// from a line of the standard library, and std::make_unique() makes a scope on
// one. Then the error says that the caller is not known. Pass the place on, or
// use a NoAwaitLock, which is made on a line of the caller's own.
#ifndef GREENBACK_NO_AWAIT_SCOPE_H_
#define GREENBACK_NO_AWAIT_SCOPE_H_

#include <source_location>

#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"

namespace greenback {

namespace internal {

// Refuses an Await() of its task; NoAwaitScope and NoAwaitLock are made of one.
class NoAwaitHook final : public ParkHook {
 public:
  explicit NoAwaitHook(const std::source_location& where) : where_(where) {}

  // Refuses from now on, in the running task, if there is one.
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
  // `where` is the line that errors name.
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
