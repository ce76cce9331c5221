#include "greenback/awaitable.h"

#include <coroutine>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

// Awaiters of another library whose functions have the qualifiers READY,
// SUSPEND and RESUME. Each suspends, and is resumed inside await_suspend().
// NOLINTBEGIN(bugprone-macro-parentheses): none fit around qualifiers.
#define AWAITER(Name, READY, SUSPEND, RESUME)                             \
  struct Name {                                                           \
    bool await_ready() READY { return false; }                            \
    void await_suspend(std::coroutine_handle<> h) SUSPEND { h.resume(); } \
    std::string await_resume() RESUME { return "done"; }                  \
  }
// NOLINTEND(bugprone-macro-parentheses)
AWAITER(Plain, , , );
AWAITER(Const, const, const, const);
AWAITER(Noexcept, noexcept, noexcept, noexcept);
AWAITER(OfLvalues, &, &, &);
AWAITER(OfConstLvalues, const&, const&, const&);
AWAITER(OfConstNoexcept, const noexcept, const noexcept, const noexcept);
AWAITER(ResumesRvalues, const noexcept, , &&);
AWAITER(ResumesConstRvalues, const noexcept, &, const&&);
AWAITER(SuspendsRvalues, const, &&, &&);
AWAITER(OfRvalues, &&, &&, &&);
AWAITER(OfConstRvalues, const&&, const&&, const&&);
AWAITER(Mixed, const&, &, const);
#undef AWAITER

// Its await_ready() returns what converts to bool in conditions alone.
struct ExplicitlyReady {
  struct Ready {
    explicit operator bool() const { return true; }
    bool operator!() const = delete;
  };
  Ready await_ready() { return {}; }
  void await_suspend(std::coroutine_handle<>) { ADD_FAILURE() << "suspended"; }
  std::string await_resume() { return "done"; }
};

// An awaitable of which an adapter makes an A.
template <class A>
struct Adapted {};

}  // namespace

template <class A>
struct AwaitableAdapter<Adapted<A>> {
  static A Adapt(Adapted<A>) { return {}; }
};

namespace {

template <class A>
class AwaiterTest : public testing::Test {};
using Awaiters = testing::Types<Plain, Const, Noexcept, OfLvalues,
                                OfConstLvalues, OfConstNoexcept, ResumesRvalues,
                                ResumesConstRvalues, SuspendsRvalues, OfRvalues,
                                OfConstRvalues, Mixed, ExplicitlyReady>;
TYPED_TEST_SUITE(AwaiterTest, Awaiters);

// An awaitable whose operator co_await returns an A.
template <class A>
struct HasOperator {
  A operator co_await() const { return {}; }
};

TYPED_TEST(AwaiterTest, R25_IsTakenWithItsQualifiers) {
  static_assert(Awaiter<TypeParam>);
  static_assert(Awaitable<TypeParam>);
  static_assert(std::is_same_v<AwaitResult<TypeParam>, std::string>);
  greenback::Run([]() -> Co<void> {
    EXPECT_EQ(co_await TypeParam(), "done");
    EXPECT_EQ(co_await HasOperator<TypeParam>(), "done");
    EXPECT_EQ(co_await Adapted<TypeParam>(), "done");
    EXPECT_EQ(co_await WithPortalRun([] { return TypeParam(); }), "done");
    TypeParam moved;
    EXPECT_EQ(co_await std::move(moved), "done");
    co_await WithPortalRunSync([] {
      EXPECT_EQ(Await(TypeParam()), "done");
      EXPECT_EQ(Await(HasOperator<TypeParam>()), "done");
      EXPECT_EQ(Await(Adapted<TypeParam>()), "done");
      EXPECT_EQ(Await(WithPortalRun([] { return TypeParam(); })), "done");
      EXPECT_EQ(TryAwait(TypeParam()).value(), "done");
      TypeParam moved;
      EXPECT_EQ(Await(std::move(moved)), "done");
    });
  });
  // Outside any task.
  std::string result;
  const auto body = [&]() -> Detached {
    result = co_await WithPortalRunSync([] { return Await(TypeParam()); });
  };
  body();
  EXPECT_EQ(result, "done");
}

// An lvalue is awaited where it is. An awaiter that is for rvalues alone is not
// moved from an lvalue.
TYPED_TEST(AwaiterTest, R25_IsAwaitedAsAnLvalueUnlessItIsForRvalues) {
  constexpr bool kForLvalues =
      requires(TypeParam& awaiter, std::coroutine_handle<> waker) {
        awaiter.await_ready();
        awaiter.await_suspend(waker);
        awaiter.await_resume();
      };
  static_assert(Awaitable<TypeParam&> == kForLvalues);
  if constexpr (kForLvalues) {
    greenback::Run([]() -> Co<void> {
      TypeParam awaiter;
      EXPECT_EQ(co_await awaiter, "done");
      co_await WithPortalRunSync([&] { EXPECT_EQ(Await(awaiter), "done"); });
    });
  }
}

// If there are both, the functions for lvalues are called, as the compiler
// does.
struct Both {
  bool await_ready() & { return true; }
  bool await_ready() && {
    ADD_FAILURE() << "of an rvalue";
    return true;
  }
  void await_suspend(std::coroutine_handle<>) {}
  std::string await_resume() & { return "lvalue"; }
  std::string await_resume() && { return "rvalue"; }
};

TEST(AwaiterCategoryTest, R25_IsTheOneThatTheCompilerUses) {
  std::string natively;
  const auto body = [&]() -> Detached { natively = co_await Both(); };
  body();
  EXPECT_EQ(natively, "lvalue");
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(co_await Both(), natively);
    EXPECT_EQ(co_await Adapted<Both>(), natively);
    EXPECT_EQ(co_await WithPortalRun([] { return Both(); }), natively);
    co_await WithPortalRunSync([&] {
      EXPECT_EQ(Await(Both()), natively);
      EXPECT_EQ(TryAwait(Both()).value(), natively);
    });
  });
}

}  // namespace
}  // namespace greenback
