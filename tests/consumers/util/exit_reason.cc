#include "util/exit_reason.h"

#include <cstdio>

#include "loop.h"

int main() {
  RunInPortal([] {
    const greenback::ExitReason success;
    const auto failure = greenback::ExitReason::Unwinding();
    std::printf("success %d, unwinding %d\n", success.ok(), failure.ok());
  });
}
