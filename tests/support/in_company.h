// InCompany(body): runs `body` in a task that is not alone, as many tests of
// Await() want it.
//
//   InCompany([] { EXPECT_EQ(Await(Twice(21)), 42); });
//   InCompany<TypeParam>([] { ... });  // a typed test
#ifndef GREENBACK_TESTS_SUPPORT_IN_COMPANY_H_
#define GREENBACK_TESTS_SUPPORT_IN_COMPANY_H_

#include <atomic>
#include <functional>
#include <memory>

#include "tests/support/hosts.h"

namespace greenback {

// Runs body(), a plain function, in a task of `Host` with a portal, while
// another task is always ready. So each Await() that has to wait leaves its
// fiber; alone, an Await() of a checkpoint resumes without that.
template <class Host = RuntimeHost, class Body>
void InCompany(Body body) {
  using Void = typename Host::template Coroutine<void>;
  Host::Run([&body]() -> Void {
    co_await Host::InGroup([&body](auto& group) -> Void {
      // The other task may outlive this one, and run on another thread.
      const auto done = std::make_shared<std::atomic<bool>>(false);
      group.Spawn([done]() -> Void {
        const auto seen = done;
        while (!*seen) co_await Host::Checkpoint();
      });
      co_await Host::WithPortalRunSync(std::ref(body));
      *done = true;
    });
  });
}

// Runs body() in a task with a portal twice: alone, and in company.
template <class Host = RuntimeHost, class Body>
void AloneAndInCompany(Body body) {
  using Void = typename Host::template Coroutine<void>;
  Host::Run(
      [&]() -> Void { co_await Host::WithPortalRunSync(std::ref(body)); });
  InCompany<Host>(std::ref(body));
}

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_IN_COMPANY_H_
