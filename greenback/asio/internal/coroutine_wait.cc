#include "greenback/asio/internal/coroutine_wait.h"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "greenback/host/host_io.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::asio::internal {
namespace {

std::exception_ptr Aborted() {
  return std::make_exception_ptr(
      boost::system::system_error(boost::asio::error::operation_aborted));
}

}  // namespace

CoroutineWait::~CoroutineWait() {
  Finish();
  if (tie_ != nullptr) tie_->wait_ = nullptr;
  LeaveTask();
}

CoroutineWait::Tie::~Tie() {
  if (wait_ == nullptr) return;
  wait_->error_ = Aborted();
  End();
}

void CoroutineWait::Tie::End() {
  kept_.reset();
  if (wait_ == nullptr) {
    // The last reference to the task: this object may be destroyed with it.
    const CoroutineTaskPtr task = std::move(task_);
    return;
  }
  CoroutineWait& wait = *std::exchange(wait_, nullptr);
  wait.tie_ = nullptr;
  wait.End();
}

bool CoroutineWait::Begin(bool throws_if_cancelled) {
  cancelled_ = !PortalAccess::AddCancelHook(*task_, *this);
  if (!cancelled_ || !throws_if_cancelled) return true;
  error_ = Aborted();
  return false;
}

bool CoroutineWait::BecomePartOfTask() {
  is_part_ = outer_.runs(outer_.entry);
  if (is_part_) {
    task_->set_coroutine({});
    outer_step_waiter_ = task_->step_waiter();
    task_->set_step_waiter(waiter_);
  }
  return is_part_;
}

void CoroutineWait::LeaveTask() {
  if (!std::exchange(is_part_, false)) return;
  task_->set_coroutine(outer_);
  task_->set_step_waiter(outer_step_waiter_);
}

bool CoroutineWait::is_cancellable() const {
  return outer_.cancellation(outer_.entry).slot().is_connected();
}

void CoroutineWait::Started() {
  if (cancelled_) OnCancel();
}

void CoroutineWait::End() {
  LeaveTask();
  if (waiter_ != nullptr) {
    PortalAccess::Wake(*waiter_);
  } else {
    (void)operation_waiter_.Complete();  // it never leaves
  }
}

void CoroutineWait::OnCancel() {
  EmitIfMemory(signal_, task_->cancellation_type());
}

bool InRun() noexcept {
  return HostIo::Of(ThisThread().current_task) != nullptr;
}

void ReportNoHost() {
  const PortalTask* const task = ThisThread().current_task;
  if (task == nullptr) {
    greenback::internal::ThrowOrDie(PortalError(
        PortalError::Reason::kNoTask,
        "greenback: a boost::asio::awaitable is awaited where no task is "
        "running, so that there is no executor to run it on; spawn it with "
        "boost::asio::co_spawn(executor, ..., boost::asio::deferred), and "
        "await that"));
  }
  greenback::internal::ThrowOrDie(PortalError(
      PortalError::Reason::kWrongHost,
      absl::StrCat(
          "greenback: task \"", task->name(), "\" is run by ", task->host(),
          ", and this boost::asio::awaitable is for tasks that are run by "
          "Boost.Asio on executors of its type, or by greenback::Run(); spawn "
          "it with boost::asio::co_spawn(executor, ..., "
          "boost::asio::deferred), and await that")));
}

}  // namespace greenback::asio::internal
