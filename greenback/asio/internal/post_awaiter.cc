#include "greenback/asio/internal/post_awaiter.h"

#include <exception>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

bool PostAwaiter::Post() {
  CoroutineTask* const task = CoroutineTask::Current();
  if (task == nullptr) return false;
  waiter_.task = task;
  PortalAccess::ScheduleCheckpoint(waiter_);
  return true;
}

bool PostAwaiter::PostWhenParked(FiberWaiter& point) {
  if (CoroutineTask::From(point.task) == nullptr ||
      !StepTask::IsOnStackOf(point)) {
    return false;
  }
  point.start_argument = this;
  point.start = [](void* argument, FiberWaiter& waiter) {
    GREENBACK_TRY {
      static_cast<CoroutineTask*>(waiter.task)->PostContinuation(waiter);
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
    std::coroutine_handle<> waiter) {
  has_more_ = true;
  Operation& operation =
      operation_.Emplace([this] { return Operation(DeferredPost(post_)); });
  return elsewhere_
      .Emplace([&operation] { return ForeignAwaiter<Operation&>(operation); })
      .await_suspend(waiter);
}

bool PostAwaiter::ParkElsewhere(FiberWaiter& point) {
  has_more_ = true;
  return operation_.Emplace([this] { return Operation(DeferredPost(post_)); })
      .await_park(point);
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
