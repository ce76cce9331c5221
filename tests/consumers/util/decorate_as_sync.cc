#include "util/decorate_as_sync.h"

#include <cstdio>

#include "loop.h"

Later<int> Measure() { return {21}; }

// A decorator that knows nothing of coroutines.
constexpr auto kTwice = [](auto fn) { return [fn] { return fn() + fn(); }; };

Job PrintTwice() {
  auto twice = greenback::DecorateAsSync(kTwice)(Measure);
  std::printf("twice: %d\n", co_await twice());
}

int main() {
  PrintTwice();
  RunInPortal([] {});
}
