#include "greenback/runtime/run_token.h"

#include <exception>
#include <mutex>

#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/run_state.h"

namespace greenback {

absl::Status RunToken::RunSoon(std::function<void()> fn) const {
  std::lock_guard lock(link_->mutex);
  internal::RunState* const run = link_->run;
  if (run == nullptr) {
    return absl::FailedPreconditionError(
        "greenback::RunToken::RunSoon(): the run has ended");
  }
  run->RunSoonFromAnyThread([run, fn = std::move(fn)] {
    GREENBACK_TRY { fn(); }
    GREENBACK_CATCH_ALL { run->Fail(std::current_exception()); }
  });
  return absl::OkStatus();
}

RunToken CurrentRunToken() {
  return RunToken(internal::RunState::Current("CurrentRunToken()").link());
}

}  // namespace greenback
