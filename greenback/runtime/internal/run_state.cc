#include "greenback/runtime/internal/run_state.h"

#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

namespace greenback::internal {
namespace {

Clock* CheckNoRun(Clock* clock) {
  if (Loop::Current() != nullptr) {
    ThrowOrDie(std::logic_error(
        "greenback::Run(): this thread is in a run already; co_await the "
        "coroutine, or Await() it, instead"));
  }
  return clock;
}

}  // namespace

RunState::RunState(const RunOptions& options)
    : Loop({.stack_size = options.stack_size, .max_stacks = options.max_fibers},
           CheckNoRun(options.clock)),
      options_(options),
      instruments_(*this),
      scope_(*this, nullptr),
      link_(std::make_shared<RunLink>()) {
  link_->run = this;
  for (Instrument* const instrument : options.instruments) {
    instruments_.Add(*instrument);
  }
}

RunState& RunState::Current(const char* caller) {
  Loop* const loop = Loop::Current();
  if (loop == nullptr) DieOutsideRun(caller);
  return static_cast<RunState&>(*loop);
}

RootTask RunState::RunInit(TaskPlace, RunState& run,
                           absl::FunctionRef<void(Nursery&)> spawn_main) {
  run.system_context = Context::Current();
  GREENBACK_TRY {
    run.status_ = co_await OpenNursery([&](Nursery& system) -> Co<void> {
      run.system_nursery_ = &system;
      // What was posted before the run began may have failed.
      if (!run.errors_.empty()) system.cancel_scope().Cancel();
      (void)co_await OpenNursery([&](Nursery& main) -> Co<void> {
        spawn_main(main);
        co_return;
      });
      run.ending_ = true;
      system.cancel_scope().Cancel();
    });
  }
  GREENBACK_CATCH_ALL { run.errors_.Add(std::current_exception()); }
  run.system_nursery_ = nullptr;
  run.CloseLink();
}

void RunState::CloseLink() {
  {
    std::lock_guard lock(link_->mutex);
    link_->run = nullptr;
  }
  PortalTask* const init = std::exchange(ThisThread().current_task, nullptr);
  reactor().Drain();
  ThisThread().current_task = init;
}

void RunState::Fail(std::exception_ptr error) noexcept {
  if (system_nursery_ != nullptr) {
    NurseryAccess::Note(*system_nursery_, std::move(error));
  } else {
    errors_.Add(std::move(error));
  }
}

void RunState::TaskEnded() {
  instruments_.RunEnds();
  Stop();
}

absl::Status RunState::RunToEnd(absl::FunctionRef<void(Nursery&)> spawn_main) {
  return Run([&] {
    instruments_.RunBegins();
    absl::Cleanup not_begun = [this] { instruments_.RunEnds(); };
    RunInit({*this, *this, nullptr, scope_}, *this, spawn_main).Start(*this);
    std::move(not_begun).Cancel();
  });
}

absl::Status RunState::Outcome([[maybe_unused]] std::exception_ptr main_error) {
#if defined(__cpp_exceptions)
  NotedExceptions all;
  if (main_error) all.Add(std::move(main_error));
  all.Add(errors_);
  if (!all.empty()) {
    if (!status_.ok()) all.Add(status_);
    all.ThrowIfAny();
  }
#endif
  return std::move(status_);
}

}  // namespace greenback::internal
