#include "greenback/host/foreign_call.h"

#include <algorithm>
#include <atomic>
#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "greenback/host/parked_start.h"
#include "greenback/host/portal_task.h"

namespace greenback::internal {
namespace {

constexpr char kHost[] = "a coroutine or a sender of another library";

}  // namespace

// The stop source of the call, and the hooks of what waits in it. The hooks are
// added and removed by the call, on one thread at a time; std::stop_callback
// orders that with a stop on another thread.
class ForeignTask::Cancellation {
 public:
  explicit Cancellation(const OuterCoroutine& outer) {
    if (outer.hooks != nullptr && outer.hooks->link != nullptr) {
      link_ = outer.hooks->link(outer.promise, stop_);
    }
  }

  // A copy, because the call may end, and this be destroyed, meanwhile.
  void RequestStop() noexcept { std::stop_source(stop_).request_stop(); }
  bool is_stopped() const noexcept { return stop_.stop_requested(); }

  bool Add(CancelHook& hook) {
    hooks_.push_back(std::make_unique<Registered>(stop_.get_token(), hook));
    if (hooks_.back()->Arm()) return true;
    hooks_.pop_back();
    return false;
  }
  void Remove(const CancelHook& hook) noexcept {
    const auto found =
        std::find_if(hooks_.begin(), hooks_.end(),
                     [&](const std::unique_ptr<Registered>& registered) {
                       return &registered->hook == &hook;
                     });
    if (found == hooks_.end()) return;
    // Waits for a notification on another thread. The vector is changed first:
    // a notification on this thread may be what has ended the wait.
    const std::unique_ptr<Registered> removed = std::move(*found);
    hooks_.erase(found);
  }

 private:
  struct Registered {
    struct Notify {
      Registered* registered;
      void operator()() const {
        if (registered->is_armed_or_stopped.exchange(true)) {
          registered->hook.OnCancel();
        }
      }
    };

    Registered(std::stop_token token, CancelHook& added)
        : hook(added), callback(std::move(token), Notify{this}) {}
    // From here on, a stop notifies the hook, which may remove itself then.
    // False: a stop was requested before.
    bool Arm() { return !is_armed_or_stopped.exchange(true); }

    CancelHook& hook;
    std::atomic<bool> is_armed_or_stopped = false;
    std::stop_callback<Notify> callback;
  };

  std::stop_source stop_;
  std::vector<std::unique_ptr<Registered>> hooks_;
  // Destroyed first: no stop is requested after that.
  std::unique_ptr<CancelLink> link_;
};

ForeignTask::ForeignTask() : StepTask(kHost, kStartsParked) {
  PortalAccess::Set(*this, PortalAccess::Portal::kOpen);
}

ForeignTask::~ForeignTask() { EndCancellation(); }

void ForeignTask::DeleteCancellation() noexcept {
  delete cancellation_.exchange(nullptr, std::memory_order_acq_rel);
}

void ForeignTask::DestroyCoroutine(void* task) noexcept {
  const OuterCoroutine& outer = static_cast<ForeignTask*>(task)->outer_;
  outer.hooks->destroy(outer.promise);
}

const ForeignTask* ForeignTask::From(const PortalTask* task) noexcept {
  return task != nullptr && task->host() == kHost
             ? static_cast<const ForeignTask*>(task)
             : nullptr;
}

void ForeignTask::Drop() noexcept {
  was_dropped_ = true;
  PortalAccess::Abandon(*this);
}

void* ForeignTask::FindContext(TypeId type) const noexcept {
  if (handed_type_ == type) return handed_;
  if (outer_.hooks == nullptr || outer_.hooks->context == nullptr) {
    return nullptr;
  }
  return outer_.hooks->context(outer_.promise, type);
}

absl::Status ForeignTask::FinishCheckpoint() {
  // A library is asked even if nothing has waited yet.
  if (outer_.hooks != nullptr && outer_.hooks->link != nullptr) {
    GetCancellation();
  }
  if (!was_stopped()) return absl::OkStatus();
  return absl::CancelledError(
      absl::StrCat("task \"", name(), "\" is cancelled"));
}

ForeignTask::Cancellation& ForeignTask::GetCancellation() {
  Cancellation* found = cancellation_.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  auto made = std::make_unique<Cancellation>(outer_);
  if (cancellation_.compare_exchange_strong(found, made.get(),
                                            std::memory_order_acq_rel)) {
    return *made.release();
  }
  return *found;  // another thread was first
}

void ForeignTask::RequestStop() { GetCancellation().RequestStop(); }

bool ForeignTask::was_stopped() const noexcept {
  const Cancellation* const found =
      cancellation_.load(std::memory_order_acquire);
  return found != nullptr && found->is_stopped();
}

bool ForeignTask::AddCancelHook(CancelHook& hook) {
  return GetCancellation().Add(hook);
}

void ForeignTask::RemoveCancelHook(CancelHook& hook) noexcept {
  // It was added if there is anything to remove it from.
  Cancellation* const found = cancellation_.load(std::memory_order_acquire);
  if (found != nullptr) found->Remove(hook);
}

// Frames on the way home: lives in the coroutine that the library is to resume.
class ForeignTask::Passage {
 public:
  Passage(ForeignTask& task, Waiter& waiter) : task_(task), waiter_(&waiter) {}
  Passage(Passage&& other) noexcept
      : task_(other.task_), waiter_(std::exchange(other.waiter_, nullptr)) {}
  // The library has destroyed the handle: the frames are unwound.
  ~Passage() {
    if (waiter_ == nullptr) return;
    // After Abandon(), which makes no call that follows a step.
    const bool destroys_coroutine = task_.destroys_coroutine();
    if (destroys_coroutine) task_.outer_.handle = nullptr;
    task_.Abandon();
    if (destroys_coroutine) DestroyCoroutine(&task_);
  }

  void Arrive() { task_.Continue(*std::exchange(waiter_, nullptr)); }

 private:
  ForeignTask& task_;
  Waiter* waiter_;
};

namespace {

// Is destroyed when it has run.
struct OneResumption {
  struct promise_type {
    OneResumption get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

template <class Passage>
OneResumption Arrive(Passage passage) {
  passage.Arrive();
  co_return;
}

}  // namespace

void ForeignTask::ScheduleContinue(Waiter& waiter) noexcept {
  if (waiter.kind() != Waiter::Kind::kCoroutine &&
      StartMark::Completes(static_cast<WakenWaiter&>(waiter).start_mark)) {
    return;
  }
  if (outer_.hooks == nullptr || outer_.hooks->resume == nullptr) {
    Continue(waiter);
    return;
  }
  outer_.hooks->resume(outer_.promise, Arrive(Passage(*this, waiter)).handle);
}

void* FindContext(const PortalTask* task, TypeId type) noexcept {
  const ForeignTask* const call = ForeignTask::From(task);
  return call != nullptr ? call->FindContext(type) : nullptr;
}

bool CanDropCall(const PortalTask* task) noexcept {
  const ForeignTask* const call = ForeignTask::From(task);
  return call != nullptr && call->can_drop();
}

void DropCall(PortalTask& task) noexcept {
  static_cast<ForeignTask&>(task).Drop();
}

}  // namespace greenback::internal
