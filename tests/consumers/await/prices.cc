// Two tasks wait in the middle of std::sort(), at the same time.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/sleep.h"

int waiting = 0;
int most_waiting = 0;

greenback::Co<int> Price(int goods) {
  most_waiting = std::max(most_waiting, ++waiting);
  absl::Status slept = co_await greenback::Sleep(absl::Milliseconds(1));
  --waiting;
  co_return slept.ok() ? -goods : 0;
}

void SortByPrice(std::vector<int>& goods) {
  std::sort(goods.begin(), goods.end(), [](int a, int b) {
    return greenback::Await(Price(a)) < greenback::Await(Price(b));
  });
}

greenback::Co<absl::Status> Main() {
  std::vector<int> one = {1, 3, 2};
  std::vector<int> other = {5, 4, 6};
  absl::Status sorted = co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> greenback::Co<void> {
        for (std::vector<int>* goods : {&one, &other}) {
          nursery.StartSoon([goods]() -> greenback::Co<void> {
            co_await greenback::WithPortalRunSync(SortByPrice,
                                                  std::ref(*goods));
          });
        }
        co_return;
      });
  for (int goods : one) std::printf("%d ", goods);
  for (int goods : other) std::printf("%d ", goods);
  std::printf("with %d waiting\n", most_waiting);
  co_return sorted;
}

int main() { return greenback::Run(Main).ok() ? 0 : 1; }
