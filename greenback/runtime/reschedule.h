// WaitTaskRescheduled() and Reschedule(): the pair of which queues, locks and
// other waits are made. A task goes to sleep, and whatever completes its wait
// wakes it with an outcome.
//
//   // Returns a job; tasks that wait receive theirs in order of waiting.
//   greenback::Co<absl::StatusOr<Job>> Take() {
//     auto place = idle_.insert(idle_.end(), &greenback::CurrentTask());
//     co_return co_await greenback::WaitTaskRescheduled<Job>([this, place] {
//       idle_.erase(place);              // cancelled: Give() will not find it
//       return greenback::Abort::kSucceeded;
//     });
//   }
//   void Give(Job job) {                 // called only while a task waits
//     greenback::Task& task = *idle_.front();
//     idle_.pop_front();
//     greenback::Reschedule(task, std::move(job));
//   }
//
// Use it for every wait that Event, nurseries and Asio's operations do not
// serve; docs/extending.md explains how. Only the runtime's own waits derive
// from CancellableWait (internal/cancel_state.h), on which this one is built: a
// task can be in several of those at a time, and they store no outcome.
//
// Threads: the run's. Another thread completes a wait through a RunToken.
#ifndef GREENBACK_RUNTIME_RESCHEDULE_H_
#define GREENBACK_RUNTIME_RESCHEDULE_H_

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/runtime/internal/rescheduled_wait.h"
#include "greenback/runtime/task.h"

namespace greenback {

// What abort_fn returns.
enum class Abort {
  kSucceeded,  // Reschedule() will not be called: the result is kCancelled
  kFailed,     // too late, or impossible: Reschedule() will be called
};

// co_await -> absl::Status, or absl::StatusOr<T>: the running task sleeps until
// Reschedule(task, outcome), and the result is that outcome. A schedule point
// and a cancellation point. A task can be in one such wait at a time.
//
// If the task's scope is cancelled, before the wait or while the task sleeps,
// `abort_fn()` is called, once, and decides whether the wait ends. It may call
// Reschedule() itself, and must not throw. Await() is refused in it, since it
// is called in the middle of the cancellation, perhaps in another task's step.
// It is also called when the waiting coroutine is destroyed; if it returns
// kFailed then, a message is printed and the program aborts. Unless it returns
// kSucceeded, Reschedule() must be called exactly once.
template <class T = void, class AbortFn>
auto WaitTaskRescheduled(
    AbortFn abort_fn,
    std::source_location where = std::source_location::current()) {
  static_assert(std::same_as<std::invoke_result_t<AbortFn&>, Abort>,
                "greenback::WaitTaskRescheduled(abort_fn): abort_fn takes "
                "nothing and returns a greenback::Abort");
  return internal::WaitAwaiter<T, AbortFn>(std::move(abort_fn), where);
}

// Wakes `task`, which sleeps in WaitTaskRescheduled<T>(): puts it at the end of
// the ready queue. The wait returns the value, or the status if that is not OK,
// or throws the exception. An OK status wakes a WaitTaskRescheduled<>(). If
// abort_fn was called and returned kFailed, kCancelled counts as the scope's
// cancellation. It is an error (std::logic_error, or a message and abort) if
// the task does not sleep there, if it waits for another type (T must be
// exactly that of `value`), or if the exception_ptr is null. Never suspends.
void Reschedule(Task& task, absl::Status status = absl::OkStatus());
void Reschedule(Task& task, std::exception_ptr error);
template <class T>
void Reschedule(Task& task, absl::StatusOr<T> outcome) {
  if (!outcome.ok()) return Reschedule(task, outcome.status());
  static_cast<internal::ValueWait<T>&>(
      internal::RescheduledWait::End(task, &internal::kTypeTag<T>))
      .Give(*std::move(outcome));
}
template <class T>
void Reschedule(Task& task, T value) {
  Reschedule(task, absl::StatusOr<T>(std::move(value)));
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RESCHEDULE_H_
