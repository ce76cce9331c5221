// The fixture of ForeignHostTest. What a Host has, and how to use the suite, is
// said in foreign_host_suite.h.
#ifndef GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_FIXTURE_H_
#define GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_FIXTURE_H_

#include "greenback/portal.h"
#include "gtest/gtest.h"

namespace greenback {

template <class Host>
class ForeignHostTest : public testing::Test {
 protected:
  using Task = typename Host::Task;

  // Calls `fn` below a portal in a coroutine of the library, to its end.
  template <class Fn>
  void Call(Fn fn) {
    const auto body = [&]() -> Task { co_await WithPortalRunSync(fn); };
    auto running = host_.Start(body);
    host_.RunToEnd(running);
  }

  Host host_;
};
TYPED_TEST_SUITE_P(ForeignHostTest);

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_FIXTURE_H_
