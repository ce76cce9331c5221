#include "util/async_context.h"

#include <cstdio>

#include "loop.h"

struct Lease {
  Later<int> Enter() { return {7}; }
  Later<bool> Exit(greenback::ExitReason reason) {
    std::printf("returned: %d\n", reason.ok());
    return {false};
  }
};

int main() {
  RunInPortal([] {
    greenback::AsyncContext lease{Lease()};
    std::printf("lease %d, ", lease.get());
  });
}
