#include "greenback/await.h"

#include <cstdio>

#include "loop.h"

int main() {
  RunInPortal([] {
    const int sum =
        greenback::Await(Later<int>{40}) + greenback::Await(Later<int>{2});
    std::printf("awaited %d\n", sum);
  });
}
