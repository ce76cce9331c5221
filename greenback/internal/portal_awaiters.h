// The awaiters that EnsurePortal(), WithPortalRun() and WithPortalRunSync()
// return. Internal to portal.h.
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
  // It may be copied before it is awaited.
  EnsurePortalAwaiter(const EnsurePortalAwaiter& other)
      : where_(other.where_) {}
  // The waiting coroutine may be destroyed.
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

// The portal of a WithPortalRun[Sync](): open for a call, after which the task
// has the portal that it had before, or none.
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
    // Checkpoints during the call found the portal open and did not promote the
    // bestowed one, which still needs a checkpoint of its own.
    if (before_ == PortalAccess::Portal::kBestowed) [[unlikely]] {
      PortalAccess::OnSelfBestowed(task_);
    }
  }

 private:
  PortalTask& task_;
  const PortalAccess::Portal before_;
};

// An AwaitableError: the result of the function `what` is awaited a second
// time, or after it was moved from.
[[noreturn]] void ReportAwaitedTwice(const char* what);

// For a call outside a task.
template <class R>
using ForeignCallPtr = std::unique_ptr<ForeignCall<R>>;

// Calls sync_fn(args...) in await_resume(): in a task, the awaiting coroutine
// is not even suspended.
template <class Fn, class... Args>
class [[nodiscard]] SyncRun : private ResumesAtHome {
  using Result = std::invoke_result_t<Fn, Args...>;

 public:
  explicit SyncRun(Fn fn, Args... args)
      : fn_(std::move(fn)), args_(std::move(args)...) {}
  // It may be moved before it is awaited: g++ 12 moves an awaiter that
  // await_transform returns by reference.
  SyncRun(SyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        task_(std::exchange(other.task_, MovedFrom())) {}

  // await_suspend() reports errors, so that a task does not pay for them.
  bool await_ready() const noexcept {
    if (is_used_up()) [[unlikely]]
      return false;
    task_ = ThisThread().current_task;
    return task_ != nullptr;
  }
  bool await_suspend(std::coroutine_handle<> coroutine) {
    if (is_used_up()) [[unlikely]]
      ReportAwaitedTwice("WithPortalRunSync");
    foreign_.emplace();
    return foreign_->Start(*this, coroutine);
  }
  __attribute__((always_inline)) Result await_resume() {
    if (task_ == nullptr) [[unlikely]]
      return foreign_->Take();
    const PortalForCall portal(*task_);
    return (*this)();
  }

  // The call itself; the ForeignCall makes it, too.
  Result operator()() { return std::apply(std::move(fn_), std::move(args_)); }

 private:
  // A value of task_ that is no task: this was moved from.
  PortalTask* MovedFrom() { return reinterpret_cast<PortalTask*>(this); }
  bool is_used_up() const { return task_ != nullptr || foreign_.has_value(); }

  Fn fn_;
  std::tuple<Args...> args_;
  // Null: not awaited, or not in a task. await_ready() sets it, and is const
  // because some libraries' coroutines require that.
  mutable PortalTask* task_ = nullptr;
  // Destroyed first: its frames use the rest.
  std::optional<ForeignCall<Result>> foreign_;
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
  // It may be moved before it is awaited: g++ 12 moves an awaiter that
  // await_transform returns by reference.
  AsyncRun(AsyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        used_up_(std::exchange(other.used_up_, true)) {}

  // await_suspend() does what may throw: some libraries' coroutines require
  // that await_ready() is noexcept.
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) {
    static_assert(
        HomeAwaiter<Inner> || Transferring<Promise> || std::is_void_v<Promise>,
        "greenback::WithPortalRun(async_fn, args...) in a coroutine "
        "of another library: a portal cannot follow what async_fn "
        "returns; it must return a greenback::Co, or be a plain "
        "function for WithPortalRunSync()");
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
    // The portal closes when the call ends, also by an exception, not when this
    // object is destroyed.
    struct CloseAtEnd {
      InPlace<PortalForCall>& portal;
      ~CloseAtEnd() { portal.Reset(); }
    } close{portal_};
    return CallResume<Inner>(*inner_);
  }

  // The call that the ForeignCall makes.
  Result operator()() { return Await(Make()); }

 private:
  // Starts the call. Returns whether the coroutine stays suspended; nullopt:
  // the caller is to suspend it on inner_.
  std::optional<bool> Begin(std::coroutine_handle<> coroutine) {
    if (std::exchange(used_up_, true)) [[unlikely]]
      ReportAwaitedTwice("WithPortalRun");
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
  InPlace<PortalForCall> portal_;  // destroyed after what runs inside it
  InPlace<Made> made_;
  InPlace<Inner> inner_;
  bool used_up_ = false;
  ForeignCallPtr<Result> foreign_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_PORTAL_AWAITERS_H_
