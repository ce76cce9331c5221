#include "greenback/asio/internal/asio_task.h"

#include <boost/asio/cancellation_signal.hpp>
#include <exception>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "greenback/host/transfer.h"

namespace greenback::internal {
namespace {

constexpr char kHost[] = "Boost.Asio";

}  // namespace

// The tasks of an execution context. Its shutdown comes while all other
// services are still there, so that what the tasks' frames own may use them.
class AsioTasks : public boost::asio::execution_context::service {
 public:
  using key_type = AsioTasks;
  static inline boost::asio::execution_context::id id;

  explicit AsioTasks(boost::asio::execution_context& context)
      : service(context) {}

  void Add(AsioTask& task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.PushFront(task);
  }
  void Remove(AsioTask& task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    task.LeaveList();
  }
  // All tasks are given up.
  bool has_shut_down() const { return has_shut_down_; }

 private:
  void shutdown() override {
    // No other thread uses the context any more.
    has_shut_down_ = true;
    while (AsioTask* const first = tasks_.first()) {
      const AsioTaskPtr task(first);
      task->LeaveList();
      task->tasks_ = nullptr;
      // A static context, and exit() was called in a step: that never ends.
      if (!task->IsRunningHere()) task->GiveUp();
    }
  }

  std::mutex mutex_;
  IntrusiveList<AsioTask> tasks_;
  bool has_shut_down_ = false;
};

AsioTask::AsioTask(const char* name, boost::asio::execution_context& context)
    : StepTask(kHost),
      name_(name),
      tasks_(&boost::asio::use_service<AsioTasks>(context)) {
  tasks_->Add(*this);
}

AsioTask::~AsioTask() {
  // In the last of its steps: what is left of that is nobody's.
  PortalTask*& running = ThisThread().current_task;
  if (running == this) running = nullptr;
  while (Server* const server = TakeServer()) server->end(*server);
  if (tasks_ != nullptr) tasks_->Remove(*this);
}

AsioTask* AsioTask::Current() noexcept {
  return From(ThisThread().current_task);
}

AsioTask* AsioTask::From(PortalTask* task) noexcept {
  return task != nullptr && task->host() == kHost ? static_cast<AsioTask*>(task)
                                                  : nullptr;
}

bool AsioTask::is_cancelled() const {
  return coroutine_.cancellation != nullptr &&
         coroutine_.cancellation(coroutine_.entry).cancelled() !=
             boost::asio::cancellation_type::none;
}

absl::Status AsioTask::FinishCheckpoint() {
  if (!is_cancelled()) return absl::OkStatus();
  return absl::CancelledError(
      absl::StrCat("task \"", name(), "\" is cancelled"));
}

bool AsioTask::AddCancelHook(CancelHook& hook) {
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
  // An operation that the coroutine has awaited itself has used the slot.
  if (hooks_.empty() && state.slot().is_connected()) {
    state.slot().assign(
        [task = AsioTaskPtr(this)](boost::asio::cancellation_type type) {
          task->cancellation_type_ = type;
          task->hooks_.Cancel();
        });
  }
  hooks_.Add(hook);
  return true;
}

void AsioQueued::Drop() {
  // It could not even be executed: who wanted that hears it.
  if (std::uncaught_exceptions() > 0) return;
  if (tasks_ != nullptr && !tasks_->has_shut_down()) {
    AsioTaskPtr(task_)->GiveUp();
  }
}

void AsioCheckpoint::operator()() {
  Take()->Step([handle = node_->handle] { ResumeAndTransfer(handle); });
}

}  // namespace greenback::internal
