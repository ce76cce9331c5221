#include <cstdio>
#include <ranges>

#include "loop.h"
#include "util/greenback_util.h"

greenback::AsyncGenerator<int> Numbers() {
  for (int i = 0; i < 10; ++i) co_yield co_await Later<int>{i};
}

int main() {
  RunInPortal([] {
    const auto is_odd = [](int number) { return number % 2 == 1; };
    for (const int number :
         greenback::AsyncIter(Numbers()) | std::views::filter(is_odd)) {
      std::printf("%d ", number);
    }
    std::puts("are odd");
  });
}
