// Portals: a task's permission to Await() in synchronous code.
//
//   greenback::Co<absl::Status> Import(Database& db) {
//     absl::Status opened = co_await greenback::EnsurePortal();
//     if (!opened.ok()) co_return opened;   // cancelled at the checkpoint
//     co_return db.Import();       // plain code; may call greenback::Await()
//   }
//
// or, for one call only:
//
//   Co<int> Count() { co_return co_await WithPortalRunSync(CountRows, table); }
//
// A portal is its task's alone: tasks that it spawns, and the one that spawned
// it, have none. It costs nothing until something is awaited through it.
#ifndef GREENBACK_PORTAL_H_
#define GREENBACK_PORTAL_H_

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/host/foreign_call.h"
#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/in_place.h"
#include "greenback/no_await_scope.h"  // IWYU pragma: export

namespace greenback {

// Whether Await() would be let through: the running task has a usable portal,
// and is in no NoAwaitScope. False outside a task. Never fails or suspends.
bool HasPortal() noexcept;
// Whether `task` has one, usable now or as soon as it next runs.
bool HasPortal(const PortalTask& task) noexcept;

// Gives `task` a portal. Another task may Await() as soon as it next runs; on
// the running task itself the portal is usable after the next checkpoint only,
// as HasPortal() and Await() say until then. Does nothing if there is one. Call
// it on the thread that runs `task`. Never suspends.
void BestowPortal(PortalTask& task);

namespace internal {

class EnsurePortalAwaiter : private ResumesAtHome {
 public:
  explicit EnsurePortalAwaiter(std::source_location where) : where_(where) {}
  // Before it is awaited.
  EnsurePortalAwaiter(const EnsurePortalAwaiter& other)
      : where_(other.where_) {}
  // The coroutine that waits may be destroyed.
  ~EnsurePortalAwaiter() {
    if (waiter_.is_waiting()) [[unlikely]]
      PortalAccess::Withdraw(waiter_);
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    Open();
    waiter_.handle = handle;
    waiter_.Queue();
    PortalAccess::ScheduleCheckpoint(waiter_);
  }
  absl::Status await_resume() {
    waiter_.Resumed();
    return PortalAccess::FinishCheckpoint(*waiter_.task);
  }

 private:
  void Open();

  std::source_location where_;
  Waiter waiter_{Waiter::Kind::kCoroutine};
};

// The portal of a WithPortalRun[Sync](): opened for a call, and put back to
// what there was before.
class PortalForCall {
 public:
  explicit PortalForCall(PortalTask& task)
      : task_(task), before_(PortalAccess::Get(task)) {
    PortalAccess::Set(task_, PortalAccess::Portal::kOpen);
  }
  PortalForCall(const PortalForCall&) = delete;
  PortalForCall& operator=(const PortalForCall&) = delete;
  __attribute__((always_inline)) ~PortalForCall() {
    PortalAccess::Set(task_, before_);
    // A checkpoint that passed meanwhile found the portal open, so the bestowed
    // one still waits for its own.
    if (before_ == PortalAccess::Portal::kBestowed) [[unlikely]] {
      PortalAccess::OnSelfBestowed(task_);
    }
  }

 private:
  PortalTask& task_;
  const PortalAccess::Portal before_;
};

// What is awaited once, because that uses it up.
class AwaitedOnce {
 public:
  AwaitedOnce() = default;
  // What it is moved from is used up, too.
  AwaitedOnce(AwaitedOnce&& other) noexcept
      : used_up_(std::exchange(other.used_up_, true)) {}

  // `what`: its function's name. Again: an AwaitableError.
  void UseUp(const char* what) {
    if (std::exchange(used_up_, true)) [[unlikely]]
      ReportTwice(what);
  }

  [[noreturn]] static void ReportTwice(const char* what);

 private:
  bool used_up_ = false;
};

}  // namespace internal

// co_await EnsurePortal(): the running task has a portal from now on, until it
// ends (or until the WithPortalRun[Sync]() around it does). OK, or kCancelled
// when the task's cancel scope is cancelled; the portal is there in both cases.
// A full checkpoint, also when there is a portal already: a schedule point and
// a cancellation point. Outside a task: PortalError.
inline auto EnsurePortal(
    std::source_location where = std::source_location::current()) {
  return internal::EnsurePortalAwaiter(where);
}

namespace internal {

// Outside a task, what is awaited runs as a ForeignCall.
template <class R>
using ForeignCallPtr = std::unique_ptr<ForeignCall<R>>;

// Runs sync_fn(args...) where it is awaited: in a task the coroutine that
// awaits is not even suspended.
template <class Fn, class... Args>
class [[nodiscard]] SyncRun : private ResumesAtHome {
  using Result = std::invoke_result_t<Fn, Args...>;

 public:
  explicit SyncRun(Fn fn, Args... args)
      : fn_(std::move(fn)), args_(std::move(args)...) {}
  // Before it is awaited; g++ 12 moves an awaiter that await_transform hands on
  // by reference.
  SyncRun(SyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        task_(std::exchange(other.task_, MovedFrom())) {}

  // Leaves the error to await_suspend(), so that a task does not pay for it.
  bool await_ready() const noexcept {
    if (is_used_up()) [[unlikely]]
      return false;
    task_ = ThisThread().current_task;
    return task_ != nullptr;
  }
  bool await_suspend(std::coroutine_handle<> coroutine) {
    if (is_used_up()) [[unlikely]]
      AwaitedOnce::ReportTwice("WithPortalRunSync");
    foreign_.emplace();
    return foreign_->Start(*this, coroutine);
  }
  __attribute__((always_inline)) Result await_resume() {
    if (task_ == nullptr) [[unlikely]]
      return foreign_->Take();
    const PortalForCall portal(*task_);
    return (*this)();
  }

  // For the ForeignCall.
  Result operator()() { return std::apply(std::move(fn_), std::move(args_)); }

 private:
  // A value of task_ that is no task.
  PortalTask* MovedFrom() { return reinterpret_cast<PortalTask*>(this); }
  bool is_used_up() const { return task_ != nullptr || foreign_.has_value(); }

  Fn fn_;
  std::tuple<Args...> args_;
  // await_ready() is const for others. Null: not awaited, or not in a task.
  mutable PortalTask* task_ = nullptr;
  std::optional<ForeignCall<Result>> foreign_;  // goes first
};

// Calls async_fn(args...) and awaits the result, with a portal open meanwhile.
template <class Fn, class... Args>
class [[nodiscard]] AsyncRun {
  using Made = std::invoke_result_t<Fn, Args...>;
  using Inner = decltype(GetAwaiter(std::declval<Made>()));
  using Result = AwaitResult<Made>;

 public:
  using GreenbackInner = Inner;

  explicit AsyncRun(Fn fn, Args... args)
      : fn_(std::move(fn)), args_(std::move(args)...) {}
  // Before it is awaited; g++ 12 moves an awaiter that await_transform hands on
  // by reference.
  AsyncRun(AsyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        once_(std::move(other.once_)) {}

  // What throws comes later: libraries want await_ready() to be noexcept.
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) {
    static_assert(
        HomeAwaiter<Inner> || Transferring<Promise> || std::is_void_v<Promise>,
        "greenback::WithPortalRun(async_fn, args...) in a coroutine "
        "of another library: a portal cannot follow what async_fn "
        "gives; it must give a greenback::Co, or be a plain function "
        "for WithPortalRunSync()");
    using Suspend = decltype(CallSuspend<Inner>(*inner_, coroutine));
    const std::optional<bool> suspends = Begin(coroutine);
    if constexpr (std::is_void_v<Suspend>) {
      if (suspends) return *suspends;
      CallSuspend<Inner>(*inner_, coroutine);
      return true;
    } else if constexpr (std::is_same_v<Suspend, bool>) {
      if (suspends) return *suspends;
      return CallSuspend<Inner>(*inner_, coroutine);
    } else {
      if (!suspends) {
        return std::coroutine_handle<>(CallSuspend<Inner>(*inner_, coroutine));
      }
      return *suspends ? std::coroutine_handle<>(std::noop_coroutine())
                       : TransferTo(coroutine);
    }
  }
  Result await_resume() {
    if (foreign_ != nullptr) [[unlikely]]
      return foreign_->Take();
    // The portal ends with the call, not with this object, on all paths out.
    struct CloseAtEnd {
      InPlace<PortalForCall>& portal;
      ~CloseAtEnd() { portal.Reset(); }
    } close{portal_};
    return CallResume<Inner>(*inner_);
  }

  // For the ForeignCall.
  Result operator()() { return Await(Make()); }

 private:
  // Nothing: inner_ is yet to suspend. Else whether the coroutine stays
  // suspended.
  std::optional<bool> Begin(std::coroutine_handle<> coroutine) {
    once_.UseUp("WithPortalRun");
    PortalTask* const task = ThisThread().current_task;
    if (task == nullptr) [[unlikely]] {
      foreign_ = std::make_unique<ForeignCall<Result>>();
      return foreign_->Start(*this, coroutine);
    }
    portal_.Emplace([task] { return PortalForCall(*task); });
    made_.Emplace([&]() -> Made { return Make(); });
    inner_.Emplace(
        [&]() -> Inner { return GetAwaiter(std::forward<Made>(*made_)); });
    if (CallReady<Inner>(*inner_)) return false;
    return std::nullopt;
  }
  Made Make() { return std::apply(std::move(fn_), std::move(args_)); }

  Fn fn_;
  std::tuple<Args...> args_;
  InPlace<PortalForCall> portal_;  // outlives what runs below it
  InPlace<Made> made_;
  InPlace<Inner> inner_;
  AwaitedOnce once_;
  ForeignCallPtr<Result> foreign_;
};

}  // namespace internal

// co_await WithPortalRun(async_fn, args...): gives what `co_await
// async_fn(args...)` gives, result or exception, with a portal that is there
// for this call: one that was there before stays, one that was not ends with
// the call, as does one that is ensured inside it. Adds no checkpoint.
// `async_fn` and `args` are kept by value until the call ends (std::ref for
// references), and used up by it: what this gives is awaited once, and again,
// or after it was moved from, is an AwaitableError.
template <class Fn, class... Args>
auto WithPortalRun(Fn&& async_fn, Args&&... args) {
  static_assert(std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
                "greenback::WithPortalRun(async_fn, args...): async_fn cannot "
                "be called with these arguments");
  if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
    using Made = std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>;
    static_assert(Awaitable<Made>,
                  "greenback::WithPortalRun(async_fn, args...): async_fn gives "
                  "nothing to co_await; use WithPortalRunSync()");
    if constexpr (Awaitable<Made>) {
      return internal::AsyncRun<std::decay_t<Fn>, std::decay_t<Args>...>(
          std::forward<Fn>(async_fn), std::forward<Args>(args)...);
    } else {
      return internal::NoAwaiter<Made>();
    }
  } else {
    return internal::NoAwaiter<Fn>();
  }
}

// co_await WithPortalRunSync(sync_fn, args...): the same for a plain function,
// which may Await(). In the runtime it costs a few nanoseconds over the call.
//
// Both also work in coroutines that no host of greenback's runs: those of a
// library that greenback has never heard of, and hand-written ones. The call is
// then a task of its own, on a fiber, and the coroutine is suspended while it
// waits; who completes what is awaited goes on with it, on its own thread, and
// in the end resumes the coroutine. (In boost::asio::awaitable use
// greenback::asio's, which know its executor and its cancellation.) There is no
// cancellation, and nothing that needs a run. What WithPortalRun() awaits there
// must be a Co, or another awaitable of greenback's. When the coroutine is
// destroyed while it waits, the frames are unwound: see abandoned.h.
template <class Fn, class... Args>
auto WithPortalRunSync(Fn&& sync_fn, Args&&... args) {
  static_assert(
      std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
      "greenback::WithPortalRunSync(sync_fn, args...): sync_fn cannot "
      "be called with these arguments");
  if constexpr (std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>) {
    return internal::SyncRun<std::decay_t<Fn>, std::decay_t<Args>...>(
        std::forward<Fn>(sync_fn), std::forward<Args>(args)...);
  } else {
    return internal::NoAwaiter<Fn>();
  }
}

}  // namespace greenback

#endif  // GREENBACK_PORTAL_H_
