// FromCallback<Result>(start): an operation of a callback API, as an awaitable.
//
//   // Somebody's library:
//   //   int fetch(int id, std::function<void(int error, Page page)> done);
//   //   void cancel_fetch(int ticket);
//   auto Fetch(int id) {
//     auto ticket = std::make_shared<int>();
//     return greenback::FromCallback<absl::StatusOr<Page>>(
//         [=](auto done) {
//           *ticket = fetch(id, [done](int error, Page page) {
//             if (error != 0) return done(absl::UnavailableError("fetch"));
//             done(std::move(page));
//           });
//         },
//         [=] { cancel_fetch(*ticket); });  // may be left out
//   }
//   ...
//   absl::StatusOr<Page> page = co_await Fetch(7);           // in a coroutine
//   ...
//   absl::StatusOr<Page> page = greenback::Await(Fetch(7));  // in a function
//
// Use it for an operation that calls a function once, when it is done. For a
// library that has a type for its operations (a future, say), specialise
// AwaitableAdapter for the type instead: its Adapt() may give a FromCallback().
//
// `start(done)` is called when the awaitable is awaited, which may happen once;
// again is an AwaitableError.
// done(args...) makes the Result: Result(args...), a std::pair of two arguments
// for instance; void takes none. `done` can be copied, even if Result cannot,
// so that a std::function holds it, and be called on any thread, during `start`
// or later. The first call counts. Later ones, and those that come when nobody
// waits any more, do nothing: an error would come out in the library, which
// cannot know what to do with it.
//
// Suspends: until `done` is called, and not at all when `start` calls it.
// Cancellation: without `cancel`, the wait cannot be called off. `cancel` is
// called once at most, when the task is cancelled while it waits; right after
// `start` when it was cancelled before. The wait still ends with `done`, called
// with what the library gives then. `cancel` is called on the task's thread,
// perhaps in another task's step, and perhaps when another thread is calling
// `done` already. It must not throw, and Await() is refused in it. It is for Co
// and Await(): a coroutine type of another library is not called off.
// Resumed by: the task's host, on the task's thread. A coroutine of another
// library is resumed inside `done`.
// Ownership: `start` and `cancel`, and what they have captured, are kept until
// the wait ends. Copies of `done` may outlive it. A coroutine that waits may be
// destroyed, but not while another thread is calling `done`. g++ 12 destroys
// twice what a lambda owns that is written inside a co_await: write it in a
// function, as above, or give it a name first.
// Errors: what `start`, or making the Result, throws comes out of the await.
// When all copies of `done` have been destroyed and none was called, the await
// ends with kAborted if Result can carry a status (kCancelled, if `cancel` was
// called), and else with CallbackDropped; without exceptions its text is
// printed and the program aborted. A copy in what `start` itself has captured
// keeps that from being noticed.
#ifndef GREENBACK_FROM_CALLBACK_H_
#define GREENBACK_FROM_CALLBACK_H_

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/suspend_race.h"
#include "greenback/internal/outcome.h"
#include "greenback/no_await_scope.h"

namespace greenback {

// All copies of FromCallback()'s `done` were destroyed, and none was called.
class CallbackDropped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace internal {

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

struct NoCancel {
  void operator()() const {}
};

// kAborted; or kCancelled, if `cancelled`, which is the task whose wait was
// called off, really is.
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
    CancelHooks::Remove(*this);
    if (state_ != nullptr) state_->Leave();
  }

  bool await_ready() const noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    if (state_ != nullptr) [[unlikely]]
      ReportCallbackAwaitedTwice(parts_.where);
    bool cancelled = false;
    // A handle of no particular type is a waker: the wait ends on the thread of
    // the task, where the hook may be taken out. Before the start: once that
    // has begun something, it is too late to fail.
    if constexpr (std::is_void_v<Promise> &&
                  !std::is_same_v<Cancel, NoCancel>) {
      task_ = ThisThread().current_task;
      cancelled =
          task_ != nullptr && !PortalAccess::AddCancelHook(*task_, *this);
    }
    state_ = new CallbackState<Result>();
    static_cast<void>(std::invoke(parts_.start, Callback<Result>(state_)));
    started_ = true;
    if (cancelled || called_off_) CallOff();
    return state_->Suspend(handle);
  }

  Result await_resume() {
    CancelHooks::Remove(*this);
    if (state_->is_dropped()) [[unlikely]] {
      if constexpr (kCarriesStatus<Result>) {
        return CallbackDroppedStatus(called_off_ ? task_ : nullptr,
                                     parts_.where);
      } else {
        ThrowCallbackDropped(parts_.where);
      }
    }
    return state_->Take();
  }

 private:
  void OnCancel() noexcept override {
    called_off_ = true;
    if (started_) CallOff();
  }
  void CallOff() noexcept {
    called_off_ = !state_->is_done();
    if (!called_off_) return;
    NoAwaitScope no_await(parts_.where);
    static_cast<void>(std::invoke(parts_.cancel));
  }

  CallbackParts<Start, Cancel> parts_;
  CallbackState<Result>* state_ = nullptr;
  PortalTask* task_ = nullptr;
  bool started_ = false;
  bool called_off_ = false;
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

}  // namespace internal

// co_await -> Result. `start` and `cancel` are moved or copied (std::ref for
// references); what they return is ignored.
template <class Result = void, class Start>
auto FromCallback(Start&& start, std::source_location where =
                                     std::source_location::current()) {
  return internal::MakeFromCallback<Result, std::decay_t<Start>,
                                    internal::NoCancel>(
      {std::forward<Start>(start), {}, where});
}
template <class Result = void, class Start, class Cancel>
auto FromCallback(
    Start&& start, Cancel&& cancel,
    std::source_location where = std::source_location::current()) {
  return internal::MakeFromCallback<Result, std::decay_t<Start>,
                                    std::decay_t<Cancel>>(
      {std::forward<Start>(start), std::forward<Cancel>(cancel), where});
}

}  // namespace greenback

#endif  // GREENBACK_FROM_CALLBACK_H_
