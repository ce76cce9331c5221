// LibraryAwaiter: the awaiter of an awaitable that wants more of the coroutine
// that awaits it than a handle. Internal to Await() and to greenback's
// coroutines.
//
// Some libraries' coroutines do more to an awaiter than the compiler does:
// corral's call await_set_executor(), and await_cancel() when they are
// cancelled; Capy's pass their environment to await_suspend(). Below a portal
// there is such a coroutine around the call, which has done the same to the
// awaiter of WithPortalRun[Sync](), and the call passes it on.
#ifndef GREENBACK_HOST_LIBRARY_AWAITER_H_
#define GREENBACK_HOST_LIBRARY_AWAITER_H_

#include <coroutine>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/host/abandonment.h"
#include "greenback/host/library_hooks.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/waker.h"
#include "greenback/internal/awaitable_traits.h"

namespace greenback::internal {

// Converts to a pointer to what the library of the coroutine around the call in
// `task` has of that type.
struct ContextPointer {
  template <class T>
  // For any parameter's type. NOLINTNEXTLINE(google-explicit-constructor)
  operator T*() const {
    void* const found = FindContext(task, TypeIdOf<std::remove_cv_t<T>>());
    if (found == nullptr) ReportNoContext(task, what);
    return static_cast<T*>(found);
  }
  const PortalTask* task;
  const char* what;
};

template <class T>
class LibraryAwaiter : private CancelHook {
  using Inner = decltype(GetAwaiter(std::declval<T>()));
  using Result = typename KeptResult<
      decltype(std::declval<ForResume<Inner>>().await_resume())>::type;

 public:
  explicit LibraryAwaiter(T&& awaitable)
      : inner_(GetAwaiter(std::forward<T>(awaitable))) {
    if constexpr (WantsExecutor<Inner>) {
      inner_.await_set_executor(
          ContextPointer{ThisThread().current_task, "await_set_executor()"});
    }
  }
  LibraryAwaiter(const LibraryAwaiter&) = delete;
  LibraryAwaiter& operator=(const LibraryAwaiter&) = delete;
  ~LibraryAwaiter() { RemoveHook(); }

  bool await_ready() const noexcept(kReadyIsNoexcept<Inner>) {
    return CallReady<Inner>(const_cast<AwaiterLvalue<Inner>>(inner_));
  }

  std::coroutine_handle<> await_suspend(WakerHandle waker) {
    waker_ = waker;
    if constexpr (CancelsByAwaiter<Inner>) {
      if (CanDropCall(waker.promise().task())) {
        task_ = waker.promise().task();
        if (!PortalAccess::AddCancelHook(*task_, *this) && CancelEarly()) {
          was_dropped_ = true;
          return waker;
        }
      }
    }
    // This object may be destroyed as soon as the awaitable has started.
    return NextAfter([this, waker] { return Suspend(waker); }, waker);
  }

  // When the wait is over: whether it has ended without a result. Then the call
  // ends, too.
  bool GreenbackIsDropped() noexcept {
    RemoveHook();
    if constexpr (CancelsByAwaiter<Inner>) {
      if (was_dropped_ || (was_cancelled_ && !MustResume())) {
        DropCall(*task_);
        return true;
      }
    }
    return false;
  }

  Result await_resume() {
    if (GreenbackIsDropped()) return AbandonedResult<Result>();
    return CallResume<Inner>(inner_);
  }

 private:
  decltype(auto) Suspend(WakerHandle waker) {
    if constexpr (WantsEnvironment<Inner>) {
      return inner_.await_suspend(
          waker, ContextPointer{waker.promise().task(), "await_suspend()"});
    } else {
      return CallSuspend<Inner>(inner_, waker);
    }
  }

  // The task is cancelled already. Returns whether the wait is not to begin.
  bool CancelEarly() noexcept {
    was_cancelled_ = true;
    if constexpr (requires { inner_.await_early_cancel(); }) {
      return static_cast<bool>(inner_.await_early_cancel());
    } else {
      return true;
    }
  }
  void OnCancel() override {
    was_cancelled_ = true;
    if constexpr (CancelsByAwaiter<Inner>) {
      const WakerHandle waker = waker_;
      if (!static_cast<bool>(inner_.await_cancel(waker))) return;
      was_dropped_ = true;
      waker.resume();
    }
  }
  // Whether the awaitable has a result although it was cancelled.
  bool MustResume() const {
    if constexpr (requires { inner_.await_must_resume(); }) {
      return static_cast<bool>(inner_.await_must_resume());
    } else {
      return true;
    }
  }
  void RemoveHook() noexcept {
    if (task_ != nullptr) PortalAccess::RemoveCancelHook(*task_, *this);
  }

  Inner inner_;
  WakerHandle waker_;
  PortalTask* task_ = nullptr;  // null: the hook was not added
  bool was_cancelled_ = false;
  bool was_dropped_ = false;  // it has ended without a result
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_LIBRARY_AWAITER_H_
