#include "greenback/runtime/run.h"

#include <stdexcept>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/context/exceptions.h"

namespace greenback::internal {
namespace {

Clock* CheckNoRun(Clock* clock) {
  if (Loop::Current() != nullptr) {
    context::ThrowOrDie(std::logic_error(
        "greenback::Run(): this thread is in a run already; co_await the "
        "coroutine, or Await() it, instead"));
  }
  return clock;
}

}  // namespace

RunState::RunState(const RunOptions& options)
    : loop({.stack_size = options.stack_size, .max_stacks = options.max_fibers},
           CheckNoRun(options.clock)),
      scope(loop, nullptr) {}

void RunState::RunMain(RootTask main) {
  main.Start(loop);
  absl::Status status = loop.Run();
  if (status.ok()) return;
  main.Destroy();  // never ran
  ReportStackExhausted(status);
}

}  // namespace greenback::internal
