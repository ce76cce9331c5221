// What a switch between two stacks costs, and what a stack costs. Only ratios
// within one run mean anything.
//
//   ./bazelw run -c opt //benchmarks:context_switch

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"

namespace {

using ::benchmark::State;
using ::boost::context::detail::fcontext_t;
using ::boost::context::detail::jump_fcontext;
using ::boost::context::detail::make_fcontext;
using ::boost::context::detail::transfer_t;
using ::greenback::context::SavedContext;
using ::greenback::context::Stack;
using ::greenback::context::StackOrError;
using ::greenback::context::StackPool;
using ::greenback::context::StackPoolOptions;
using ::greenback::context::Switch;

// Fibers that switch back at once, each time, and never end.

// By Boost.Context's lowest layer: registers and floating-point control words.
class BoostFiber {
 public:
  explicit BoostFiber(Stack stack)
      : stack_(std::move(stack)),
        context_(make_fcontext(stack_.top(), stack_.size(), Main)) {}

  void RoundTrip() { context_ = jump_fcontext(context_, nullptr).fctx; }

 private:
  static void Main(transfer_t outside) {
    for (;;) outside = jump_fcontext(outside.fctx, nullptr);
  }

  Stack stack_;
  fcontext_t context_;
};

// By greenback: exceptions in flight as well.
class GreenbackFiber {
 public:
  explicit GreenbackFiber(Stack stack)
      : stack_(std::move(stack)),
        context_(SavedContext::Create(stack_, Main, this)) {}
  GreenbackFiber(const GreenbackFiber&) = delete;
  GreenbackFiber& operator=(const GreenbackFiber&) = delete;

  void RoundTrip() { Switch(outside_, context_); }

 private:
  static void Main(void* argument) {
    GreenbackFiber& self = *static_cast<GreenbackFiber*>(argument);
    for (;;) Switch(self.context_, self.outside_);
  }

  Stack stack_;
  SavedContext context_;
  SavedContext outside_;
};

// `calls` nested plain calls; the innermost one switches.
template <class Fiber>
__attribute__((noinline)) void RoundTripBelow(Fiber& fiber, int64_t calls) {
  if (calls == 1) {
    fiber.RoundTrip();
  } else {
    RoundTripBelow(fiber, calls - 1);
  }
  asm volatile("");  // no tail call
}

template <class Fiber>
void RoundTrip(State& state) {
  StackOrError made = StackPool::Default().Acquire();
  if (!made.stack) return state.SkipWithError(made.error.c_str());
  Fiber fiber(std::move(made.stack));
  const int64_t depth = state.range(0);
  if (depth == 0) {
    for (auto _ : state) fiber.RoundTrip();
  } else {
    for (auto _ : state) RoundTripBelow(fiber, depth);
  }
}
BENCHMARK(RoundTrip<BoostFiber>)
    ->Name("switch/jump_fcontext")
    ->ArgName("depth")
    ->Arg(0)
    ->Arg(1)
    ->Arg(8)
    ->Arg(32);
BENCHMARK(RoundTrip<GreenbackFiber>)
    ->Name("switch/greenback")
    ->ArgName("depth")
    ->Arg(0)
    ->Arg(1)
    ->Arg(8)
    ->Arg(32);

// A stack that is acquired, used a little, and returned.

void StackFromPool(State& state) {
  StackPool pool;
  for (auto _ : state) {
    StackOrError made = pool.Acquire();
    if (!made.stack) return state.SkipWithError(made.error.c_str());
    made.stack.top()[-1] = 1;
    benchmark::DoNotOptimize(made.stack.top());
  }
}
BENCHMARK(StackFromPool)->Name("stack/from_pool");

void StackByMmap(State& state) {
  const StackPoolOptions sizes;
  const size_t size = sizes.guard_size + sizes.stack_size;
  for (auto _ : state) {
    void* made =
        mmap(nullptr, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (made == MAP_FAILED ||
        mprotect(made, sizes.guard_size, PROT_NONE) != 0) {
      return state.SkipWithError("no memory");
    }
    static_cast<char*>(made)[size - 1] = 1;
    benchmark::DoNotOptimize(made);
    munmap(made, size);
  }
}
BENCHMARK(StackByMmap)->Name("stack/mmap");

// Switches to many fibers in turn; the time is that of one round trip. It shows
// what many stacks cost in caches and TLBs.
void RoundRobin(State& state) {
  const int64_t count = state.range(0);
  StackPool pool({.stack_size = size_t{64} << 10});
  std::deque<GreenbackFiber> fibers;
  for (int64_t i = 0; i < count; ++i) {
    StackOrError made = pool.Acquire();
    if (!made.stack) return state.SkipWithError(made.error.c_str());
    fibers.emplace_back(std::move(made.stack)).RoundTrip();
  }
  while (state.KeepRunningBatch(count)) {
    for (GreenbackFiber& fiber : fibers) fiber.RoundTrip();
  }
}
BENCHMARK(RoundRobin)
    ->Name("fibers/round_robin")
    ->RangeMultiplier(4)
    ->Range(64, 65536);

}  // namespace
