// The same work as in peers.cc, in coroutines of Boost.Cobalt: a plain
// function, called by other plain functions, waits for a trip through an event
// loop. Cobalt's own way to do that is its experimental `context`, a coroutine
// with a stack of its own. Every function that waits must be handed the
// context, whose type names that of the coroutine.
//
//   ./bazelw run --config=cobalt -c opt //benchmarks:peers_cobalt

#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/cobalt/experimental/context.hpp>
#include <boost/cobalt/op.hpp>
#include <boost/cobalt/run.hpp>
#include <boost/cobalt/task.hpp>
#include <boost/cobalt/this_thread.hpp>

#include "benchmark/benchmark.h"
#include "greenback/greenback.h"
#include "tests/cobalt/cobalt_library.h"

namespace {

namespace asio = ::boost::asio;
namespace cobalt = ::boost::cobalt;
using ::benchmark::State;

auto Post() {
  return asio::post(cobalt::this_thread::get_executor(), cobalt::use_op);
}
cobalt::task<void> PassThroughLoop() { co_await Post(); }

// Waits. Not inlined, because it stands for code of another library.

struct Greenback {
  __attribute__((noinline)) static void WaitForPost() {
    greenback::Await(Post());
    asm volatile("");  // no tail call
  }
  __attribute__((noinline)) static void WaitForCoroutine() {
    greenback::Await(PassThroughLoop());
    asm volatile("");
  }

  template <void (*kWait)()>
  static cobalt::task<void> Loop(State& state) {
    co_await greenback::WithPortalRunSync([&] {
      for (auto _ : state) kWait();
    });
  }
};

struct Context {
  using Handle = cobalt::experimental::context<cobalt::task<void>>;

  __attribute__((noinline)) static void WaitForPost(Handle context) {
    context.await(Post());
    asm volatile("");
  }
  __attribute__((noinline)) static void WaitForCoroutine(Handle context) {
    context.await(PassThroughLoop());
    asm volatile("");
  }

  template <void (*kWait)(Handle)>
  static cobalt::task<void> Loop(State& state) {
    return cobalt::experimental::make_context([&state](Handle context) {
      for (auto _ : state) kWait(context);
    });
  }
};

// The least that this can take: coroutines, which need no stack.
struct Native {
  static cobalt::task<void> Posts(State& state) {
    for (auto _ : state) co_await Post();
  }
  static cobalt::task<void> Coroutines(State& state) {
    for (auto _ : state) co_await PassThroughLoop();
  }
};

template <cobalt::task<void> (*kLoop)(State&)>
void Run(State& state) {
  cobalt::run(kLoop(state));
}

BENCHMARK(Run<Greenback::Loop<Greenback::WaitForPost>>)
    ->Name("peers/greenback_cobalt");
BENCHMARK(Run<Greenback::Loop<Greenback::WaitForCoroutine>>)
    ->Name("peers/greenback_cobalt_coroutine");
BENCHMARK(Run<Context::Loop<Context::WaitForPost>>)
    ->Name("peers/cobalt_context");
BENCHMARK(Run<Context::Loop<Context::WaitForCoroutine>>)
    ->Name("peers/cobalt_context_coroutine");
BENCHMARK(Run<Native::Posts>)->Name("peers/cobalt_co_await");
BENCHMARK(Run<Native::Coroutines>)->Name("peers/cobalt_co_await_coroutine");

}  // namespace
