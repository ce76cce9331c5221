// The hosts on which the benchmarks run, each behind the same names, so that a
// rung is written once. They only name what the host has, and add no cost.
#ifndef GREENBACK_BENCHMARKS_HOSTS_H_
#define GREENBACK_BENCHMARKS_HOSTS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"
#include "greenback/asio/asio.h"
#include "greenback/greenback.h"

namespace greenback::benchmarks {

// greenback's own runtime.
struct RuntimeHost {
  using Task = Co<void>;

  // A rung is a task that runs until `state` has measured enough.
  using Rung = Task (*)(benchmark::State& state);

  static auto Checkpoint() { return greenback::Checkpoint(); }
  static void AwaitCheckpoint() { (void)Await(greenback::Checkpoint()); }

  static auto EnsurePortal() { return greenback::EnsurePortal(); }
  template <class Fn>
  static auto WithPortalRun(Fn&& async_fn) {
    return greenback::WithPortalRun(std::forward<Fn>(async_fn));
  }
  template <class Fn>
  static auto WithPortalRunSync(Fn&& sync_fn) {
    return greenback::WithPortalRunSync(std::forward<Fn>(sync_fn));
  }

  // The only task.
  static void Run(Rung rung, benchmark::State& state) {
    greenback::Run(rung, std::ref(state));
  }

  // With a second task that is always ready: `other(done)`, until `done`.
  static void RunBeside(Task (*other)(const bool& done), Rung rung,
                        benchmark::State& state) {
    greenback::Run([&]() -> Co<absl::Status> {
      bool done = false;
      co_return co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        nursery.StartSoon(other, std::cref(done));
        co_await rung(state);
        done = true;
      });
    }).IgnoreError();
  }
};

// Boost.Asio's coroutines on an io_context. A checkpoint is a post().
struct AsioHost {
  using Task = boost::asio::awaitable<void>;
  using Rung = Task (*)(benchmark::State& state);

  static auto Checkpoint() {
    return boost::asio::post(boost::asio::use_awaitable);
  }
  static void AwaitCheckpoint() {
    Await(boost::asio::post(boost::asio::deferred));
  }

  static auto EnsurePortal() { return asio::EnsurePortal(); }
  template <class Fn>
  static auto WithPortalRun(Fn&& async_fn) {
    return asio::WithPortalRun(std::forward<Fn>(async_fn));
  }
  template <class Fn>
  static auto WithPortalRunSync(Fn&& sync_fn) {
    return asio::WithPortalRunSync(std::forward<Fn>(sync_fn));
  }

  static void Run(Rung rung, benchmark::State& state) {
    boost::asio::io_context io(1);
    boost::asio::co_spawn(io, rung(state), boost::asio::detached);
    io.run();
  }

  static void RunBeside(Task (*other)(const bool& done), Rung rung,
                        benchmark::State& state) {
    boost::asio::io_context io(1);
    bool done = false;
    boost::asio::co_spawn(io, other(done), boost::asio::detached);
    boost::asio::co_spawn(io, rung(state),
                          [&done](std::exception_ptr) { done = true; });
    io.run();
  }
};

}  // namespace greenback::benchmarks

#endif  // GREENBACK_BENCHMARKS_HOSTS_H_
