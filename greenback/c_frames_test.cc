// TryAwait() in callbacks of C: no error of greenback's is thrown through
// frames that must end by returning.
#include <coroutine>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/c_frames_for_test.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Calls visit(row) for each of three rows, from a function in C.
using Visitor = std::function<absl::Status(int)>;
int Visit(CSession& session, const Visitor& visit) {
  return CVisit(
      &session, 3,
      [](void* argument, int row) {
        return (*static_cast<const Visitor*>(argument))(row).raw_code();
      },
      const_cast<Visitor*>(&visit));
}
constexpr int kCancelled = static_cast<int>(absl::StatusCode::kCancelled);

// An awaitable that is never done.
struct Never {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 0; }
};

// Destroys a foreign coroutine in which fn() waits.
template <class Fn>
void DestroyWhileItWaits(Fn fn) {
  const auto body = [&]() -> OwnedCoroutine {
    co_await WithPortalRunSync(std::ref(fn));
    ADD_FAILURE() << "continued";
  };
  body().Destroy();
}

TEST(CFramesTest, R23_AnAbandonedCallbackReturns) {
  CSession session = {};
  int result = 0;
  std::vector<int> rows;
  DestroyWhileItWaits([&] {
    result = Visit(session, [&](int row) {
      rows.push_back(row);
      return TryAwait(Never()).status();
    });
  });
  EXPECT_EQ(result, kCancelled);
  EXPECT_EQ(session.cleaned_up, 1);
  EXPECT_EQ(session.locked, 0);
  EXPECT_THAT(rows, ElementsAre(0));
}

TEST(CFramesTest, R23_FromThenOnItIsRefusedAtOnce) {
  CSession session = {};
  std::vector<int> codes;
  DestroyWhileItWaits([&] {
    (void)Visit(session, [&](int) {
      codes.push_back(TryAwait(Never()).status().raw_code());
      return absl::OkStatus();  // a library that does not stop
    });
    codes.push_back(TryAwait(Never()).status().raw_code());
#if defined(__cpp_exceptions)
    (void)Await(Never());
    ADD_FAILURE() << "continued";
#endif
  });
  EXPECT_THAT(codes, ElementsAre(kCancelled, kCancelled, kCancelled,  //
                                 kCancelled));
  EXPECT_EQ(session.cleaned_up, 1);
}

TEST(CFramesTest, R23_MisuseAndExhaustionReturn) {
  CSession session = {};
  const auto visit = [&] {
    return Visit(session, [](int) { return TryAwait(Never()).status(); });
  };
  const int kRefused = static_cast<int>(absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(visit(), kRefused);
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(visit(), kRefused);
    co_return;
  });
  greenback::Run(RunOptions{.max_fibers = 1}, [&]() -> Co<void> {
    (void)co_await EnsurePortal();
    EXPECT_EQ(visit(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  });
  EXPECT_EQ(session.cleaned_up, 3);
}

#if defined(__cpp_exceptions)

// What greenback throws inside the awaitable does not propagate either.
TEST(CFramesTest, R23_NestedAwaitsReturnToo) {
  CSession session = {};
  const auto ask = []() -> Co<int> { co_return Await(Never()); };
  int result = 0;
  DestroyWhileItWaits([&] {
    result = Visit(session, [&](int) { return TryAwait(ask()).status(); });
  });
  EXPECT_EQ(result, kCancelled);
  EXPECT_EQ(session.cleaned_up, 1);

  greenback::Run([&]() -> Co<void> {
    (void)co_await EnsurePortal();
    const auto misuse = [](bool twice) -> Co<void> {
      NoAwaitScope no_await;
      if (!twice) Await(Never());
      Co<void> once = []() -> Co<void> { co_return; }();
      co_await once;
      co_await once;
    };
    absl::Status status;
    const auto visit = [&](bool twice) {
      return Visit(session,
                   [&](int) { return status = TryAwait(misuse(twice)); });
    };
    EXPECT_NE(visit(false), 0);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("NoAwaitScope"));
    EXPECT_NE(visit(true), 0);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("awaited twice"));
  });
  greenback::Run(RunOptions{.max_fibers = 1}, [&]() -> Co<void> {
    (void)co_await EnsurePortal();
    const auto exhausted = []() -> Co<int> { co_return Await(Never()); };
    EXPECT_EQ(TryAwait(exhausted()).status().code(),
              absl::StatusCode::kResourceExhausted);
  });
  EXPECT_EQ(session.cleaned_up, 3);
}

// The awaitable's own exceptions propagate.
TEST(CFramesTest, WhatTheAwaitableThrowsIsThrown) {
  greenback::Run([]() -> Co<void> {
    (void)co_await EnsurePortal();
    const auto fails = []() -> Co<int> {
      (void)co_await Checkpoint();
      throw std::string("failed");
    };
    std::string caught;
    try {
      (void)TryAwait(fails());
    } catch (const std::string& error) {
      caught = error;
    }
    EXPECT_EQ(caught, "failed");
  });
}

#endif

}  // namespace
}  // namespace greenback
