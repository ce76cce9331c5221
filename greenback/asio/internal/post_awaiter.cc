#include "greenback/asio/internal/post_awaiter.h"

#include <exception>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

bool PostAwaiter::Post() {
  CoroutineTask* const task = CoroutineTask::Current();
  if (task == nullptr) return false;
  node_.task = task;
  PortalAccess::ScheduleCheckpoint(node_);
  return true;
}

bool PostAwaiter::PostWhenParked(ParkPoint& point) {
  if (CoroutineTask::From(point.task) == nullptr ||
      !StepTask::IsOnStackOf(point)) {
    return false;
  }
  begin = [](StartWhenParked& start, ParkPoint& point) {
    GREENBACK_TRY {
      static_cast<CoroutineTask*>(point.task)->PostContinuation(point);
      return true;
    }
    GREENBACK_CATCH_ALL {
      PostAwaiter& self = static_cast<PostAwaiter&>(start);
      self.error_ = std::current_exception();
      self.has_more_ = true;
    }
    return false;
  };
  point.start = this;
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

bool PostAwaiter::ParkElsewhere(ParkPoint& point) {
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
