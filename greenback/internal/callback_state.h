// What the awaiter of a FromCallback() and the copies of its `done` share.
// Internal to from_callback.h.
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

// What the awaiter and the copies of `done` share. Begins with one copy, and
// deletes itself when neither awaiter nor copies are left.
class CallbackStateBase {
 public:
  CallbackStateBase(const CallbackStateBase&) = delete;
  CallbackStateBase& operator=(const CallbackStateBase&) = delete;

  // For the awaiter.

  // `handle` is resumed when `done` is called. False: it was called already.
  bool Suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    return race_.Suspend();
  }
  bool is_done() const {
    return race_.state() == SuspendRace::State::kCompleted;
  }
  // All copies are gone, and none was called. Once it is done.
  bool is_dropped() const { return dropped_; }
  // The awaiter is destroyed.
  void Leave();

  // For a copy of `done`.

  void AddCopy() { copies_.fetch_add(1, std::memory_order_relaxed); }
  void DropCopy();
  // Whether this is the first call: then Finish() must follow.
  bool Claim() { return !claimed_.exchange(true, std::memory_order_relaxed); }
  void Finish();

 protected:
  CallbackStateBase() = default;
  virtual ~CallbackStateBase() = default;

 private:
  // The awaiter does not need this any more, or the last copy does not.
  void Release();

  SuspendRace race_;
  std::atomic<bool> claimed_{false};  // `done` was called
  bool dropped_ = false;              // or never will be
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

// `done`. Copies may be used on different threads at the same time.
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
    // What is resumed may destroy this object: nothing of it is used after.
    if (state_ != nullptr) state_->Complete(std::forward<Args>(args)...);
  }

 private:
  CallbackState<Result>* state_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_CALLBACK_STATE_H_
