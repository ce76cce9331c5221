// ForeignCall<R>: a WithPortalRun[Sync]() in a coroutine that no host of
// greenback's runs. Internal to portal.h.
//
// The call is a task of its own, also where a step of another task has resumed
// the coroutine. It lives as long as the call does, and its one step runs on a
// fiber. While the fiber is parked, the coroutine stays suspended. There is no
// loop in whose thread the fiber could resume: the completer of the awaited
// operation resumes it at once, on the completer's thread, and resumes the
// coroutine there when the call has ended. Coroutines without a host resume
// each other in the same way. So that this holds for an operation that
// completes at once on another thread, too, operations start when the fiber has
// parked (parked_start.h).
#ifndef GREENBACK_HOST_FOREIGN_CALL_H_
#define GREENBACK_HOST_FOREIGN_CALL_H_

#include <atomic>
#include <coroutine>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/abandoned.h"
#include "greenback/host/library_hooks.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/outcome.h"

namespace greenback::internal {

class ForeignTask : public StepTask {
 public:
  absl::string_view name() const override { return name_; }
  // The name must live as long as the call.
  void set_name(absl::string_view name) { name_ = name; }

  // Before the call begins: its library has handed this to the awaiter of the
  // call.
  void Hand(TypeId type, void* context) {
    handed_type_ = type;
    handed_ = context;
  }
  // The library asks that awaiter for await_must_resume().
  void set_asks_for_result() { asks_for_result_ = true; }

  // `task` if it is one; null otherwise. `task` may be null.
  static const ForeignTask* From(const PortalTask* task) noexcept;

  // The context of that type of the coroutine's library; null if it has none.
  void* FindContext(TypeId type) const noexcept;

  // Cancels what waits in the call. On any thread.
  void RequestStop();
  bool was_stopped() const noexcept;
  // Whether the library asks for was_dropped() before it asks for the result.
  bool can_drop() const noexcept { return asks_for_result_; }
  // Whether it has ended without a result; see DropCall().
  bool was_dropped() const noexcept { return was_dropped_; }
  void Drop() noexcept;

 protected:
  ForeignTask();
  ~ForeignTask() override;

  // Nothing is cancelled any more. Waits for a cancellation on another thread.
  void EndCancellation() noexcept {
    if (cancellation_.load(std::memory_order_acquire) != nullptr) [[unlikely]]
      DeleteCancellation();
  }

  // Whether the library destroys a coroutine whose call was unwound. Not while
  // that is what unwinds the call.
  bool destroys_coroutine() const noexcept {
    return outer_.handle != nullptr && outer_.hooks != nullptr &&
           outer_.hooks->destroy != nullptr;
  }
  // Does it, and destroys this with it. `task` is a ForeignTask whose step has
  // ended.
  static void DestroyCoroutine(void* task) noexcept;

  OuterCoroutine outer_;

 private:
  class Cancellation;
  class Passage;

  Cancellation& GetCancellation();
  void DeleteCancellation() noexcept;

  void ScheduleContinue(Waiter& waiter) noexcept override;
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(CancelHook& hook) override;
  void RemoveCancelHook(CancelHook& hook) noexcept override;

  absl::string_view name_ = "foreign coroutine";
  bool asks_for_result_ = false;
  bool was_dropped_ = false;
  TypeId handed_type_ = nullptr;
  void* handed_ = nullptr;
  // Null until something waits that can be cancelled.
  std::atomic<Cancellation*> cancellation_ = nullptr;
};

template <class R>
class ForeignCall final : public ForeignTask {
 public:
  ForeignCall() {}  // = default would let emplace() clear all of it first
  // If the coroutine is destroyed while it waits here, the step is unwound.
  ~ForeignCall() override {
    if (!is_parked()) return;
    outer_.handle = nullptr;
    Abandon();
  }

  // Begins the step, fn(); fn must live until the call has ended. False: it has
  // ended already. True: the outer coroutine, which is suspended, is resumed
  // when it ends, on the thread where it ends, perhaps before this returns.
  template <class Fn>
  bool Start(Fn& fn, const OuterCoroutine& outer) {
    outer_ = outer;
    auto step = [this, &fn] {
      GREENBACK_TRY { outcome_.SetValue(fn); }
#if defined(__cpp_exceptions)
      catch (const Abandoned&) {
        // There is no result.
      }
#endif
      GREENBACK_CATCH_ALL { outcome_.SetCurrentException(); }
      // Nothing waits for the end of an abandoned call, unless the library has
      // cancelled it.
      if (was_dropped() ||
          PortalAccess::Get(*this) != PortalAccess::Portal::kAbandoned) {
        CallAfterStep({ResumeAddress, outer_.handle.address()});
      } else if (destroys_coroutine()) {
        CallAfterStep({DestroyCoroutine, static_cast<ForeignTask*>(this)});
      }
    };
    const FiberCall after = BeginStep(step);
    if (after.function == ResumeAddress) return false;
    after.CallIfSet();
    return true;
  }

  R Take() { return outcome_.Take(); }

 private:
  Outcome<R> outcome_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_FOREIGN_CALL_H_
