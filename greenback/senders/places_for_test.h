// The places in which a sender is awaited, for typed tests:
//
//   using Places = ::testing::Types<AwaitInRun, CoAwaitInRun, AwaitInForeign>;
//   ...
//   int answer = Get<Place>([] { return demo::just(42); });
#ifndef GREENBACK_SENDERS_PLACES_FOR_TEST_H_
#define GREENBACK_SENDERS_PLACES_FOR_TEST_H_

#include <coroutine>
#include <exception>
#include <memory>
#include <semaphore>
#include <type_traits>
#include <utility>

#include "greenback/greenback.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/outcome.h"

namespace greenback {

// Each has Run(outcome, make), which sets `outcome` to the result of awaiting
// what make() returns.

struct AwaitInRun {
  template <class R, class Make>
  static void Run(internal::Outcome<R>& outcome, Make& make) {
    const auto await = [&] { outcome.Run([&] { return Await(make()); }); };
    greenback::Run(
        [&]() -> Co<void> { co_await WithPortalRunSync(std::ref(await)); });
  }
};

struct CoAwaitInRun {
  template <class R, class Make>
  static Co<void> CoAwait(internal::Outcome<R>& outcome, Make& make) {
    GREENBACK_TRY {
      if constexpr (std::is_void_v<R>) {
        co_await make();
        outcome.SetValue();
      } else {
        R result = co_await make();
        outcome.SetValue([&] { return std::move(result); });
      }
    }
    GREENBACK_CATCH_ALL { outcome.SetCurrentException(); }
  }
  template <class R, class Make>
  static void Run(internal::Outcome<R>& outcome, Make& make) {
    greenback::Run([&] { return CoAwait(outcome, make); });
  }
};

// In a coroutine that no host runs.
struct AwaitInForeign {
  // Runs when it is called, and destroys itself.
  struct Detached {
    struct promise_type {
      Detached get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  template <class R, class Make>
  static Detached Begin(internal::Outcome<R>& outcome, Make& make,
                        std::shared_ptr<std::binary_semaphore> done) {
    const auto await = [&] { outcome.Run([&] { return Await(make()); }); };
    co_await WithPortalRunSync(std::ref(await));
    done->release();
  }
  template <class R, class Make>
  static void Run(internal::Outcome<R>& outcome, Make& make) {
    const auto done = std::make_shared<std::binary_semaphore>(0);
    Begin(outcome, make, done);
    done->acquire();
  }
};

// Awaits what make() returns in a Place.
template <class Place, class Make>
auto Get(Make make) {
  using R = AwaitResult<decltype(make())>;
  internal::Outcome<R> outcome;
  Place::Run(outcome, make);
  return outcome.Take();
}

}  // namespace greenback

#endif  // GREENBACK_SENDERS_PLACES_FOR_TEST_H_
