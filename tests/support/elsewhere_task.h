// ElsewhereTask: a running task whose host is not greenback::Run(), for tests
// of what only a task of Run() has.
#ifndef GREENBACK_TESTS_SUPPORT_ELSEWHERE_TASK_H_
#define GREENBACK_TESTS_SUPPORT_ELSEWHERE_TASK_H_

#include <exception>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/host/portal_task.h"

namespace greenback {

// Is the running task of this thread as long as it lives. Never parks: whatever
// it awaits completes at once.
class ElsewhereTask final : public PortalTask {
 public:
  ElsewhereTask() : PortalTask("Elsewhere") {
    internal::ThisThread().current_task = this;
  }
  ~ElsewhereTask() override { internal::ThisThread().current_task = nullptr; }
  absl::string_view name() const override { return "stranger"; }

 private:
  absl::Status ReserveFiber(internal::FiberWaiter*) override {
    return absl::OkStatus();
  }
  context::SavedContext* Park(internal::FiberWaiter&) override {
    std::terminate();
  }
  void Wake(internal::Waiter& waiter) noexcept override { waiter.FireInline(); }
  void ScheduleCheckpoint(internal::Waiter&) override { std::terminate(); }
  absl::Status FinishCheckpoint() override { return absl::OkStatus(); }
  bool AddCancelHook(internal::CancelHook&) override { return false; }
  void OnSelfBestowed() override {}
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_ELSEWHERE_TASK_H_
