// The same work done by the alternatives to greenback: a plain function, called
// by other plain functions, waits for a trip through an event loop, or for a
// call that other code makes. Only ratios within one run mean anything.
//
//   ./bazelw run -c opt //benchmarks:peers

// Makes boost::asio::spawn() use Boost.Context alone, which it prefers anyway.
#define BOOST_ASIO_DISABLE_BOOST_COROUTINE 1

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <future>
#include <string>
#include <thread>

#include "benchmark/benchmark.h"
#include "benchmarks/hosts.h"
#include "greenback/greenback.h"

namespace {

namespace asio = ::boost::asio;
using ::benchmark::State;
using ::greenback::benchmarks::AsioHost;
using ::greenback::benchmarks::RuntimeHost;

// Waits. Not inlined, because it stands for code of another library.

template <class Host>
struct Greenback {
  using Task = typename Host::Task;

  __attribute__((noinline)) static void WaitForCheckpoint() {
    Host::AwaitCheckpoint();
    asm volatile("");  // no tail call
  }

  static Task PassThroughLoop() { (void)co_await Host::Checkpoint(); }
  __attribute__((noinline)) static void WaitForCoroutine() {
    greenback::Await(PassThroughLoop());
    asm volatile("");
  }

  static Task Checkpoints(State& state) {
    (void)co_await Host::EnsurePortal();
    for (auto _ : state) WaitForCheckpoint();
  }
  static Task OtherCheckpoints(const bool& done) {
    (void)co_await Host::EnsurePortal();
    while (!done) WaitForCheckpoint();
  }
  static Task Coroutines(State& state) {
    (void)co_await Host::EnsurePortal();
    for (auto _ : state) WaitForCoroutine();
  }

  static bool Register(const std::string& host) {
    const std::string name = "peers/greenback_" + host;
    benchmark::RegisterBenchmark(name.c_str(),
                                 [](State& state) {
                                   if (state.range(0) == 1) {
                                     Host::Run(Checkpoints, state);
                                   } else {
                                     Host::RunBeside(OtherCheckpoints,
                                                     Checkpoints, state);
                                   }
                                 })
        ->ArgName("tasks")
        ->Arg(1)
        ->Arg(2);
    benchmark::RegisterBenchmark(
        (name + "_coroutine").c_str(),
        [](State& state) { Host::Run(Coroutines, state); });
    return true;
  }
};

[[maybe_unused]] const bool kRuntime =
    Greenback<RuntimeHost>::Register("runtime");
[[maybe_unused]] const bool kAsio = Greenback<AsioHost>::Register("asio");

// On Boost.Asio, the same with a coroutine of greenback's.
greenback::Co<void> Post() { co_await asio::post(asio::deferred); }
__attribute__((noinline)) void WaitForCo() {
  greenback::Await(Post());
  asm volatile("");
}
asio::awaitable<void> Cos(State& state) {
  (void)co_await greenback::asio::EnsurePortal();
  for (auto _ : state) WaitForCo();
}
void AsioCo(State& state) { AsioHost::Run(Cos, state); }
BENCHMARK(AsioCo)->Name("peers/greenback_asio_co");

// Boost.Asio: a function with a stack of its own waits, and every function that
// waits must be handed the `yield` of the spawned one.

__attribute__((noinline)) void WaitForPost(asio::io_context& io,
                                           asio::yield_context yield) {
  asio::post(io, yield);
  asm volatile("");
}

asio::awaitable<void> PassThroughLoop() {
  co_await asio::post(asio::use_awaitable);
}

// (A plain `yield` does not work here in Boost 1.81.)
__attribute__((noinline)) void WaitForAwaitable(asio::io_context& io,
                                                asio::yield_context yield) {
  asio::co_spawn(io, PassThroughLoop, asio::as_tuple(yield));
  asm volatile("");
}

void AsioSpawn(State& state) {
  asio::io_context io(1);
  asio::spawn(
      io,
      [&](asio::yield_context yield) {
        for (auto _ : state) WaitForPost(io, yield);
      },
      asio::detached);
  io.run();
}
BENCHMARK(AsioSpawn)->Name("peers/asio_spawn");

void AsioSpawnCoSpawn(State& state) {
  asio::io_context io(1);
  asio::spawn(
      io,
      [&](asio::yield_context yield) {
        for (auto _ : state) WaitForAwaitable(io, yield);
      },
      asio::detached);
  io.run();
}
BENCHMARK(AsioSpawnCoSpawn)->Name("peers/asio_spawn_co_spawn");

// The least that this can take in Asio: a coroutine, which needs no stack,
// awaits the same coroutine.
asio::awaitable<void> CoAwaits(State& state) {
  for (auto _ : state) co_await PassThroughLoop();
}
void AsioCoAwait(State& state) { AsioHost::Run(CoAwaits, state); }
BENCHMARK(AsioCoAwait)->Name("peers/asio_co_await");

// Boost.Fiber, which has a loop of its own. With two fibers, both yield in
// turn.

__attribute__((noinline)) void WaitForYield() {
  boost::this_fiber::yield();
  asm volatile("");
}

void BoostFiber(State& state) {
  bool done = false;
  boost::fibers::fiber other([&] {
    while (!done && state.range(0) == 2) WaitForYield();
  });
  for (auto _ : state) WaitForYield();
  done = true;
  other.join();
}
BENCHMARK(BoostFiber)
    ->Name("peers/boost_fiber")
    ->ArgName("fibers")
    ->Arg(1)
    ->Arg(2);

// Threads. They block, so wall-clock time is what counts.

__attribute__((noinline)) void WaitForPool(asio::thread_pool& pool) {
  std::promise<void> promise;
  asio::post(pool, [&promise] { promise.set_value(); });
  promise.get_future().wait();
}

void ThreadPool(State& state) {
  asio::thread_pool pool(1);
  for (auto _ : state) WaitForPool(pool);
  state.SetLabel("wall clock");
}
BENCHMARK(ThreadPool)->Name("peers/thread_pool_future");

__attribute__((noinline)) void WaitForThread() {
  std::thread thread([] {});
  thread.join();
}

void ThreadPerCall(State& state) {
  for (auto _ : state) WaitForThread();
  state.SetLabel("wall clock");
}
BENCHMARK(ThreadPerCall)->Name("peers/thread_per_call");

}  // namespace
