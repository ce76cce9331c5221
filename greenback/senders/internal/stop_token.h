// StopSource, StopToken and StopCallback<F>: the stop token that greenback
// passes to a sender, so that the sender learns when its result is no longer
// wanted. Internal.
//
// StopToken models the stoppable token of P2300 by structure, which is what
// every library of senders asks for: stop_requested(), stop_possible(),
// equality, and the nested template callback_type. As with the standard's
// in-place source, nothing is allocated, and a source must outlive its
// callbacks and each RequestStop().
//
// Threads: every function may be called on any thread at the same time as any
// other. A callback is called once at most: by the RequestStop() that comes
// first, or by the constructor of the callback if a stop was requested before.
// The destructor of a callback that another thread is calling waits until that
// call has returned. In the call itself, the destructor does not wait.
#ifndef GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_
#define GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "greenback/internal/intrusive_list.h"

namespace greenback::internal {

class StopCallbackBase;
template <class F>
class StopCallback;

class StopSource {
 public:
  StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  bool stop_requested() const noexcept {
    return requested_.load(std::memory_order_acquire);
  }
  // Calls the callbacks, unless a stop was requested before. A callback may
  // destroy itself and others.
  void RequestStop() noexcept;

 private:
  friend class StopCallbackBase;

  // False: a stop was requested already, and the caller calls it.
  bool Add(StopCallbackBase& callback) noexcept;
  // When this returns, `callback` is not being called, except by the caller.
  void Remove(StopCallbackBase& callback) noexcept;

  std::mutex mutex_;
  std::condition_variable called_;  // calling_ has changed
  std::atomic<bool> requested_{false};
  // The rest is guarded by mutex_.
  IntrusiveList<StopCallbackBase> callbacks_;  // those not called yet
  std::thread::id caller_;                     // the thread in RequestStop()
  const StopCallbackBase* calling_ = nullptr;  // what that thread calls
};

class StopToken {
 public:
  template <class F>
  using callback_type = StopCallback<F>;

  // Without a source, which never requests a stop.
  StopToken() = default;
  explicit StopToken(StopSource& source) : source_(&source) {}

  bool stop_requested() const noexcept {
    return source_ != nullptr && source_->stop_requested();
  }
  bool stop_possible() const noexcept { return source_ != nullptr; }
  bool operator==(const StopToken&) const noexcept = default;

 private:
  friend class StopCallbackBase;
  StopSource* source_ = nullptr;
};

class StopCallbackBase : public ListItem<StopCallbackBase> {
 public:
  // The stop is requested. May destroy this object.
  virtual void Call() noexcept = 0;

 protected:
  explicit StopCallbackBase(StopToken token) : source_(token.source_) {}
  ~StopCallbackBase() = default;

  // The derived class calls these when it is complete, and before it is not.
  void Register() noexcept {
    if (source_ != nullptr && !source_->Add(*this)) Call();
  }
  void Unregister() noexcept {
    if (source_ != nullptr) source_->Remove(*this);
  }

 private:
  StopSource* const source_;
};

template <class F>
class StopCallback final : private StopCallbackBase {
 public:
  using callback_type = F;

  template <class Given>
    requires std::constructible_from<F, Given>
  explicit StopCallback(StopToken token, Given&& function) noexcept(
      std::is_nothrow_constructible_v<F, Given>)
      : StopCallbackBase(token), function_(std::forward<Given>(function)) {
    Register();
  }
  ~StopCallback() { Unregister(); }

 private:
  void Call() noexcept override { std::forward<F>(function_)(); }

  F function_;
};
template <class F>
StopCallback(StopToken, F) -> StopCallback<F>;

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_
