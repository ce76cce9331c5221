// The hosts that the typed tests run on. Each has, under the same names, what
// such a test needs of a loop and its coroutines:
//
//   Coroutine<T>            the host's own coroutine type
//   Adapt(awaitable)        makes an awaitable of greenback's one that such a
//                           coroutine can co_await
//   Run(main)               runs main(), a coroutine, to its end, and returns
//                           its result. Time is simulated.
//   Checkpoint()            suspends once and lets other tasks run
//   Sleep(duration), Now()
//   InGroup(body)           awaits body(group) and the tasks that it spawned
//                           with group.Spawn(fn); group.Cancel() cancels these
//   CurrentTask()
//   PostCallback(fn)        lets the loop call fn() outside any task
//   Gate                    for one waiter, which waits in Wait() until
//                           Open(n) or Fail(error)
//   EnsurePortal(), WithPortalRun(), WithPortalRunSync()
#ifndef GREENBACK_TESTS_SUPPORT_HOSTS_H_
#define GREENBACK_TESTS_SUPPORT_HOSTS_H_

#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "greenback/greenback.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"

namespace greenback {

struct RuntimeHost {
  template <class T>
  using Coroutine = Co<T>;
  template <class A>
  static A&& Adapt(A&& awaitable) {
    return std::forward<A>(awaitable);
  }

  template <class Main>
  static auto Run(Main main) {
    MockClock clock;
    RunOptions options;
    options.clock = &clock;
    return greenback::Run(options, std::move(main));
  }

  static Co<void> Checkpoint() { (void)co_await greenback::Checkpoint(); }
  static Co<void> Sleep(absl::Duration duration) {
    (void)co_await greenback::Sleep(duration);
  }
  static absl::Time Now() { return CurrentTime(); }

  class Group {
   public:
    explicit Group(Nursery& nursery) : nursery_(nursery) {}
    template <class Fn>
    void Spawn(Fn fn) {
      nursery_.StartSoon(std::move(fn));
    }
    void Cancel() { nursery_.cancel_scope().Cancel(); }

   private:
    Nursery& nursery_;
  };
  template <class Body>
  static Co<void> InGroup(Body body) {
    std::optional<Group> group;  // which children may use after the body
    const absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          co_await body(group.emplace(nursery));
        });
    EXPECT_TRUE(status.ok()) << status;
  }

  static PortalTask& CurrentTask() { return greenback::CurrentTask(); }
  static void PostCallback(std::function<void()> fn) {
    EXPECT_TRUE(CurrentRunToken().RunSoon(std::move(fn)).ok());
  }

  class Gate {
   public:
    Co<int> Wait() {
      waiter_ = &greenback::CurrentTask();
      absl::StatusOr<int> value =
          co_await WaitTaskRescheduled<int>([] { return Abort::kFailed; });
      EXPECT_TRUE(value.ok()) << value.status();
      co_return *value;
    }
    bool waited_for() const { return waiter_ != nullptr; }
    void Open(int value) { Reschedule(*waiter_, value); }
    void Fail(std::exception_ptr error) { Reschedule(*waiter_, error); }

   private:
    Task* waiter_ = nullptr;
  };

  static auto EnsurePortal() { return greenback::EnsurePortal(); }
  template <class Fn, class... Args>
  static auto WithPortalRun(Fn fn, Args... args) {
    return greenback::WithPortalRun(std::move(fn), std::move(args)...);
  }
  template <class Fn, class... Args>
  static auto WithPortalRunSync(Fn fn, Args... args) {
    return greenback::WithPortalRunSync(std::move(fn), std::move(args)...);
  }
};

}  // namespace greenback

// The tests are built once for the runtime, and once for Boost.Asio.
#if defined(GREENBACK_TEST_ON_ASIO)
#include "tests/support/asio_hosts.h"
namespace greenback {
using TestedHosts = testing::Types<AsioHost, AsioStrandHost>;
// For tests that share nothing between tasks.
using TestedHostsOfAnyThreads =
    testing::Types<AsioHost, AsioStrandHost, AsioPoolHost>;
}  // namespace greenback
#else
namespace greenback {
using TestedHosts = testing::Types<RuntimeHost>;
using TestedHostsOfAnyThreads = testing::Types<RuntimeHost>;
}  // namespace greenback
#endif

#endif  // GREENBACK_TESTS_SUPPORT_HOSTS_H_
