// The awaitable that FromCallback() returns, and its awaiter, which calls
// `start` and `cancel`. Internal to from_callback.h.
#ifndef GREENBACK_INTERNAL_CALLBACK_AWAITER_H_
#define GREENBACK_INTERNAL_CALLBACK_AWAITER_H_

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/waker.h"
#include "greenback/internal/callback_state.h"
#include "greenback/internal/carries_status.h"
#include "greenback/no_await_scope.h"

namespace greenback::internal {

struct NoCancel {
  void operator()() const {}
};

// The result of a wait whose `done` was dropped: kAborted, or kCancelled if
// `cancelled`, the task for which `cancel` was called, is cancelled. Null:
// `cancel` was not called.
absl::Status CallbackDroppedStatus(PortalTask* cancelled,
                                   const std::source_location& where);
[[noreturn]] void ThrowCallbackDropped(const std::source_location& where);
[[noreturn]] void ReportCallbackAwaitedTwice(const std::source_location& where);

template <class Start, class Cancel>
struct CallbackParts {
  Start start;
  [[no_unique_address]] Cancel cancel;
  std::source_location where;
};

template <class Result, class Start, class Cancel>
class CallbackAwaiter final : private CancelHook {
 public:
  explicit CallbackAwaiter(CallbackParts<Start, Cancel>&& parts)
      : parts_(std::move(parts)) {}
  ~CallbackAwaiter() {
    RemoveHook();
    if (state_ != nullptr) state_->Leave();
  }

  bool await_ready() const noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    if (state_ != nullptr) [[unlikely]]
      ReportCallbackAwaitedTwice(parts_.where);
    bool cancelled = false;
    // Only where a waker waits does the wait end on the task's thread, where
    // the hook may be removed. The hook is added before `start` is called: once
    // the operation has begun, it is too late to fail.
    if constexpr (std::is_same_v<Promise, WakerPromise> &&
                  !std::is_same_v<Cancel, NoCancel>) {
      task_ = handle.promise().task();
      cancelled =
          task_ != nullptr && !PortalAccess::AddCancelHook(*task_, *this);
    }
    state_ = new CallbackState<Result>();
    static_cast<void>(std::invoke(parts_.start, Callback<Result>(state_)));
    if ((marks_.fetch_or(kStarted) & kCancelled) != 0 || cancelled) {
      CallCancel();
    }
    return state_->Suspend(handle);
  }

  Result await_resume() {
    RemoveHook();
    if (state_->is_dropped()) [[unlikely]] {
      if constexpr (kCarriesStatus<Result>) {
        return CallbackDroppedStatus(is_cancelled_ ? task_ : nullptr,
                                     parts_.where);
      } else {
        ThrowCallbackDropped(parts_.where);
      }
    }
    return state_->Take();
  }

 private:
  void RemoveHook() noexcept {
    if (task_ != nullptr) PortalAccess::RemoveCancelHook(*task_, *this);
  }
  // In a coroutine of another library, perhaps on another thread than `start`.
  void OnCancel() noexcept override {
    if ((marks_.fetch_or(kCancelled) & kStarted) != 0) CallCancel();
  }
  // Calls `cancel`, unless the wait is over already.
  void CallCancel() noexcept {
    is_cancelled_ = !state_->is_done();
    if (!is_cancelled_) return;
    NoAwaitScope no_await(parts_.where);
    // The wait may end, and this be destroyed, meanwhile.
    Cancel cancel = std::move(parts_.cancel);
    static_cast<void>(std::invoke(cancel));
  }

  CallbackParts<Start, Cancel> parts_;
  CallbackState<Result>* state_ = nullptr;
  PortalTask* task_ = nullptr;
  // Whichever of the two comes second calls `cancel`.
  static constexpr uint8_t kStarted = 1;
  static constexpr uint8_t kCancelled = 2;
  std::atomic<uint8_t> marks_ = 0;
  bool is_cancelled_ = false;  // `cancel` was called
};

template <class Result, class Start, class Cancel>
class [[nodiscard]] CallbackAwaitable {
 public:
  explicit CallbackAwaitable(CallbackParts<Start, Cancel> parts)
      : parts_(std::move(parts)) {}

  auto operator co_await() {
    if (std::exchange(awaited_, true)) ReportCallbackAwaitedTwice(parts_.where);
    return CallbackAwaiter<Result, Start, Cancel>(std::move(parts_));
  }

 private:
  CallbackParts<Start, Cancel> parts_;
  bool awaited_ = false;
};

template <class Result, class Start, class Cancel>
auto MakeFromCallback(CallbackParts<Start, Cancel> parts) {
  constexpr bool kMovable =
      std::is_void_v<Result> ||
      (std::is_object_v<Result> && std::is_move_constructible_v<Result>);
  static_assert(kMovable,
                "greenback::FromCallback<Result>(start): Result is void or a "
                "type that can be moved; use a pointer for a reference");
  if constexpr (kMovable) {
    constexpr bool kStarts = std::invocable<Start&, Callback<Result>>;
    constexpr bool kCancels = std::invocable<Cancel&>;
    static_assert(kStarts,
                  "greenback::FromCallback<Result>(start): start is called "
                  "with one argument, the function to call when it is done");
    static_assert(kCancels,
                  "greenback::FromCallback<Result>(start, cancel): cancel is "
                  "called without arguments");
    if constexpr (kStarts && kCancels) {
      return CallbackAwaitable<Result, Start, Cancel>(std::move(parts));
    } else {
      return NoAwaiter<Result>();
    }
  } else {
    return NoAwaiter<Result>();
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_CALLBACK_AWAITER_H_
