// What EnsurePortal(), WithPortalRun() and WithPortalRunSync() return. Internal
// to portal.h.
#ifndef GREENBACK_INTERNAL_PORTAL_AWAITERS_H_
#define GREENBACK_INTERNAL_PORTAL_AWAITERS_H_

#include <coroutine>
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
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/in_place.h"

namespace greenback::internal {

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

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_PORTAL_AWAITERS_H_
