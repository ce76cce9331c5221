// A flow of its own yields one square after another to main().
#include <cstdio>

#include "greenback/context/context.h"

using greenback::context::FinalSwitch;
using greenback::context::SavedContext;
using greenback::context::StackOrError;
using greenback::context::StackPool;
using greenback::context::Switch;

struct Squares {
  SavedContext main, flow;
  int square = 0;
};

void YieldSquares(void* argument) {
  auto& squares = *static_cast<Squares*>(argument);
  for (int i = 1; i <= 4; ++i) {
    squares.square = i * i;
    Switch(/*from=*/squares.flow, /*to=*/squares.main);
  }
  FinalSwitch(squares.main);
}

// Frames of a page each: far more than the 64 KiB of the other stack.
int Depth(int levels) {
  volatile char page[4096] = {};
  return levels == 0 ? page[0] : Depth(levels - 1) + 1 + page[levels % 4096];
}

int main() {
  StackPool pool({.stack_size = 64 << 10});
  {
    StackOrError made = pool.Acquire();
    if (!made.stack) return std::puts(made.error.c_str()), 1;
    Squares squares;
    squares.flow = SavedContext::Create(made.stack, YieldSquares, &squares);
    for (;;) {
      Switch(/*from=*/squares.main, /*to=*/squares.flow);
      if (!squares.flow) break;
      std::printf("%d ", squares.square);
    }
  }
  if (pool.stats().in_use != 0) return 1;

  StackPool deep({.stack_size = 16 << 20});
  std::printf("%d\n", greenback::RunOnFiber(deep, [] { return Depth(2000); }));
}
