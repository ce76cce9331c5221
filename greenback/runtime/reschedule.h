// WaitTaskRescheduled() and Reschedule(): the low-level pair of which waits are
// made. A task goes to sleep, and somebody else wakes it with an outcome.
//
//   // A job for one task that waits, in order of waiting.
//   greenback::Co<absl::StatusOr<Job>> Take() {
//     auto place = idle_.insert(idle_.end(), &greenback::CurrentTask());
//     co_return co_await greenback::WaitTaskRescheduled<Job>([this, place] {
//       idle_.erase(place);              // cancelled: nobody will wake me
//       return greenback::Abort::kSucceeded;
//     });
//   }
//   void Give(Job job) {                 // somebody waits
//     greenback::Task& task = *idle_.front();
//     idle_.pop_front();
//     greenback::Reschedule(task, std::move(job));
//   }
//
// Use it to build things such as queues and locks. Event, nurseries and Asio's
// operations serve everything else.
//
// Threads: the run's. RunToken brings an outcome from another thread.
#ifndef GREENBACK_RUNTIME_RESCHEDULE_H_
#define GREENBACK_RUNTIME_RESCHEDULE_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/task.h"

namespace greenback {

// What a cancelled wait says.
enum class Abort {
  kSucceeded,  // nobody will call Reschedule(); the task goes on, kCancelled
  kFailed,     // too late, or not possible: somebody will
};

namespace internal {

class RescheduledWait : private CancellableWait {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);

  // The wait of `task`, which ends with this, for an outcome of the type that
  // `type` stands for (null: for any). Dies when there is none.
  static RescheduledWait& End(Task& task, const void* type);
  void Fail(absl::Status status);
  void Fail(std::exception_ptr error);
  using CancellableWait::Finish;

 protected:
  using CancellableWait::LeaveIfWaiting;
  RescheduledWait(const void* type, const std::source_location& where)
      : type_(type), where_(where) {}
  ~RescheduledWait() = default;

  // OK: there is a value. Throws what the task was woken with.
  absl::Status Outcome();

 private:
  bool Abort() final;
  virtual greenback::Abort CallOff() noexcept = 0;

  Task* task_ = nullptr;
  const void* const type_;
  const std::source_location where_;
  bool abort_failed_ = false;
  absl::Status status_;
  std::exception_ptr error_;
};

// One address for each type.
template <class T>
inline constexpr char kTypeTag = 0;

template <class T>
class ValueWait : public RescheduledWait {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  using Result =
      std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>;

  void Give(Value value) {
    value_.emplace(std::move(value));
    Finish();
  }
  Result await_resume() {
    absl::Status status = Outcome();
    if constexpr (std::is_void_v<T>) {
      return status;
    } else {
      if (!status.ok()) return status;
      return *std::move(value_);
    }
  }

 protected:
  explicit ValueWait(const std::source_location& where)
      : RescheduledWait(&kTypeTag<T>, where) {}
  ~ValueWait() = default;

 private:
  std::optional<Value> value_;
};

template <class T, class AbortFn>
class [[nodiscard]] WaitAwaiter final : public ValueWait<T> {
 public:
  WaitAwaiter(AbortFn abort, const std::source_location& where)
      : ValueWait<T>(where), abort_(std::move(abort)) {}
  ~WaitAwaiter() { this->LeaveIfWaiting("WaitTaskRescheduled()"); }

 private:
  Abort CallOff() noexcept override { return abort_(); }

  AbortFn abort_;
};

}  // namespace internal

// co_await -> absl::Status, or absl::StatusOr<T>: the running task sleeps until
// Reschedule(task, outcome), and gives the outcome. A schedule point and a
// cancellation point: when the task's scope is cancelled, also before this, and
// the task still sleeps, `abort_fn()` is called, once, and decides. It may call
// Reschedule() itself, and must not throw; Await() is refused in it, since it
// is called in the middle of the cancellation, perhaps in another task's step.
// It is called as well when the coroutine that waits is destroyed; kFailed then
// prints a message and aborts. The task must be woken exactly once unless it
// gives kSucceeded. One wait at a time for each task.
template <class T = void, class AbortFn>
auto WaitTaskRescheduled(
    AbortFn abort_fn,
    std::source_location where = std::source_location::current()) {
  static_assert(std::same_as<std::invoke_result_t<AbortFn&>, Abort>,
                "greenback::WaitTaskRescheduled(abort_fn): abort_fn takes "
                "nothing and gives a greenback::Abort");
  return internal::WaitAwaiter<T, AbortFn>(std::move(abort_fn), where);
}

// Wakes `task`, which sleeps in WaitTaskRescheduled<T>(): puts it at the end of
// the ready queue, to go on with a value, a status that is not OK, or by
// throwing. An OK status wakes a WaitTaskRescheduled<>(). kCancelled, when
// abort_fn has been asked and could not, counts as the scope's cancellation. A
// task that does not sleep there, or for another type (T is that of `value`,
// exactly), and an exception_ptr that is null are errors (std::logic_error, or
// a message and abort). Never suspends.
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
