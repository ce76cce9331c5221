#include "greenback/asio/internal/coroutine_task.h"

#include <boost/asio/cancellation_signal.hpp>
#include <exception>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "greenback/host/transfer.h"

namespace greenback::asio::internal {
namespace {

constexpr char kHost[] = "Boost.Asio";

}  // namespace

// The tasks of an execution context. It is shut down while all other services
// are still there, so that what the tasks' frames own may use them.
class TaskService : public boost::asio::execution_context::service {
 public:
  using key_type = TaskService;
  static inline boost::asio::execution_context::id id;

  explicit TaskService(boost::asio::execution_context& context)
      : service(context) {}

  void Add(CoroutineTask& task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.PushFront(task);
  }
  void Remove(CoroutineTask& task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    task.LeaveList();
  }
  // Whether all tasks have been abandoned.
  bool has_shut_down() const { return has_shut_down_; }

 private:
  void shutdown() override {
    // No other thread uses the context by now.
    has_shut_down_ = true;
    while (CoroutineTask* const first = tasks_.first()) {
      const CoroutineTaskPtr task(first);
      task->LeaveList();
      task->service_ = nullptr;
      // If the context is a static object, exit() may have been called in a
      // step, which then never ends.
      if (!task->IsRunningHere()) task->AbandonCoroutine();
    }
  }

  std::mutex mutex_;
  greenback::internal::IntrusiveList<CoroutineTask> tasks_;
  bool has_shut_down_ = false;
};

CoroutineTask::CoroutineTask(const char* name,
                             boost::asio::execution_context& context)
    : StepTask(kHost),
      name_(name),
      service_(&boost::asio::use_service<TaskService>(context)) {
  service_->Add(*this);
}

CoroutineTask::~CoroutineTask() {
  // In the last step of the task, the rest of that step belongs to no task.
  PortalTask*& running = ThisThread().current_task;
  if (running == this) running = nullptr;
  while (Server* const server = TakeServer()) server->end(*server);
  if (service_ != nullptr) service_->Remove(*this);
}

CoroutineTask* CoroutineTask::Current() noexcept {
  return From(ThisThread().current_task);
}

CoroutineTask* CoroutineTask::From(PortalTask* task) noexcept {
  return task != nullptr && task->host() == kHost
             ? static_cast<CoroutineTask*>(task)
             : nullptr;
}

#if BOOST_VERSION >= 108900
absl::Status CoroutineTask::ReserveFiber(FiberWaiter* waiter) {
  absl::Status reserved = StepTask::ReserveFiber(waiter);
  if (reserved.ok()) launch_records_.Watch(*this);
  return reserved;
}
#endif

bool CoroutineTask::is_cancelled() const {
  return coroutine_.cancellation != nullptr &&
         coroutine_.cancellation(coroutine_.entry).cancelled() !=
             boost::asio::cancellation_type::none;
}

absl::Status CoroutineTask::FinishCheckpoint() {
  if (!is_cancelled()) return absl::OkStatus();
  return absl::CancelledError(
      absl::StrCat("task \"", name(), "\" is cancelled"));
}

bool CoroutineTask::AddCancelHook(CancelHook& hook) {
  if (coroutine_.cancellation == nullptr) {
    hooks_.Add(hook);
    return true;
  }
  boost::asio::cancellation_state& state =
      coroutine_.cancellation(coroutine_.entry);
  if (state.cancelled() != boost::asio::cancellation_type::none) {
    cancellation_type_ = state.cancelled();
    return false;
  }
  // The slot is assigned anew for the first hook, because an operation that the
  // coroutine has awaited itself may have used it.
  if (hooks_.empty() && state.slot().is_connected()) {
    state.slot().assign(
        [task = CoroutineTaskPtr(this)](boost::asio::cancellation_type type) {
          task->cancellation_type_ = type;
          task->hooks_.Cancel();
        });
  }
  hooks_.Add(hook);
  return true;
}

void QueuedStep::Drop() {
  // It was not even queued: the caller of execute() receives the exception.
  if (std::uncaught_exceptions() > 0) return;
  if (service_ != nullptr && !service_->has_shut_down()) {
    CoroutineTaskPtr(task_)->AbandonCoroutine();
  }
}

void CheckpointStep::operator()() {
  Take()->Step([handle = waiter_->handle] {
    greenback::internal::ResumeAndTransfer(handle);
  });
}

}  // namespace greenback::asio::internal
