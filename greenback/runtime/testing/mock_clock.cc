#include "greenback/runtime/testing/mock_clock.h"

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "greenback/internal/exceptions.h"

namespace greenback {

void MockClock::Jump(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) {
    internal::ThrowOrDie(std::invalid_argument(absl::StrCat(
        "greenback::MockClock::Jump(", absl::FormatDuration(duration),
        "): time does not run backwards")));
  }
  now_ += duration;
}

absl::Duration MockClock::TimeToWait(absl::Time deadline) {
  if (deadline <= now_) return absl::ZeroDuration();
  // The time does not move while the loop blocks for I/O.
  if (!autojump_ || deadline == absl::InfiniteFuture()) {
    return absl::InfiniteDuration();
  }
  now_ = deadline;
  return absl::ZeroDuration();
}

}  // namespace greenback
