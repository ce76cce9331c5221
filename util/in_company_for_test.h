// InCompany<Host>(): runs the body of a test while another task is ready.
#ifndef GREENBACK_UTIL_IN_COMPANY_FOR_TEST_H_
#define GREENBACK_UTIL_IN_COMPANY_FOR_TEST_H_

#include <functional>

namespace greenback {

// Runs body(), a plain function, in a task of `Host` (tests/hosts.h) that has a
// portal. Another task is always ready, so that each Await() that has to wait
// leaves its fiber.
template <class Host>
void InCompany(std::function<void()> body) {
  using Void = typename Host::template Coroutine<void>;
  Host::Run([&body]() -> Void {
    co_await Host::InGroup([&body](auto& group) -> Void {
      bool done = false;
      group.Spawn([&done]() -> Void {
        while (!done) co_await Host::Checkpoint();
      });
      co_await Host::WithPortalRunSync(std::ref(body));
      done = true;
      // The other task has to see `done` before it is destroyed.
      co_await Host::Checkpoint();
      co_await Host::Checkpoint();
    });
  });
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_IN_COMPANY_FOR_TEST_H_
