// What a checkpoint costs, and what greenback adds to it: a ladder that begins
// with a bare queue of coroutine handles, and adds one thing on each rung. Only
// ratios between rungs of one run mean anything.
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
#include <string>

#include "benchmark/benchmark.h"
#include "benchmarks/hosts.h"
#include "greenback/greenback.h"
#include "instrument/with_portal_run_tree.h"

namespace {

using ::benchmark::State;
using ::greenback::Co;
using ::greenback::benchmarks::AsioHost;
using ::greenback::benchmarks::RuntimeHost;

// The floor: a loop that only resumes the handles in its queue.

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

// The ladder, on each host. Rungs named await_ and _await have a second task
// beside them that is always ready and makes checkpoints of its own, so that
// each Await() is what it is in a program with much to do: a switch to the
// loop, a step of the other task, and a switch back. checkpoint_in_company is
// the rung to compare them with.

struct Ready {
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const noexcept {}
};

__attribute__((noinline)) void AwaitReady() {
  greenback::Await(Ready());
  asm volatile("");  // no tail call
}

template <class Host>
struct Ladder {
  using Task = typename Host::Task;

  static Task Checkpoint(State& state) {
    for (auto _ : state) (void)co_await Host::Checkpoint();
  }

  // The two differ in the portal alone.
  static Task CheckpointWithoutPortal(State& state) {
    (void)co_await Host::Checkpoint();
    co_await Checkpoint(state);
  }
  static Task CheckpointInPortal(State& state) {
    (void)co_await Host::EnsurePortal();
    co_await Checkpoint(state);
  }

  static Task AwaitReady(State& state) {
    (void)co_await Host::EnsurePortal();
    for (auto _ : state) ::AwaitReady();
  }

  // `calls` nested plain calls; the innermost one calls Await().
  __attribute__((noinline)) static void AwaitBelow(int64_t calls) {
    if (calls == 1) {
      Host::AwaitCheckpoint();
    } else {
      AwaitBelow(calls - 1);
    }
    asm volatile("");  // no tail call
  }

  static Task AwaitCheckpoint(State& state) {
    (void)co_await Host::EnsurePortal();
    const int64_t depth = state.range(0);
    if (depth == 0) {
      for (auto _ : state) Host::AwaitCheckpoint();
    } else {
      for (auto _ : state) AwaitBelow(depth);
    }
  }

  static Task CheckpointsInOneAwait(State& state) {
    (void)co_await Host::EnsurePortal();
    greenback::Await(Checkpoint(state));
  }

  static Task AwaitCheckpointInSyncPortal(State& state) {
    co_await Host::WithPortalRunSync([&state] {
      for (auto _ : state) Host::AwaitCheckpoint();
    });
  }

  static Task AwaitOnce() {
    Host::AwaitCheckpoint();
    co_return;
  }
  static Task PortalPerAwait(State& state) {
    for (auto _ : state) co_await Host::WithPortalRun(AwaitOnce);
  }

  static Task SyncPortalPerAwait(State& state) {
    for (auto _ : state) {
      co_await Host::WithPortalRunSync(Host::AwaitCheckpoint);
    }
  }

  static Task Nothing() { co_return; }
  static Task PortalCreation(State& state) {
    for (auto _ : state) co_await Host::WithPortalRun(Nothing);
  }

  static Task SyncPortalCreation(State& state) {
    for (auto _ : state) co_await Host::WithPortalRunSync(PlainFunction);
  }

  // The second task.
  static Task Company(const bool& done) {
    while (!done) (void)co_await Host::Checkpoint();
  }

  using Benchmark = benchmark::internal::Benchmark;

  // Climbs the ladder; its rungs are called `host`/...
  static bool Register(const std::string& host) {
    const auto alone = [&host](const char* name, typename Host::Rung rung) {
      return benchmark::RegisterBenchmark(
          (host + "/" + name).c_str(),
          [rung](State& state) { Host::Run(rung, state); });
    };
    const auto in_company = [&host](const char* name,
                                    typename Host::Rung rung) {
      return benchmark::RegisterBenchmark(
          (host + "/" + name).c_str(),
          [rung](State& state) { Host::RunBeside(Company, rung, state); });
    };
    const auto at_depths = [](Benchmark* rung) {
      rung->ArgName("depth")->Arg(0)->Arg(1)->Arg(8)->Arg(32);
    };
    alone("checkpoint", CheckpointWithoutPortal);
    alone("checkpoint_in_portal", CheckpointInPortal);
    in_company("checkpoint_in_company", Checkpoint);
    alone("await_ready", AwaitReady);
    at_depths(alone("await_checkpoint_alone", AwaitCheckpoint));
    at_depths(in_company("await_checkpoint", AwaitCheckpoint));
    alone("checkpoints_in_one_await", CheckpointsInOneAwait);
    in_company("await_checkpoint_in_sync_portal", AwaitCheckpointInSyncPortal);
    in_company("portal_per_await", PortalPerAwait);
    in_company("sync_portal_per_await", SyncPortalPerAwait);
    alone("portal_creation", PortalCreation);
    alone("sync_portal_creation", SyncPortalCreation);
    return true;
  }
};

[[maybe_unused]] const bool kRuntimeLadder =
    Ladder<RuntimeHost>::Register("runtime");
[[maybe_unused]] const bool kAsioLadder = Ladder<AsioHost>::Register("asio");

// A coroutine of which greenback knows nothing, and a portal for each of its
// calls.
class ForeignCoroutine {
 public:
  struct promise_type {
    ForeignCoroutine get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

void ForeignSyncPortalCreation(State& state) {
  [&state]() -> ForeignCoroutine {
    for (auto _ : state) {
      co_await greenback::WithPortalRunSync(PlainFunction);
    }
  }();
}
BENCHMARK(ForeignSyncPortalCreation)->Name("foreign/sync_portal_creation");

// The spawning and the end of a task that does nothing. Several tasks at a
// time, so that the trip through the loop that runs them counts little.
constexpr int kSpawnedAtOnce = 64;

Co<void> Nothing() { co_return; }

Co<void> Spawn(State& state) {
  benchmark::DoNotOptimize(co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> Co<void> {
        while (state.KeepRunningBatch(kSpawnedAtOnce)) {
          for (int i = 0; i < kSpawnedAtOnce; ++i) nursery.StartSoon(Nothing);
          benchmark::DoNotOptimize(co_await greenback::Checkpoint());
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

template <int64_t kTrees>
void RuntimeSpawnInPortalTrees(State& state) {
  greenback::Run(SpawnInTrees, std::ref(state), kTrees);
}
BENCHMARK(RuntimeSpawnInPortalTrees<1>)->Name("runtime/spawn_in_portal_tree");
BENCHMARK(RuntimeSpawnInPortalTrees<100>)
    ->Name("runtime/spawn_in_hundred_portal_trees");

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
