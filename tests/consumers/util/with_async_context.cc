#include "util/with_async_context.h"

#include <cstdio>

#include "loop.h"

struct Lease {
  Later<int> Enter() { return {7}; }
  Later<bool> Exit(greenback::ExitReason reason) { return {reason.ok()}; }
};

int main() {
  RunInPortal([] {
    greenback::WithAsyncContext(
        Lease(), [](int lease) { std::printf("inside lease %d\n", lease); });
  });
}
