#include "greenback/runtime/run_in_thread.h"

#include "greenback/runtime/loop.h"
#include "greenback/runtime/run_state.h"
#include "greenback/runtime/task.h"

namespace greenback::internal {

void ThreadWait::await_suspend(std::coroutine_handle<> handle) {
  RunState& run = RunState::Current("RunInThread()");
  if (!Begin(CurrentCancellable(), handle)) return;
  loop_ = &run;
  context_ = Context::Current();
  if (run.threads == nullptr) {
    run.threads = std::make_shared<ThreadPool>(run.options().max_threads);
  }
  pool_ = run.threads;
  not_started_ = pool_->Add(*this);
  if (!not_started_.ok()) Finish();
}

void ThreadWait::Work() {
  context_.Run([this] { DoWork(); });
  loop_->RunSoonFromAnyThread([this] { Finish(); });
}

bool ThreadWait::Abort() { return pool_ == nullptr || pool_->Remove(*this); }

absl::Status ThreadWait::await_resume() {
  absl::Status status = TakeResult();
  return not_started_.ok() ? status : not_started_;
}

}  // namespace greenback::internal
