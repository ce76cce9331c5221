// The awaiter of WaitTaskRescheduled(). Internal to reschedule.h.
#ifndef GREENBACK_RUNTIME_INTERNAL_RESCHEDULED_WAIT_H_
#define GREENBACK_RUNTIME_INTERNAL_RESCHEDULED_WAIT_H_

#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/runtime/internal/cancel_state.h"

namespace greenback {

class Task;
enum class Abort;

namespace internal {

class RescheduledWait : private CancellableWait {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);

  // Ends the wait of `task` for an outcome of the type that `type` stands for
  // (null: of any type), and returns it. An error if there is no such wait.
  static RescheduledWait& End(Task& task, const void* type);
  void Fail(absl::Status status);
  void Fail(std::exception_ptr error);
  using CancellableWait::Finish;

 protected:
  using CancellableWait::LeaveIfWaiting;
  RescheduledWait(const void* type, const std::source_location& where)
      : type_(type), where_(where) {}
  ~RescheduledWait() = default;

  // OK if there is a value. Throws the exception with which the task was woken.
  absl::Status Outcome();

 private:
  bool Abort() final;
  virtual greenback::Abort CallAbortFn() noexcept = 0;

  Task* task_ = nullptr;
  const void* const type_;
  const std::source_location where_;
  bool abort_failed_ = false;
  absl::Status status_;
  std::exception_ptr error_;
};

// Its address stands for the type.
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
  Abort CallAbortFn() noexcept override { return abort_(); }

  AbortFn abort_;
};

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_RUNTIME_INTERNAL_RESCHEDULED_WAIT_H_
