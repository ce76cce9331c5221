#include "util/auto_await.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "loop.h"

Later<int> Rank(int page) { return {page % 10}; }

int main() {
  RunInPortal([] {
    std::array pages = {19, 23, 31};
    const auto rank = greenback::AutoAwait(Rank);
    std::sort(pages.begin(), pages.end(),
              [&](int a, int b) { return rank(a) < rank(b); });
    std::printf("%d %d %d\n", pages[0], pages[1], pages[2]);
  });
}
