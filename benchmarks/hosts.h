// The hosts on which the benchmarks run, each behind the same names, so that a
// rung is written once. What is measured is the host's own; this adds nothing.
#ifndef GREENBACK_BENCHMARKS_HOSTS_H_
#define GREENBACK_BENCHMARKS_HOSTS_H_

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"
#include "greenback/greenback.h"

namespace greenback::benchmarks {

// greenback's own runtime.
struct RuntimeHost {
  using Task = Co<void>;

  // What a rung is: a task that goes on until `state` has enough.
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

}  // namespace greenback::benchmarks

#endif  // GREENBACK_BENCHMARKS_HOSTS_H_
