#include "greenback/context/run_on_fiber.h"

#include <exception>
#include <utility>

#include "greenback/context/stack_overflow.h"
#include "greenback/context/switch.h"
#include "greenback/internal/exceptions.h"

namespace greenback::context::internal {
namespace {

struct Run {
  void (*call)(void*);
  void* argument;
  SavedContext caller;
  std::exception_ptr error;
};

void Main(void* argument) {
  Run& run = *static_cast<Run*>(argument);
  GREENBACK_TRY { run.call(run.argument); }
  GREENBACK_CATCH_ALL { run.error = std::current_exception(); }
  FinalSwitch(run.caller);
}

}  // namespace

void RunOnFiber(StackPool& pool, void (*call)(void*), void* argument) {
  ReportStackOverflows();
  StackOrError made = pool.Acquire();
  if (!made.stack) {
    greenback::internal::ThrowOrDie(StackExhausted(std::move(made.error)));
  }
  Run run{call, argument, {}, {}};
  SavedContext fiber = SavedContext::Create(made.stack, Main, &run);
  Switch(run.caller, fiber);
  if (run.error) std::rethrow_exception(std::move(run.error));
}

}  // namespace greenback::context::internal
