#include "greenback/runtime/run_in_thread.h"

#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/internal/run_state.h"
#include "greenback/runtime/task.h"

namespace greenback::internal {

void ThreadWait::await_suspend(std::coroutine_handle<> handle) {
  RunState& run = RunState::Current("RunInThread()");
  Cancellable& waiter = CurrentCancellable();
  // Whatever may fail is done before anything refers to this wait.
  if (!waiter.is_cancelled()) {
    if (run.threads == nullptr) {
      run.threads = std::make_shared<ThreadPool>(run.options().max_threads);
    }
    not_started_ = run.threads->Reserve();
  }
  loop_ = &run;
  context_ = Context::Current();
  pool_ = run.threads;
  if (!Begin(waiter, handle)) return;
  if (not_started_.ok()) {
    pool_->Add(*this);
  } else {
    Finish();
  }
}

void ThreadWait::Work() {
  context_.Run([this] { DoWork(); });
  run = [](Posted& posted, End) { static_cast<ThreadWait&>(posted).Finish(); };
  loop_->RunSoonFromAnyThread(static_cast<Posted&>(*this));
}

bool ThreadWait::Abort() { return pool_ == nullptr || pool_->Remove(*this); }

absl::Status ThreadWait::await_resume() {
  absl::Status status = TakeResult();
  return not_started_.ok() ? status : not_started_;
}

}  // namespace greenback::internal
