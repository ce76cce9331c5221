#include "util/context_manager.h"

#include <cstdio>

#include "loop.h"

struct Lease {
  Later<int> Enter() { return {7}; }
  Later<bool> Exit(greenback::ExitReason) { return {false}; }
};

static_assert(greenback::AsyncContextManager<Lease>);
static_assert(!greenback::AsyncContextManager<Later<int>>);

Job EnterAndExit() {
  Lease lease;
  const int value = co_await lease.Enter();
  const bool handled = co_await lease.Exit(greenback::ExitReason());
  std::printf("entered %d, handled %d\n", value, handled);
}

int main() {
  EnterAndExit();
  RunInPortal([] {});
}
