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
#include "greenback/internal/coroutine_library_impl.h"
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

// A function that was made with PortalOptions.
template <class Fn>
concept HasPortalName = requires(const Fn& fn) { fn.portal_name(); };

// A WithPortalRun[Sync]() that one of greenback's own coroutines, or an
// Await(), awaits in a task: a call in that task. Run is one of the two classes
// below, to which it refers. Anything else that awaits a Run is a coroutine of
// another library, for which the call is a task of its own.
template <class Run>
class InTask;

// Base of the two: what a coroutine of another library does with a Run. Some do
// more than the compiler: they hand a context to the awaiter before it
// suspends, which awaiters below the portal receive in the same way, and cancel
// it.
template <class Run, class Result>
class ForeignRun {
 public:
  // Some libraries' coroutines require that it is const and noexcept.
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    static_assert(Run::kFollows || std::is_void_v<Promise>,
                  "greenback::WithPortalRun(async_fn, args...) in a coroutine "
                  "of another library: a portal cannot follow what async_fn "
                  "returns; it must return a greenback::Co, or be a plain "
                  "function for WithPortalRunSync()");
    return Start(Outer(coroutine));
  }
  template <class Promise, class Env>
  bool await_suspend(std::coroutine_handle<Promise> coroutine, Env* env) {
    Hand(env);
    return await_suspend(coroutine);
  }
  template <class Executor>
  void await_set_executor(Executor* executor) noexcept {
    Hand(executor);
    run().foreign_->set_asks_for_result();
  }
  bool await_cancel(std::coroutine_handle<>) noexcept {
    run().foreign_->RequestStop();
    return false;
  }
  bool await_must_resume() const noexcept {
    return !run().foreign_->was_dropped();
  }
  // async_simple's coroutines wrap whatever does not have this function in an
  // awaiter that hides their promise. They ask for it with a null pointer, so
  // the type of their executor is not known here.
  Run coAwait(auto /*executor*/) { return std::move(run()); }
  Result await_resume() { return run().foreign_->Take(); }

 private:
  friend class InTask<Run>;

  ForeignRun() = default;
  friend Run;

  Run& run() { return static_cast<Run&>(*this); }
  const Run& run() const { return static_cast<const Run&>(*this); }

  template <class T>
  void Hand(T* context) noexcept {
    run().Foreign().Hand(TypeIdOf<std::remove_cv_t<T>>(),
                         const_cast<std::remove_cv_t<T>*>(context));
  }
  bool Start(const OuterCoroutine& outer) {
    if (run().UseUp()) [[unlikely]]
      ReportAwaitedTwice(Run::kWhat);
    ForeignCall<Result>& call = run().Foreign();
    if constexpr (HasPortalName<typename Run::Function>) {
      call.set_name(run().fn_.portal_name());
    }
    return call.Start(run(), outer);
  }
};

// Calls sync_fn(args...).
template <class Fn, class... Args>
class [[nodiscard]] SyncRun
    : public ForeignRun<SyncRun<Fn, Args...>,
                        std::invoke_result_t<Fn, Args...>> {
 public:
  using Function = Fn;
  using Result = std::invoke_result_t<Fn, Args...>;
  static constexpr char kWhat[] = "WithPortalRunSync";
  static constexpr bool kFollows = true;

  explicit SyncRun(Fn fn, Args... args)
      : fn_(std::move(fn)), args_(std::move(args)...) {}
  // It may be moved before it is awaited.
  SyncRun(SyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        is_used_up_(std::exchange(other.is_used_up_, true)) {}

  InTask<SyncRun> GreenbackInTask() noexcept { return InTask<SyncRun>(*this); }

  // The call itself.
  __attribute__((always_inline)) Result operator()() {
    return std::apply(std::move(fn_), std::move(args_));
  }
  // Returns whether it was used up already.
  bool UseUp() noexcept { return std::exchange(is_used_up_, true); }

 private:
  friend class InTask<SyncRun>;
  friend ForeignRun<SyncRun, Result>;

  ForeignCall<Result>& Foreign() {
    return foreign_ ? *foreign_ : foreign_.emplace();
  }

  Fn fn_;
  std::tuple<Args...> args_;
  bool is_used_up_ = false;
  // Destroyed first: its frames use the rest.
  std::optional<ForeignCall<Result>> foreign_;
};

// The call is made in await_resume(): the coroutine is not even suspended.
template <class Fn, class... Args>
class InTask<SyncRun<Fn, Args...>> : private ResumesAtHome {
  using Run = SyncRun<Fn, Args...>;

 public:
  explicit InTask(Run& run) : run_(run) {}

  bool await_ready() const noexcept {
    // In this order, so that the optimiser knows the answer.
    if (run_.is_used_up_) [[unlikely]]
      return false;
    task_ = ThisThread().current_task;
    if (task_ == nullptr) [[unlikely]]
      return false;
    run_.is_used_up_ = true;
    return true;
  }
  // Without a task, as in a coroutine of another library; or an error.
  bool await_suspend(std::coroutine_handle<> coroutine) {
    return run_.Start(Outer(coroutine));
  }
  __attribute__((always_inline)) typename Run::Result await_resume() {
    if (task_ == nullptr) [[unlikely]]
      return run_.await_resume();
    const PortalForCall portal(*task_);
    return run_();
  }

 private:
  Run& run_;
  mutable PortalTask* task_ = nullptr;
};

// Calls async_fn(args...) and awaits the result, with a portal open meanwhile.
template <class Fn, class... Args>
class [[nodiscard]] AsyncRun
    : public ForeignRun<AsyncRun<Fn, Args...>,
                        AwaitResult<std::invoke_result_t<Fn, Args...>>> {
 public:
  using Function = Fn;
  using Made = std::invoke_result_t<Fn, Args...>;
  using Inner = decltype(GetAwaiterInTask(std::declval<Made>()));
  using Result = AwaitResult<Made>;
  static constexpr char kWhat[] = "WithPortalRun";
  // Whether the portal follows what it awaits.
  static constexpr bool kFollows = HomeAwaiter<Inner>;

  explicit AsyncRun(Fn fn, Args... args)
      : fn_(std::move(fn)), args_(std::move(args)...) {}
  // It may be moved before it is awaited.
  AsyncRun(AsyncRun&& other) noexcept(
      std::is_nothrow_move_constructible_v<Fn> &&
      std::is_nothrow_move_constructible_v<std::tuple<Args...>>)
      : fn_(std::move(other.fn_)),
        args_(std::move(other.args_)),
        is_used_up_(std::exchange(other.is_used_up_, true)) {}

  InTask<AsyncRun> GreenbackInTask() noexcept {
    return InTask<AsyncRun>(*this);
  }

  // The call that the ForeignCall makes.
  Result operator()() { return Await(Make()); }

 private:
  friend class InTask<AsyncRun>;
  friend ForeignRun<AsyncRun, Result>;

  ForeignCall<Result>& Foreign() {
    if (foreign_ == nullptr) {
      foreign_ = std::make_unique<ForeignCall<Result>>();
    }
    return *foreign_;
  }
  // Returns whether it was used up already.
  bool UseUp() noexcept { return std::exchange(is_used_up_, true); }
  Made Make() { return std::apply(std::move(fn_), std::move(args_)); }

  Fn fn_;
  std::tuple<Args...> args_;
  InPlace<PortalForCall> portal_;  // destroyed after what runs inside it
  InPlace<Made> made_;
  InPlace<Inner> inner_;
  bool is_used_up_ = false;
  // Of its own allocation, since few calls have one.
  std::unique_ptr<ForeignCall<Result>> foreign_;
};

template <class Fn, class... Args>
class InTask<AsyncRun<Fn, Args...>> {
  using Run = AsyncRun<Fn, Args...>;
  using Inner = typename Run::Inner;

 public:
  using GreenbackInner = Inner;

  explicit InTask(Run& run) : run_(run) {}

  // Makes the awaitable, in the task.
  bool await_ready() {
    PortalTask* const task = ThisThread().current_task;
    if (task == nullptr) [[unlikely]]
      return false;
    if (run_.UseUp()) [[unlikely]]
      ReportAwaitedTwice(Run::kWhat);
    run_.portal_.Emplace([task] { return PortalForCall(*task); });
    run_.made_.Emplace([this]() -> typename Run::Made { return run_.Make(); });
    run_.inner_.Emplace([this]() -> Inner {
      return GetAwaiterInTask(std::forward<typename Run::Made>(*run_.made_));
    });
    return CallReady<Inner>(*run_.inner_);
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) {
    using Suspend = decltype(CallSuspend<Inner>(*run_.inner_, coroutine));
    if constexpr (std::is_void_v<Suspend>) {
      if (!run_.inner_) return run_.Start(Outer(coroutine));
      CallSuspend<Inner>(*run_.inner_, coroutine);
      return true;
    } else if constexpr (std::is_same_v<Suspend, bool>) {
      if (!run_.inner_) return run_.Start(Outer(coroutine));
      return CallSuspend<Inner>(*run_.inner_, coroutine);
    } else {
      if (run_.inner_) [[likely]] {
        return std::coroutine_handle<>(
            CallSuspend<Inner>(*run_.inner_, coroutine));
      }
      return run_.Start(Outer(coroutine))
                 ? std::coroutine_handle<>(std::noop_coroutine())
                 : TransferTo(coroutine);
    }
  }
  bool await_park(FiberWaiter& waiter)
    requires(ParksItself<std::remove_reference_t<Inner>>)
  {
    return run_.inner_->await_park(waiter);
  }
  typename Run::Result await_resume() {
    if (!run_.inner_) [[unlikely]]
      return run_.await_resume();
    // The portal closes when the call ends, also by an exception, not when this
    // object is destroyed.
    struct CloseAtEnd {
      InPlace<PortalForCall>& portal;
      ~CloseAtEnd() { portal.Reset(); }
    } close{run_.portal_};
    return CallResume<Inner>(*run_.inner_);
  }

 private:
  Run& run_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_PORTAL_AWAITERS_H_
