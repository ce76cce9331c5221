// CallbackState<Result>: what the awaiter of a FromCallback() and the copies of
// its `done` share. Callback<Result>: `done`. Internal to from_callback.h.
//
// A state has two owners, the awaiter and all copies of `done` together, and is
// destroyed by the last of them. It begins with one copy, which the first
// Callback takes over.
//
// Threads: the copies may be made, called and destroyed on different threads at
// the same time. The first call that Claim()s the state makes the result and
// calls Finish(). If none does, the destruction of the last copy calls
// Finish(), which races with the awaiter's Suspend().
#ifndef GREENBACK_INTERNAL_CALLBACK_STATE_H_
#define GREENBACK_INTERNAL_CALLBACK_STATE_H_

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "greenback/host/suspend_race.h"
#include "greenback/internal/outcome.h"

namespace greenback::internal {

// All of it that does not depend on the type of the result.
class CallbackStateBase {
 public:
  CallbackStateBase(const CallbackStateBase&) = delete;
  CallbackStateBase& operator=(const CallbackStateBase&) = delete;

  // For the awaiter.

  // True: `handle` is resumed when the wait ends. False: it has ended already.
  bool Suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    return race_.Suspend();
  }
  bool is_done() const {
    return race_.state() == SuspendRace::State::kCompleted;
  }
  // Once it is done: whether all copies were destroyed and none was called.
  bool is_dropped() const { return dropped_; }
  // The awaiter is destroyed, and does not touch this any more.
  void Leave();

  // For a copy of `done`.

  void AddCopy() { copies_.fetch_add(1, std::memory_order_relaxed); }
  void DropCopy();
  // Returns true for the first call of `done`; then Finish() must follow.
  bool Claim() { return !claimed_.exchange(true, std::memory_order_relaxed); }
  void Finish();

 protected:
  CallbackStateBase() = default;
  virtual ~CallbackStateBase() = default;

 private:
  // One of the two owners does not need this any more.
  void Release();

  SuspendRace race_;
  std::atomic<bool> claimed_{false};  // `done` was called
  bool dropped_ = false;              // `done` will never be called
  std::atomic<uint8_t> owners_{2};    // the awaiter, and all copies together
  std::atomic<size_t> copies_{1};
  std::coroutine_handle<> handle_;
};

template <class Result>
class CallbackState final : public CallbackStateBase {
 public:
  template <class... Args>
  void Complete(Args&&... args) {
    if (!Claim()) return;
    outcome_.Run(
        [&]() -> Result { return Result(std::forward<Args>(args)...); });
    Finish();
  }

  Result Take() { return outcome_.Take(); }

 private:
  Outcome<Result> outcome_;
};

template <class Result, class... Args>
inline constexpr bool kMakes = std::is_constructible_v<Result, Args...>;
template <class... Args>
inline constexpr bool kMakes<void, Args...> = sizeof...(Args) == 0;

// `done`.
template <class Result>
class Callback {
 public:
  // Takes over the copy that `state` begins with.
  explicit Callback(CallbackState<Result>* state) : state_(state) {}
  Callback(const Callback& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->AddCopy();
  }
  Callback(Callback&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  Callback& operator=(Callback other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Callback() {
    if (state_ != nullptr) state_->DropCopy();
  }

  template <class... Args>
    requires kMakes<Result, Args...>
  void operator()(Args&&... args) const {
    // The resumed waiter may destroy this object, so nothing of it is used
    // afterwards.
    if (state_ != nullptr) state_->Complete(std::forward<Args>(args)...);
  }

 private:
  CallbackState<Result>* state_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_CALLBACK_STATE_H_
