#include "util/async_generator.h"

#include <cstdio>
#include <optional>

#include "loop.h"

greenback::AsyncGenerator<int> CountDown() {
  for (int i = 3; i > 0; --i) co_yield co_await Later<int>{i};
}

Job PrintAll() {
  greenback::AsyncGenerator<int> numbers = CountDown();
  while (std::optional<int> number = co_await numbers.Next()) {
    std::printf("%d ", *number);
  }
  std::puts("lift off");
}

int main() {
  PrintAll();
  RunInPortal([] {});
}
