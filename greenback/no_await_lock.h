// NoAwaitLock: a lock that is not held across Await().
//
//   void Cache::Put(Page page) {
//     greenback::NoAwaitLock lock(mutex_);  // any type of mutex
//     pages_[page.id()] = std::move(page);
//     on_change_();  // an Await() in there is an error
//   }
//
// The error names the task, the line of `lock`, and the line of the Await().
//
// While a task waits in Await(), its thread runs other tasks. If one of them
// locks the same mutex, the thread waits for itself, forever. So use this class
// in place of std::lock_guard and std::unique_lock wherever code that a task
// can reach locks a mutex. Outside tasks it is a std::unique_lock. Do not use
// it where a task is meant to wait with the lock held: a mutex for threads is
// wrong there.
//
// It has the functions of a std::unique_lock, and a NoAwaitScope
// (no_await_scope.h) while it owns the mutex. Locks may end in any order, also
// when they are taken hand over hand, and may be members or on the heap. A
// NoAwaitLock is what the standard library calls Lockable, so several can be
// locked at a time:
//
//   greenback::NoAwaitLock from(from_.mutex, std::defer_lock);
//   greenback::NoAwaitLock to(to_.mutex, std::defer_lock);
//   std::lock(from, to);
//
// An error names the line where the lock object was made, whatever code calls
// lock().
//
// Suspends: never; lock() blocks the thread.
// Threads: as for a std::unique_lock. A lock that is moved belongs to the task
// that moves it.
#ifndef GREENBACK_NO_AWAIT_LOCK_H_
#define GREENBACK_NO_AWAIT_LOCK_H_

#include <mutex>
#include <source_location>
#include <utility>

#include "greenback/no_await_scope.h"

namespace greenback {

template <class M>
class [[nodiscard]] NoAwaitLock {
 public:
  using mutex_type = M;

  // `where` is the line that errors name.
  explicit NoAwaitLock(
      M& mutex, std::source_location where = std::source_location::current())
      : lock_(mutex), no_await_(where) {
    FollowLock();
  }
  NoAwaitLock(M& mutex, std::defer_lock_t defer,
              std::source_location where = std::source_location::current())
      : lock_(mutex, defer), no_await_(where) {}
  NoAwaitLock(M& mutex, std::try_to_lock_t try_to,
              std::source_location where = std::source_location::current())
      : lock_(mutex, try_to), no_await_(where) {
    FollowLock();
  }
  NoAwaitLock(M& mutex, std::adopt_lock_t adopt,
              std::source_location where = std::source_location::current())
      : lock_(mutex, adopt), no_await_(where) {
    FollowLock();
  }
  NoAwaitLock(NoAwaitLock&& other) noexcept
      : lock_(std::move(other.lock_)), no_await_(other.no_await_.where()) {
    other.FollowLock();
    FollowLock();
  }
  NoAwaitLock& operator=(NoAwaitLock&& other) noexcept {
    lock_ = std::move(other.lock_);
    no_await_.set_where(other.no_await_.where());
    other.FollowLock();
    FollowLock();
    return *this;
  }
  ~NoAwaitLock() { no_await_.LeaveList(); }

  // These do what they do in std::unique_lock.
  void lock() {
    lock_.lock();
    FollowLock();
  }
  bool try_lock() {
    const bool locked = lock_.try_lock();
    FollowLock();
    return locked;
  }
  void unlock() {
    lock_.unlock();
    FollowLock();
  }
  bool owns_lock() const noexcept { return lock_.owns_lock(); }
  explicit operator bool() const noexcept { return owns_lock(); }
  M* mutex() const noexcept { return lock_.mutex(); }

 private:
  // Begins a NoAwaitScope if the mutex is owned now, and ends it if not.
  void FollowLock() {
    no_await_.LeaveList();
    if (lock_.owns_lock()) no_await_.Begin();
  }

  std::unique_lock<M> lock_;
  internal::NoAwaitHook no_await_;
};

}  // namespace greenback

#endif  // GREENBACK_NO_AWAIT_LOCK_H_
