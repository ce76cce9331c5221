// Every task of the tree may wait in plain functions, and opens no portal.
#include <cstdio>

#include "greenback/greenback.h"
#include "instrument/greenback_instrument.h"

int leaves = 0;

greenback::Co<int> One() {
  co_await greenback::CancelShieldedCheckpoint();
  co_return 1;
}

greenback::Co<absl::Status> Grow(int levels) {
  if (levels == 0) {
    leaves += greenback::Await(One());
    co_return absl::OkStatus();
  }
  co_return co_await greenback::OpenNursery(
      [levels](greenback::Nursery& nursery) -> greenback::Co<void> {
        for (int branch = 0; branch < 3; ++branch) {
          nursery.StartSoon(Grow, levels - 1);
        }
        co_return;
      });
}

int main() {
  if (!greenback::Run(greenback::WithPortalRunTree, Grow, 3).ok()) return 1;
  std::printf("%d leaves\n", leaves);
}
