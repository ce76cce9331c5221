// What a checkpoint costs, and what greenback adds to it: a ladder from a bare
// queue of coroutine handles, each rung one thing more. Only ratios between
// rungs of one run mean anything.
//
//   ./bazelw run -c opt //benchmarks:checkpoint_overhead

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>

#include "benchmark/benchmark.h"
#include "greenback/greenback.h"
#include "instrument/with_portal_run_tree.h"

namespace {

using ::benchmark::State;
using ::greenback::Await;
using ::greenback::Checkpoint;
using ::greenback::Co;

// The floor: what a loop costs that does nothing but resume what is queued.

std::deque<std::coroutine_handle<>>& Queue() {
  static auto* const queue = new std::deque<std::coroutine_handle<>>;
  return *queue;
}

struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    Queue().push_back(handle);
  }
  void await_resume() const noexcept {}
};

struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

Detached YieldUntilDone(State& state) {
  for (auto _ : state) co_await Yield();
}

void FloorCheckpoint(State& state) {
  YieldUntilDone(state);
  while (!Queue().empty()) {
    std::coroutine_handle<> next = Queue().front();
    Queue().pop_front();
    next.resume();
  }
}
BENCHMARK(FloorCheckpoint)->Name("floor/checkpoint");

__attribute__((noinline)) void PlainFunction() { asm volatile(""); }

void FloorFunctionCall(State& state) {
  for (auto _ : state) PlainFunction();
}
BENCHMARK(FloorFunctionCall)->Name("floor/function_call");

// The runtime.

Co<void> Checkpoints(State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(co_await Checkpoint());
}

Co<void> CheckpointsInPortal(State& state) {
  benchmark::DoNotOptimize(co_await greenback::EnsurePortal());
  co_await Checkpoints(state);
}

void RuntimeCheckpoint(State& state) {
  greenback::Run(Checkpoints, std::ref(state));
}
BENCHMARK(RuntimeCheckpoint)->Name("runtime/checkpoint");

void RuntimeCheckpointInPortal(State& state) {
  greenback::Run(CheckpointsInPortal, std::ref(state));
}
BENCHMARK(RuntimeCheckpointInPortal)->Name("runtime/checkpoint_in_portal");

// A plain call for each level between the coroutine and the Await().
__attribute__((noinline)) bool AwaitCheckpoint(int64_t depth) {
  const bool ok =
      depth <= 1 ? Await(Checkpoint()).ok() : AwaitCheckpoint(depth - 1);
  asm volatile("");  // no tail call
  return ok;
}

Co<void> AwaitedCheckpoints(State& state) {
  benchmark::DoNotOptimize(co_await greenback::EnsurePortal());
  for (auto _ : state) {
    benchmark::DoNotOptimize(AwaitCheckpoint(state.range(0)));
  }
}

// Nobody else is ready, so that no fiber has to make room.
void RuntimeAwaitCheckpointAlone(State& state) {
  greenback::Run(AwaitedCheckpoints, std::ref(state));
}
BENCHMARK(RuntimeAwaitCheckpointAlone)
    ->Name("runtime/await_checkpoint_alone")
    ->ArgName("depth")
    ->Arg(1);

// A second task is always ready: each Await() is a switch to the loop, a step
// of that task, and a switch back.
void RuntimeAwaitCheckpoint(State& state) {
  greenback::Run(
      [](State& state) -> Co<void> {
        bool done = false;
        benchmark::DoNotOptimize(co_await greenback::OpenNursery(
            [&](greenback::Nursery& nursery) -> Co<void> {
              nursery.StartSoon([&done]() -> Co<void> {
                while (!done) benchmark::DoNotOptimize(co_await Checkpoint());
              });
              co_await AwaitedCheckpoints(state);
              done = true;
            }));
      },
      std::ref(state));
}
BENCHMARK(RuntimeAwaitCheckpoint)
    ->Name("runtime/await_checkpoint")
    ->ArgName("depth")
    ->Arg(1);

// Spawning a task that does nothing, and its end. Several at a time, so that
// the trip through the loop that lets them run counts little.
constexpr int kSpawnedAtOnce = 64;

Co<void> Nothing() { co_return; }

Co<void> Spawn(State& state) {
  benchmark::DoNotOptimize(co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> Co<void> {
        while (state.KeepRunningBatch(kSpawnedAtOnce)) {
          for (int i = 0; i < kSpawnedAtOnce; ++i) nursery.StartSoon(Nothing);
          benchmark::DoNotOptimize(co_await Checkpoint());
        }
      }));
}

void RuntimeSpawn(State& state) { greenback::Run(Spawn, std::ref(state)); }
BENCHMARK(RuntimeSpawn)->Name("runtime/spawn");

// Each task begins with a portal, because it is spawned in so many trees.
Co<void> SpawnInTrees(State& state, int64_t trees) {
  if (trees == 0) {
    co_await Spawn(state);
  } else {
    co_await greenback::WithPortalRunTree(SpawnInTrees, std::ref(state),
                                          trees - 1);
  }
}

void RuntimeSpawnInPortalTree(State& state) {
  greenback::Run(SpawnInTrees, std::ref(state), state.range(0));
}
BENCHMARK(RuntimeSpawnInPortalTree)
    ->Name("runtime/spawn_in_portal_tree")
    ->ArgName("trees")
    ->Arg(1)
    ->Arg(100);

// The same by Boost.Asio.

boost::asio::awaitable<void> AsioNothing() { co_return; }

void AsioCoSpawn(State& state) {
  boost::asio::io_context io(1);
  while (state.KeepRunningBatch(kSpawnedAtOnce)) {
    for (int i = 0; i < kSpawnedAtOnce; ++i) {
      boost::asio::co_spawn(io, AsioNothing, boost::asio::detached);
    }
    io.restart();
    io.run();
  }
}
BENCHMARK(AsioCoSpawn)->Name("asio/co_spawn");

}  // namespace
