// SenderAwaiter<T>: awaits a sender. Internal to sender.h.
#ifndef GREENBACK_SENDERS_INTERNAL_SENDER_AWAITER_H_
#define GREENBACK_SENDERS_INTERNAL_SENDER_AWAITER_H_

#include <atomic>
#include <cassert>
#include <coroutine>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/awaitable.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/waker.h"
#include "greenback/internal/awaitable_traits.h"
#include "greenback/internal/carries_status.h"
#include "greenback/senders/internal/sender_state.h"
#include "greenback/senders/internal/sender_traits.h"

namespace greenback::internal {

// kCancelled, for a sender that has completed with set_stopped(). `cancelled`,
// if not null, is the task whose cancellation has requested that.
absl::Status SenderStoppedStatus(PortalTask* cancelled);
[[noreturn]] void ThrowSenderStopped();

// The task that awaits with `handle`, if that is a waker. Only then does the
// wait end on the task's thread, where a cancel hook may be removed. Null: not
// known.
template <class Promise>
PortalTask* TaskOfWaker(std::coroutine_handle<Promise> handle) noexcept {
  if constexpr (std::is_same_v<Promise, WakerPromise>) {
    return handle.promise().task();
  } else {
    return nullptr;
  }
}

// Refers to the sender, which lives longer, as it does in every await.
template <class T>
class SenderAwaiter final : private CancelHook {
  using Result = typename SenderTraits<T>::Result;

 public:
  explicit SenderAwaiter(T&& sender) : sender_(std::forward<T>(sender)) {}
  ~SenderAwaiter() {
    RemoveHook();
    if (state_ != nullptr) state_->Leave();
  }

  bool await_ready() const noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    assert(state_ == nullptr);
    // Both of these may throw, so they come before the start.
    task_ = TaskOfWaker(handle);
    if (task_ != nullptr && !PortalAccess::AddCancelHook(*task_, *this)) {
      marks_ = kCancelled;
    }
    auto* const state = new SenderState<T>(std::forward<T>(sender_));
    state_ = state;
    if ((marks_.fetch_or(kStarted) & kCancelled) != 0) state->RequestStop();
    // The completion resumes the handle wherever it happens, also inside
    // Start(), after which this may have been destroyed.
    state->Suspend(handle);
    state->Start();
    return true;
  }

  Result await_resume() {
    RemoveHook();
    if (state_->is_stopped()) [[unlikely]] {
      if constexpr (kCarriesStatus<Result>) {
        const bool cancelled = (marks_ & kCancelled) != 0;
        return SenderStoppedStatus(cancelled ? task_ : nullptr);
      } else {
        ThrowSenderStopped();
      }
    }
    return state_->Take();
  }

 private:
  void RemoveHook() noexcept {
    if (task_ != nullptr) PortalAccess::RemoveCancelHook(*task_, *this);
  }
  // In a coroutine of another library, perhaps on another thread than the
  // start. This may be destroyed before RequestStop() returns.
  void OnCancel() noexcept override {
    if ((marks_.fetch_or(kCancelled) & kStarted) != 0) state_->RequestStop();
  }

  T&& sender_;
  SenderState<T>* state_ = nullptr;
  PortalTask* task_ = nullptr;
  // Whichever of the two comes second requests the stop.
  static constexpr uint8_t kStarted = 1;
  static constexpr uint8_t kCancelled = 2;
  std::atomic<uint8_t> marks_ = 0;
};

// Why a sender cannot be awaited.
enum class SenderProblem {
  kNone,
  kNoSignatures,
  kUnknownTag,
  kNotConnectable,
  kNotStartable
};
template <class T>
constexpr SenderProblem ProblemOf() {
  using Traits = SenderTraits<T>;
  if constexpr (!Traits::Signatures::kFound) {
    return SenderProblem::kNoSignatures;
  } else if constexpr (!Traits::Signatures::kKnown) {
    return SenderProblem::kUnknownTag;
  } else if constexpr (!Connectable<T, typename Traits::Receiver>) {
    return SenderProblem::kNotConnectable;
  } else if constexpr (!Startable<typename Traits::Library,
                                  OperationOf<T, typename Traits::Receiver>>) {
    return SenderProblem::kNotStartable;
  } else {
    return SenderProblem::kNone;
  }
}

template <class T>
struct AwaiterOfSender {
  using type = NoAwaiter<T>;
  static type Make(T&&) { return {}; }
};
template <class T>
  requires(ProblemOf<T>() == SenderProblem::kNone)
struct AwaiterOfSender<T> {
  using type = SenderAwaiter<T>;
  static type Make(T&& sender) { return type(std::forward<T>(sender)); }
};

// If the sender cannot be awaited, the only error is one of these sentences.
template <class T>
constexpr void CheckSender() {
  constexpr SenderProblem kProblem = ProblemOf<T>();
  static_assert(kProblem != SenderProblem::kNoSignatures,
                "this sender cannot be awaited: it has neither "
                "get_completion_signatures() nor a nested "
                "completion_signatures whose arguments are the signatures; "
                "specialise greenback::SenderLibrary with a "
                "completion_signatures_of_t");
  static_assert(kProblem != SenderProblem::kUnknownTag,
                "this sender cannot be awaited: a tag of its completion "
                "signatures does not call set_value(), set_error() or "
                "set_stopped() of a receiver that has only that one; "
                "specialise greenback::SenderLibrary with the three tags");
  static_assert(kProblem != SenderProblem::kNotConnectable,
                "this sender cannot be awaited: its connect() does not accept "
                "greenback's receiver. Pass it with std::move() if it is for "
                "one use; specialise greenback::SenderLibrary with the "
                "receiver_concept, or the connect(), of its library");
  static_assert(kProblem != SenderProblem::kNotStartable,
                "this sender cannot be awaited: what its connect() returns "
                "has no start() that can be called; specialise "
                "greenback::SenderLibrary with the start() of its library");
}

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_SENDER_AWAITER_H_
