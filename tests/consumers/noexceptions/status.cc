// Where there are no exceptions, misuse and failures are statuses.
#include "absl/status/status.h"

#include <cstdio>
#include <string>

#include "absl/status/statusor.h"
#include "greenback/greenback.h"
#include "instrument/greenback_instrument.h"
#include "util/greenback_util.h"

#ifdef __cpp_exceptions
#error "this program tests a build without exceptions"
#endif

greenback::Co<absl::StatusOr<int>> Ask(int number) {
  co_await greenback::CancelShieldedCheckpoint();
  if (number == 3) co_return absl::OutOfRangeError("too many");
  co_return number;
}

// Plain code.
absl::Status Sum() {
  const auto ask = greenback::AutoAwait(Ask);
  for (int i = 0;; ++i) {
    absl::StatusOr<int> answer = ask(i);
    if (!answer.ok()) return answer.status();
    std::printf("%d ", *answer);
  }
}

greenback::Co<absl::Status> Main() { co_return Sum(); }

int main() {
  // No task is running here.
  const absl::Status misuse = greenback::TryAwait(Ask(1)).status();
  const absl::Status sum = greenback::Run(greenback::WithPortalRunTree, Main);
  std::printf("%s, %s\n", std::string(sum.message()).c_str(),
              misuse.ok() ? "misuse accepted" : "misuse refused");
}
