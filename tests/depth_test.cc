// Deep chains and long loops: no stack for each await. The stacks here would
// overflow at a few bytes an await.

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "greenback/context/context.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {
namespace {

constexpr int kMany = 1'000'000;
constexpr int kDeep = 10'000;

RunOptions SmallStacks() { return RunOptions{.stack_size = 64 << 10}; }

Co<int> Ready() { co_return 1; }

TEST(DepthTest, R13_AMillionReadyAwaitsGrowNoStack) {
  EXPECT_EQ(greenback::Run(SmallStacks(),
                           []() -> Co<int> {
                             int sum = 0;
                             for (int i = 0; i < kMany; ++i) {
                               sum += co_await Ready();
                             }
                             co_return sum;
                           }),
            kMany);
}

TEST(DepthTest, R13_AMillionReadyAwaitsInASynchronousFunctionGrowNoStack) {
  EXPECT_EQ(greenback::Run(SmallStacks(),
                           []() -> Co<int> {
                             co_return co_await WithPortalRunSync([] {
                               int sum = 0;
                               for (int i = 0; i < kMany; ++i) {
                                 sum += Await(Ready());
                               }
                               return sum;
                             });
                           }),
            kMany);
}

TEST(DepthTest, R13_ManyPortalsForACallGrowNoStack) {
  EXPECT_EQ(greenback::Run(SmallStacks(),
                           []() -> Co<int> {
                             int sum = 0;
                             for (int i = 0; i < kMany / 10; ++i) {
                               sum += co_await WithPortalRun(Ready);
                             }
                             co_return sum;
                           }),
            kMany / 10);
}

// An awaitable of another library that is done inside await_suspend, in each of
// the three ways.
struct DoneAtOnce {
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<>) const { return false; }
  int await_resume() const { return 1; }
};
struct ResumesItself {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { handle.resume(); }
  int await_resume() const { return 1; }
};
struct TransfersBack {
  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) const {
    return handle;
  }
  int await_resume() const { return 1; }
};

TEST(DepthTest, R13_ManyForeignAwaitsThatAreDoneAtOnceGrowNoStack) {
  EXPECT_EQ(greenback::Run(SmallStacks(),
                           []() -> Co<int> {
                             int sum = 0;
                             for (int i = 0; i < kMany / 10; ++i) {
                               sum += co_await DoneAtOnce();
                               sum += co_await ResumesItself();
                               sum += co_await TransfersBack();
                             }
                             co_return sum;
                           }),
            kMany / 10 * 3);
}

Co<int> Chain(int length, bool suspend) {
  if (length == 0) {
    if (suspend) (void)co_await Checkpoint();
    co_return 0;
  }
  co_return 1 + co_await Chain(length - 1, suspend);
}

TEST(DepthTest, R13_AChainOfTenThousandCoroutinesGrowsNoStack) {
  for (bool suspend : {false, true}) {
    EXPECT_EQ(greenback::Run(SmallStacks(), Chain, kDeep, suspend), kDeep);
    EXPECT_EQ(greenback::Run(SmallStacks(),
                             [suspend]() -> Co<int> {
                               co_return co_await WithPortalRunSync([suspend] {
                                 return Await(Chain(kDeep, suspend));
                               });
                             }),
              kDeep);
  }
}

// Scopes in scopes, the innermost around a wait.
Co<absl::Status> Nest(int depth) {
  CancelScope scope;
  if (depth == 0) co_return co_await SleepForever();
  co_return co_await Nest(depth - 1);
}

TEST(DepthTest, R13_CancellingTenThousandNestedScopesGrowsNoStack) {
  const auto cancel = []() -> Co<absl::Status> {
    absl::Status nested = absl::UnknownError("not set");
    absl::Status status =
        co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
          nursery.StartSoon(
              [&nested]() -> Co<void> { nested = co_await Nest(kDeep); });
          (void)co_await Checkpoint();
          // Walks down through all the scopes, and does nothing more.
          nursery.cancel_scope().Cancel();
        });
    EXPECT_TRUE(status.ok()) << status;
    co_return nested;
  };
  EXPECT_TRUE(absl::IsCancelled(greenback::Run(SmallStacks(), cancel)));
}

#if defined(__cpp_exceptions)

Co<void> ThrowThrough(int length, bool suspend) {
  if (length == 0) {
    if (suspend) (void)co_await Checkpoint();
    throw length;
  }
  co_await ThrowThrough(length - 1, suspend);
}

TEST(DepthTest, R13_AnExceptionPassesThroughAChainOfTenThousandCoroutines) {
  for (bool suspend : {false, true}) {
    EXPECT_THROW(greenback::Run(SmallStacks(), ThrowThrough, kDeep, suspend),
                 int);
    EXPECT_THROW(greenback::Run(SmallStacks(),
                                [suspend]() -> Co<void> {
                                  co_await WithPortalRunSync([suspend] {
                                    Await(ThrowThrough(kDeep, suspend));
                                  });
                                }),
                 int);
  }
}

#endif  // defined(__cpp_exceptions)

TEST(DepthTest, R13_AMillionCheckpointsGrowNoStack) {
  const auto stay = []() -> Co<size_t> {
    size_t first = 0;
    size_t last = 0;
    (void)co_await EnsurePortal();
    for (int i = 0; i < kMany / 10; ++i) {
      (void)co_await Checkpoint();
      (void)Await(Checkpoint());
      last = StackUsage();
      if (i == 0) first = last;
    }
    EXPECT_EQ(first, last);
    co_return last;
  };
  EXPECT_LT(greenback::Run(SmallStacks(), stay), size_t{64} << 10);
}

}  // namespace
}  // namespace greenback
