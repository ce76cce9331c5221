#include "util/async_iter.h"

#include <cstdio>
#include <optional>

#include "loop.h"

// An asynchronous iterator.
struct Squares {
  int number = 0;

  Later<std::optional<int>> Next() {
    ++number;
    return {number > 4 ? std::nullopt : std::optional(number * number)};
  }
};

int main() {
  RunInPortal([] {
    int sum = 0;
    for (const int square : greenback::AsyncIter(Squares())) sum += square;
    std::printf("sum %d\n", sum);
  });
}
