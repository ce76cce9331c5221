#include "greenback/portal_options.h"

#include <coroutine>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "greenback/await.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/host/thread_state.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"

namespace greenback {
namespace {

// Suspends its awaiter until Open(), whose argument the await returns.
class Gate {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  int await_resume() const { return value_; }

  void Open(int value) {
    value_ = value;
    std::exchange(waiter_, nullptr).resume();
  }

 private:
  std::coroutine_handle<> waiter_;
  int value_ = 0;
};

TEST(PortalOptionsTest, ACallCanBeNamed) {
  std::vector<std::string> names;
  const auto note = [&] {
    names.emplace_back(internal::ThisThread().current_task->name());
  };
  const auto note_later = [&]() -> Co<void> {
    note();
    co_return;
  };
  PortalOptions options;
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync(options, note);
    options.name = "import";
    co_await WithPortalRunSync(options, note);
    co_await WithPortalRun(options, note_later);
  };
  EXPECT_TRUE(body().done());
  EXPECT_EQ(names, (std::vector<std::string>{"foreign coroutine", "import",
                                             "import"}));
}

// Uses `kilobytes` of stack, and waits at the end.
int UseStack(Gate& gate, int kilobytes) {
  volatile char used[1024] = {};
  if (kilobytes == 0) return Await(gate) + used[0];
  return UseStack(gate, kilobytes - 1) + used[1];
}

TEST(PortalOptionsTest, ACallCanHaveALargerStack) {
  Gate gate;
  int result = 0;
  PortalOptions options;
  options.stack_size = 16 << 20;
  const auto body = [&]() -> OwnedCoroutine {
    result =
        co_await WithPortalRunSync(options, UseStack, std::ref(gate), 4 << 10);
  };
  const OwnedCoroutine coroutine = body();
  EXPECT_FALSE(coroutine.done());
  gate.Open(42);
  EXPECT_TRUE(coroutine.done());
  EXPECT_EQ(result, 42);
}

TEST(PortalOptionsTest, TheStackSizeIsForATaskOfARunToo) {
  Gate gate;
  int result = 0;
  PortalOptions options;
  options.name = "ignored";
  options.stack_size = 16 << 20;
  greenback::Run([&]() -> Co<void> {
    (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        gate.Open(42);
        co_return;
      });
      result = co_await WithPortalRunSync(options, UseStack, std::ref(gate),
                                          4 << 10);
    });
  });
  EXPECT_EQ(result, 42);
}

#if defined(__cpp_exceptions)

TEST(PortalOptionsTest, AStackThatCannotBeIsAnError) {
  bool was_refused = false;
  PortalOptions options;
  options.stack_size = 1;
  const auto body = [&]() -> OwnedCoroutine {
    try {
      co_await WithPortalRunSync(options, [] {});
    } catch (const StackExhausted&) {
      was_refused = true;
    }
  };
  EXPECT_TRUE(body().done());
  EXPECT_TRUE(was_refused);
}

#endif

}  // namespace
}  // namespace greenback
