#include "greenback/asio/internal/post_awaiter.h"

#include <exception>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

PostAwaiter::Operation PostAwaiter::MakeOperation() {
  return Operation(
      boost::asio::async_initiate<const boost::asio::deferred_t, void()>(
          InitiatePost(), boost::asio::deferred));
}

bool PostAwaiter::Post() {
  CoroutineTask* const task = CoroutineTask::Current();
  if (task == nullptr) return false;
  waiter_.task = task;
  PortalAccess::ScheduleCheckpoint(waiter_);
  return true;
}

bool PostAwaiter::PostWhenParked(FiberWaiter& waiter) {
  if (CoroutineTask::From(waiter.task) == nullptr ||
      !StepTask::IsOnStackOf(waiter)) {
    return false;
  }
  waiter.start_argument = this;
  waiter.start = [](void* argument, FiberWaiter& parked) {
    GREENBACK_TRY {
      static_cast<CoroutineTask*>(parked.task)->PostContinuation(parked);
      return true;
    }
    GREENBACK_CATCH_ALL {
      PostAwaiter& self = *static_cast<PostAwaiter*>(argument);
      self.error_ = std::current_exception();
      self.has_more_ = true;
    }
    return false;
  };
  return true;
}

std::coroutine_handle<> PostAwaiter::SuspendElsewhere(
    std::coroutine_handle<> coroutine) {
  has_more_ = true;
  Operation& operation = operation_.Emplace(MakeOperation);
  return elsewhere_
      .Emplace([&operation] { return ForeignAwaiter<Operation&>(operation); })
      .await_suspend(coroutine);
}

bool PostAwaiter::ParkElsewhere(FiberWaiter& waiter) {
  has_more_ = true;
  return operation_.Emplace(MakeOperation).await_park(waiter);
}

void PostAwaiter::ResumeWithMore() {
  if (error_) std::rethrow_exception(error_);
  if (elsewhere_) {
    elsewhere_->await_resume();
  } else {
    operation_->await_resume();
  }
}

}  // namespace greenback::asio::internal
