#include "util/async_context.h"

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/hosts.h"
#include "tests/support/in_company.h"
#include "tests/support/test_awaitables.h"
#include "util/context_manager.h"
#include "util/exit_reason.h"
#include "util/lost_failure.h"
#include "util/with_async_context.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Collects the lost failures for the duration of a test.
class LostFailures {
 public:
  LostFailures() { former_ = SetLostFailureHandler(&Add); }
  ~LostFailures() {
    SetLostFailureHandler(former_);
    texts().clear();
  }
  static std::vector<std::string>& texts() {
    static auto* const texts = new std::vector<std::string>();
    return *texts;
  }

 private:
  static void Add(const LostFailure& lost) {
    texts().push_back(lost.ToString());
  }
  LostFailureHandler former_;
};

std::string Describe(const ExitReason& reason) {
  if (reason.ok()) return "ok";
  if (reason.unwinding()) return "unwinding";
  if (!reason.status().ok()) return std::string(reason.status().message());
#if defined(__cpp_exceptions)
  try {
    std::rethrow_exception(reason.exception());
  } catch (const std::exception& error) {
    return error.what();
  }
#endif
  return "an exception";
}

template <class Host>
class AsyncContextTest : public testing::Test {
 public:
  template <class T>
  using Coroutine = typename Host::template Coroutine<T>;
  using Void = Coroutine<void>;
  using Int = Coroutine<int>;

  // What happened, in order.
  using Log = std::vector<std::string>;

  // A manager whose value is 7. It fails with exceptions.
  struct Plain {
    Log& log;
    bool enter_fails = false;
    bool exit_fails = false;

    Int Enter() {
      co_await Host::Checkpoint();
      log.push_back("enter");
      Fail(enter_fails, "Enter");
      co_return 7;
    }
    Void Exit(ExitReason reason) {
      co_await Host::Checkpoint();
      log.push_back("exit " + Describe(reason));
      Fail(exit_fails, "Exit");
    }
  };

  // A manager that suppresses failures.
  struct Suppressing {
    Log& log;
    bool suppress = true;
    bool exit_fails = false;

    Int Enter() { co_return 7; }
    Coroutine<bool> Exit(const ExitReason& reason) {
      co_await Host::Checkpoint();
      log.push_back("exit " + Describe(reason));
      Fail(exit_fails, "Exit");
      co_return suppress;
    }
  };

  // A manager that fails with statuses.
  struct ByStatus {
    Log& log;
    absl::Status enter = absl::OkStatus();
    absl::Status exit = absl::OkStatus();

    Coroutine<absl::StatusOr<int>> Enter() {
      co_await Host::Checkpoint();
      log.push_back("enter");
      if (!enter.ok()) co_return enter;
      co_return 7;
    }
    Coroutine<absl::Status> Exit(ExitReason reason) {
      co_await Host::Checkpoint();
      log.push_back("exit " + Describe(reason));
      co_return exit;
    }
  };

  // A manager that suppresses failures, fails with statuses and has no value.
  struct SuppressingByStatus {
    Log& log;
    absl::StatusOr<bool> exit = true;

    Coroutine<absl::Status> Enter() { co_return absl::OkStatus(); }
    Coroutine<absl::StatusOr<bool>> Exit(ExitReason reason) {
      co_await Host::Checkpoint();
      log.push_back("exit " + Describe(reason));
      co_return exit;
    }
  };

  static_assert(AsyncContextManager<Plain>);
  static_assert(AsyncContextManager<Suppressing>);
  static_assert(AsyncContextManager<ByStatus>);
  static_assert(AsyncContextManager<SuppressingByStatus>);

  static void Fail(bool fails, const char* what) {
#if defined(__cpp_exceptions)
    if (fails) throw std::runtime_error(what);
#else
    EXPECT_FALSE(fails) << what;
#endif
  }

  // Does in a coroutine what With() does by WithAsyncContext(), for comparison.
  // Logs the result or the exception.
  template <class Manager>
  static Void Native(Manager& manager, std::function<int(int)> body, Log& log) {
#if defined(__cpp_exceptions)
    try {
#endif
      const int value = co_await manager.Enter();
      ExitReason reason;
      int result = 0;
#if defined(__cpp_exceptions)
      try {
        result = body(value);
      } catch (...) {
        reason = ExitReason(std::current_exception());
      }
#else
    result = body(value);
#endif
      bool suppressed = false;
      if constexpr (std::is_same_v<Manager, Suppressing>) {
        suppressed = co_await manager.Exit(reason);
      } else {
        co_await manager.Exit(reason);
      }
      if (reason.ok()) {
        log.push_back(absl::StrCat("returns ", result));
      } else if (suppressed) {
        log.push_back("returns nothing");
      } else {
        std::rethrow_exception(reason.exception());
      }
#if defined(__cpp_exceptions)
    } catch (const std::runtime_error& error) {
      log.push_back(std::string("throws ") + error.what());
    }
#endif
  }

  template <class Manager>
  static void With(Manager& manager, std::function<int(int)> body, Log& log) {
#if defined(__cpp_exceptions)
    try {
#endif
      if constexpr (std::is_same_v<Manager, Suppressing>) {
        const std::optional<int> result = WithAsyncContext(manager, body);
        log.push_back(result ? absl::StrCat("returns ", *result)
                             : "returns nothing");
      } else {
        log.push_back(
            absl::StrCat("returns ", WithAsyncContext(manager, body)));
      }
#if defined(__cpp_exceptions)
    } catch (const std::runtime_error& error) {
      log.push_back(std::string("throws ") + error.what());
    }
#endif
  }

  // Runs `body` inside a manager made by make(log), in both forms. They must
  // leave the same log, which is returned.
  template <class Make>
  static Log InBothForms(Make make, std::function<void(Log&)> body) {
    Log native, with;
    LostFailures lost;
    InCompany<Host>([&] {
      auto manager = make(native);
      const auto logged = [&](int value) {
        native.push_back("body");
        body(native);
        return value + 1;
      };
      Await(Native(manager, logged, native));
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    });
    InCompany<Host>([&] {
      auto manager = make(with);
      With(
          manager,
          [&](int value) {
            with.push_back("body");
            body(with);
            return value + 1;
          },
          with);
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      EXPECT_EQ(std::current_exception(), nullptr);
    });
    EXPECT_EQ(native, with);
    return with;
  }
};

TYPED_TEST_SUITE(AsyncContextTest, TestedHosts);

#define TEST_NAMES                                                        \
  using Host [[maybe_unused]] = TypeParam;                                \
  using Void [[maybe_unused]] = typename TestFixture::Void;               \
  using Int [[maybe_unused]] = typename TestFixture::Int;                 \
  using Log [[maybe_unused]] = typename TestFixture::Log;                 \
  using Plain [[maybe_unused]] = typename TestFixture::Plain;             \
  using Suppressing [[maybe_unused]] = typename TestFixture::Suppressing; \
  using ByStatus [[maybe_unused]] = typename TestFixture::ByStatus;       \
  using SuppressingByStatus [[maybe_unused]] =                            \
      typename TestFixture::SuppressingByStatus

// ----------------------------------------- WithAsyncContext, with exceptions

TYPED_TEST(AsyncContextTest, U04_BothFormsEnterAndExitOnSuccess) {
  TEST_NAMES;
  EXPECT_THAT(TestFixture::InBothForms([](Log& log) { return Plain{log}; },
                                       [](Log&) {}),
              ElementsAre("enter", "body", "exit ok", "returns 8"));
  EXPECT_THAT(TestFixture::InBothForms(
                  [](Log& log) { return Suppressing{log}; }, [](Log&) {}),
              ElementsAre("body", "exit ok", "returns 8"));
}

#if defined(__cpp_exceptions)
TYPED_TEST(AsyncContextTest, U04_WithAFailureInEnterThereIsNoExit) {
  TEST_NAMES;
  EXPECT_THAT(
      TestFixture::InBothForms(
          [](Log& log) { return Plain{.log = log, .enter_fails = true}; },
          [](Log&) {}),
      ElementsAre("enter", "throws Enter"));
}

TYPED_TEST(AsyncContextTest, U04_WithAFailureInTheBodyExitSeesIt) {
  TEST_NAMES;
  const auto fail = [](Log&) { throw std::runtime_error("body failed"); };
  EXPECT_THAT(
      TestFixture::InBothForms([](Log& log) { return Plain{log}; }, fail),
      ElementsAre("enter", "body", "exit body failed", "throws body failed"));
  EXPECT_THAT(
      TestFixture::InBothForms(
          [](Log& log) { return Suppressing{.log = log, .suppress = false}; },
          fail),
      ElementsAre("body", "exit body failed", "throws body failed"));
}

TYPED_TEST(AsyncContextTest, U04_WithAFailureInTheBodyExitMaySuppressIt) {
  TEST_NAMES;
  EXPECT_THAT(TestFixture::InBothForms(
                  [](Log& log) { return Suppressing{log}; },
                  [](Log&) { throw std::runtime_error("body failed"); }),
              ElementsAre("body", "exit body failed", "returns nothing"));
}

TYPED_TEST(AsyncContextTest, U04_AFailureInExitReplacesTheOneInFlight) {
  TEST_NAMES;
  const auto make = [](Log& log) {
    return Plain{.log = log, .exit_fails = true};
  };
  EXPECT_THAT(TestFixture::InBothForms(make, [](Log&) {}),
              ElementsAre("enter", "body", "exit ok", "throws Exit"));
  // The failure of Exit() replaces that of the body.
  const auto fail = [](Log&) { throw std::runtime_error("body failed"); };
  EXPECT_THAT(TestFixture::InBothForms(make, fail),
              ElementsAre("enter", "body", "exit body failed", "throws Exit"));
}

TYPED_TEST(AsyncContextTest, U04_WhatAFailureInExitReplacesIsNotLost) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    Log log;
    const auto where = std::source_location::current();
    const auto body = [](int) -> int { throw std::runtime_error("body"); };
    EXPECT_THROW(
        WithAsyncContext(Plain{.log = log, .exit_fails = true}, body, where),
        std::runtime_error);
    EXPECT_THAT(
        lost.texts(),
        ElementsAre(
            AllOf(HasSubstr(absl::StrCat("greenback::WithAsyncContext at ",
                                         where.file_name(), ":", where.line())),
                  HasSubstr("a failure of the body was replaced by one of "
                            "Exit(): body"))));
    lost.texts().clear();

    // Not lost: the failure is nested in the new one, or is thrown again.
    struct Nests {
      Void Enter() { co_await Host::Checkpoint(); }
      Void Exit(std::exception_ptr in_flight) {
        co_await Host::Checkpoint();
        try {
          std::rethrow_exception(in_flight);
        } catch (...) {
          std::throw_with_nested(std::logic_error("exit"));
        }
      }
    };
    try {
      WithAsyncContext(Nests(), [] { throw std::runtime_error("body"); });
      ADD_FAILURE() << "no exception";
    } catch (const std::logic_error& error) {
      EXPECT_STREQ(error.what(), "exit");
      try {
        std::rethrow_if_nested(error);
        ADD_FAILURE() << "nothing nested";
      } catch (const std::runtime_error& nested) {
        EXPECT_STREQ(nested.what(), "body");
      }
    }
    struct Rethrows {
      Void Enter() { co_await Host::Checkpoint(); }
      Void Exit(const std::exception_ptr& in_flight) {
        co_await Host::Checkpoint();
        std::rethrow_exception(in_flight);
      }
    };
    EXPECT_THROW(
        WithAsyncContext(Rethrows(), [] { throw std::runtime_error("body"); }),
        std::runtime_error);
    EXPECT_THAT(lost.texts(), IsEmpty());
  });
}

TYPED_TEST(AsyncContextTest, U04_TheVeryExceptionPropagates) {
  TEST_NAMES;
  InCompany<Host>([&] {
    Log log;
    struct Own {
      int value;
    };
    const Own* thrown = nullptr;
    try {
      WithAsyncContext(Plain{log}, [&](int) {
        try {
          throw Own{3};
        } catch (const Own& own) {
          thrown = &own;
          throw;
        }
      });
      ADD_FAILURE() << "no exception";
    } catch (const Own& own) {
      EXPECT_EQ(&own, thrown);
    }
  });
}

TYPED_TEST(AsyncContextTest, U04_ExitMayTakeAnExceptionPtrOrNothing) {
  TEST_NAMES;
  InCompany<Host>([&] {
    struct TakesException {
      std::vector<std::exception_ptr>& seen;
      Void Enter() { co_return; }
      Void Exit(std::exception_ptr in_flight) {
        co_await Host::Checkpoint();
        seen.push_back(in_flight);
      }
    };
    std::vector<std::exception_ptr> seen;
    WithAsyncContext(TakesException{seen}, [] {});
    EXPECT_EQ(seen.back(), nullptr);
    EXPECT_THROW(WithAsyncContext(TakesException{seen},
                                  [] { throw std::runtime_error("body"); }),
                 std::runtime_error);
    EXPECT_THROW(std::rethrow_exception(seen.back()), std::runtime_error);
    // After a failure without an exception that can be seen, it is not null
    // either.
    const auto fails = [] { return absl::AbortedError("body"); };
    EXPECT_EQ(WithAsyncContext(TakesException{seen}, fails),
              absl::AbortedError("body"));
    try {
      std::rethrow_exception(seen.back());
    } catch (const FailureInFlight& failure) {
      EXPECT_EQ(failure.reason().status(), absl::AbortedError("body"));
    }
    try {
      AsyncContext context(TakesException{seen});
      throw std::runtime_error("body");
    } catch (const std::runtime_error&) {
    }
    try {
      std::rethrow_exception(seen.back());
    } catch (const FailureInFlight& failure) {
      EXPECT_TRUE(failure.reason().unwinding());
    }
    EXPECT_EQ(seen.size(), 4u);

    struct TakesNothing {
      int& exits;
      Void Enter() { co_return; }
      typename Host::template Coroutine<bool> Exit() {
        ++exits;
        co_return true;
      }
    };
    int exits = 0;
    WithAsyncContext(TakesNothing{exits},
                     [] { throw std::runtime_error("body"); });
    EXPECT_EQ(exits, 1);
  });
}
#endif

// -------------------------------------------- WithAsyncContext, with statuses

TYPED_TEST(AsyncContextTest, U04_StatusesAreFailuresToo) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    const absl::Status unavailable = absl::UnavailableError("no enter");
    const absl::Status aborted = absl::AbortedError("body failed");
    const absl::Status data_loss = absl::DataLossError("no exit");
    Log log;
    const auto take = [&] { return std::exchange(log, {}); };
    const auto next = [&](int value) {
      log.push_back("body");
      return value + 1;
    };
    const auto fails = [&](int) -> absl::StatusOr<int> { return aborted; };
    const auto fails_plainly = [&](int) { return aborted; };

    EXPECT_EQ(WithAsyncContext(ByStatus{log}, next), absl::StatusOr<int>(8));
    EXPECT_THAT(take(), ElementsAre("enter", "body", "exit ok"));

    EXPECT_EQ(WithAsyncContext(ByStatus{log, unavailable}, next).status(),
              unavailable);
    EXPECT_THAT(take(), ElementsAre("enter"));

    EXPECT_EQ(WithAsyncContext(ByStatus{log}, fails).status(), aborted);
    EXPECT_THAT(take(), ElementsAre("enter", "exit body failed"));
    EXPECT_EQ(WithAsyncContext(ByStatus{log}, fails_plainly), aborted);
    EXPECT_THAT(take(), ElementsAre("enter", "exit body failed"));
    // So does a body in a manager that has no statuses.
    EXPECT_EQ(WithAsyncContext(Plain{log}, fails).status(), aborted);
    EXPECT_THAT(take(), ElementsAre("enter", "exit body failed"));

    EXPECT_EQ(WithAsyncContext(ByStatus{.log = log, .exit = data_loss}, next)
                  .status(),
              data_loss);
    EXPECT_THAT(take(), ElementsAre("enter", "body", "exit ok"));
    EXPECT_EQ(
        WithAsyncContext(ByStatus{.log = log, .exit = data_loss}, fails)
            .status(),
        absl::DataLossError("no exit (instead of: ABORTED: body failed)"));
    take();

    // The manager suppresses the failure.
    const absl::StatusOr<std::optional<int>> nothing =
        WithAsyncContext(Suppressing{log}, fails);
    ASSERT_TRUE(nothing.ok());
    EXPECT_EQ(*nothing, std::nullopt);
    EXPECT_THAT(take(), ElementsAre("exit body failed"));
    EXPECT_EQ(WithAsyncContext(Suppressing{log}, fails_plainly),
              absl::OkStatus());
    EXPECT_EQ(
        WithAsyncContext(SuppressingByStatus{log}, [&] { return aborted; }),
        absl::OkStatus());
    EXPECT_EQ(WithAsyncContext(SuppressingByStatus{log, data_loss},
                               [] { return absl::StatusOr<int>(1); })
                  .status(),
              data_loss);
    EXPECT_EQ(WithAsyncContext(SuppressingByStatus{log, false},
                               [&] { return aborted; }),
              aborted);
#if defined(__cpp_exceptions)
    // Exceptions and statuses may be mixed.
    take();
    const auto throws = [](int) { throw std::runtime_error("thrown"); };
    EXPECT_THROW((void)WithAsyncContext(ByStatus{log}, throws),
                 std::runtime_error);
    EXPECT_THAT(take(), ElementsAre("enter", "exit thrown"));
    EXPECT_EQ(WithAsyncContext(ByStatus{.log = log, .exit = data_loss}, throws),
              absl::DataLossError("no exit (instead of: thrown)"));
    EXPECT_THAT(lost.texts(), IsEmpty());
    EXPECT_THROW((void)WithAsyncContext(Plain{.log = log, .exit_fails = true},
                                        fails_plainly),
                 std::runtime_error);
    EXPECT_THAT(lost.texts(), ElementsAre(HasSubstr("ABORTED: body failed")));
#endif
  });
}

// ----------------------------------------- what it takes, what it returns

TYPED_TEST(AsyncContextTest, U04_WithAsyncContextReturnsWhatTheBodyReturns) {
  TEST_NAMES;
  InCompany<Host>([&] {
    Log log;
    Plain plain{log};
    Suppressing suppressing{log};
    ByStatus by_status{log};
    SuppressingByStatus both{log};
    const auto nothing = [] {};
    const auto number = [] { return 1; };
    const auto reference = [](int& value) -> int& { return value; };
    const auto status = [] { return absl::OkStatus(); };
    const auto status_or = [] { return absl::StatusOr<int>(1); };

    static_assert(std::is_void_v<decltype(WithAsyncContext(plain, nothing))>);
    static_assert(
        std::is_same_v<int, decltype(WithAsyncContext(plain, number))>);
    static_assert(
        std::is_same_v<int&, decltype(WithAsyncContext(plain, reference))>);
    static_assert(std::is_same_v<absl::Status,
                                 decltype(WithAsyncContext(plain, status))>);
    static_assert(std::is_same_v<absl::StatusOr<int>,
                                 decltype(WithAsyncContext(plain, status_or))>);

    static_assert(
        std::is_void_v<decltype(WithAsyncContext(suppressing, nothing))>);
    static_assert(
        std::is_same_v<std::optional<int>,
                       decltype(WithAsyncContext(suppressing, number))>);
    static_assert(
        std::is_same_v<std::optional<std::reference_wrapper<int>>,
                       decltype(WithAsyncContext(suppressing, reference))>);
    static_assert(std::is_same_v<absl::Status, decltype(WithAsyncContext(
                                                   suppressing, status))>);
    static_assert(
        std::is_same_v<absl::StatusOr<std::optional<int>>,
                       decltype(WithAsyncContext(suppressing, status_or))>);

    static_assert(std::is_same_v<absl::Status, decltype(WithAsyncContext(
                                                   by_status, nothing))>);
    static_assert(std::is_same_v<absl::StatusOr<int>, decltype(WithAsyncContext(
                                                          by_status, number))>);
    static_assert(std::is_same_v<absl::StatusOr<std::optional<int>>,
                                 decltype(WithAsyncContext(both, number))>);

    EXPECT_EQ(**WithAsyncContext(both, status_or), 1);
    EXPECT_EQ(WithAsyncContext(by_status, nothing), absl::OkStatus());
    const std::unique_ptr<int> moved = WithAsyncContext(
        plain, [](int value) { return std::make_unique<int>(value); });
    EXPECT_EQ(*moved, 7);
    EXPECT_EQ(&WithAsyncContext(plain, [&]() -> Plain& { return plain; }),
              &plain);
  });
}

TYPED_TEST(AsyncContextTest, U04_TheBodyAwaitsAndContextsNest) {
  TEST_NAMES;
  Log log;
  InCompany<Host>([&] {
    Plain outer{log}, inner{log};
    const int sum = WithAsyncContext(outer, [&](int a) {
      return WithAsyncContext(inner, [&](int b) {
        Await(Host::Checkpoint());
        log.push_back("body");
        return a + b;
      });
    });
    EXPECT_EQ(sum, 14);
  });
  EXPECT_THAT(log, ElementsAre("enter", "enter", "body", "exit ok", "exit ok"));
}

// A manager with a value that cannot be copied.
template <class Host>
struct Lends {
  typename Host::template Coroutine<std::unique_ptr<int>> Enter() {
    co_await Host::Checkpoint();
    co_return std::make_unique<int>(5);
  }
  typename Host::template Coroutine<void> Exit() {
    co_await Host::Checkpoint();
  }
};

TYPED_TEST(AsyncContextTest, U04_TheValueIsPassedByReferenceOrMoved) {
  InCompany<TypeParam>([&] {
    using Box = std::unique_ptr<int>;
    EXPECT_EQ(WithAsyncContext(Lends<TypeParam>(), [](Box& b) { return *b; }),
              5);
    EXPECT_EQ(WithAsyncContext(Lends<TypeParam>(), [](Box b) { return *b; }),
              5);
    EXPECT_EQ(*WithAsyncContext(Lends<TypeParam>(),
                                [](Box&& b) { return std::move(b); }),
              5);
    EXPECT_EQ(
        WithAsyncContext(Lends<TypeParam>(), [](const auto& b) { return *b; }),
        5);
    AsyncContext context(Lends<TypeParam>{});
    EXPECT_EQ(**context, 5);
    EXPECT_EQ(*context.get(), 5);
    EXPECT_EQ(*context->get(), 5);
  });
}

// The result of Enter() is an rvalue reference into its awaiter, and Exit()
// overwrites the value.
struct LendsFromAwaiter {
  struct Awaiter {
    std::string text = std::string(100, 'x');
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) { return false; }
    std::string&& await_resume() { return std::move(text); }
  };
  std::string* lent = nullptr;

  Awaiter Enter() { return {}; }
  std::suspend_never Exit() {
    if (lent != nullptr) *lent = "ended";
    return {};
  }
};

TYPED_TEST(AsyncContextTest, R18_NothingRefersToAnAwaiterOrToWhatExitEnds) {
  InCompany<TypeParam>([] {
    const std::string text(100, 'x');
    EXPECT_EQ(
        WithAsyncContext(LendsFromAwaiter(), [](std::string& s) { return s; }),
        text);
    LendsFromAwaiter manager;
    EXPECT_EQ(WithAsyncContext(manager,
                               [&](std::string& s) -> std::string&& {
                                 manager.lent = &s;
                                 return std::move(s);
                               }),
              text);
    AsyncContext context(LendsFromAwaiter{});
    EXPECT_EQ(*context, text);
  });
}

// A manager with a value that is counted.
template <class Host>
struct LendsCounted {
  bool exit_fails = false;
  Counted counted = Counted();

  typename Host::template Coroutine<Counted> Enter() {
    co_await Host::Checkpoint();
    co_return Counted(1);
  }
  typename Host::template Coroutine<void> Exit(ExitReason) {
    co_await Host::Checkpoint();
    EXPECT_GE(Counted::live(), 2);  // the value is still alive
    AsyncContextTest<Host>::Fail(exit_fails, "Exit");
  }
};

TYPED_TEST(AsyncContextTest, U04_NothingIsLeftBehind) {
  TEST_NAMES;
  InCompany<Host>([&] {
    using Lends = LendsCounted<Host>;
    EXPECT_EQ(WithAsyncContext(Lends(), [](Counted c) { return c; }).value, 1);
    EXPECT_EQ(Counted::live(), 0);
    {
      AsyncContext context(Lends{});
    }
    EXPECT_EQ(Counted::live(), 0);
#if defined(__cpp_exceptions)
    LostFailures lost;
    EXPECT_THROW(
        WithAsyncContext(
            Lends(), [](Counted&) { throw std::runtime_error("body failed"); }),
        std::runtime_error);
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_THROW(WithAsyncContext(Lends{.exit_fails = true},
                                  [](Counted c) { return c; }),
                 std::runtime_error);
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_THROW(AsyncContext context(Lends{.exit_fails = true}),
                 std::runtime_error);
    EXPECT_EQ(Counted::live(), 0);
#endif
  });
}

// --------------------------------------------------------------- AsyncContext

TYPED_TEST(AsyncContextTest, U04_AScopeExitsOnSuccess) {
  TEST_NAMES;
  LostFailures lost;
  Log log;
  InCompany<Host>([&] {
    {
      AsyncContext context(Plain{log});
      EXPECT_EQ(*context, 7);
      EXPECT_EQ(context.status(), absl::OkStatus());
      *context = 8;
      EXPECT_EQ(context.get(), 8);
      log.push_back("body");
    }
    EXPECT_THAT(log, ElementsAre("enter", "body", "exit ok"));
    // Exit() also runs at a return and in each round of a loop.
    log.clear();
    const auto first_of = [&](int n) {
      for (int i = 0; i < n; ++i) {
        AsyncContext context(Plain{log});
        if (i == 1) return *context;
      }
      return 0;
    };
    EXPECT_EQ(first_of(3), 7);
    EXPECT_THAT(log, ElementsAre("enter", "exit ok", "enter", "exit ok"));
  });
  EXPECT_THAT(lost.texts(), IsEmpty());
}

TYPED_TEST(AsyncContextTest, U04_AScopeKeepsAnLvalueAsAReference) {
  TEST_NAMES;
  Log log;
  InCompany<Host>([&] {
    Plain plain{log};
    AsyncContext by_reference(plain);
    static_assert(std::is_same_v<decltype(by_reference), AsyncContext<Plain&>>);
    AsyncContext by_value(Plain{log});
    static_assert(std::is_same_v<decltype(by_value), AsyncContext<Plain>>);
    static_assert(!std::is_move_constructible_v<AsyncContext<Plain>>);
    // A context may be a member of an object on the heap.
    struct Session {
      AsyncContext<Plain> context;
      explicit Session(Log& log) : context(Plain{log}) {}
    };
    auto session = std::make_unique<Session>(log);
    EXPECT_EQ(*session->context, 7);
  });
  EXPECT_EQ(log.size(), 6u);
}

TYPED_TEST(AsyncContextTest, U04_CloseReturnsWhatExitReturns) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    Log log;
    const absl::Status data_loss = absl::DataLossError("no exit");
    {
      AsyncContext context(ByStatus{.log = log, .exit = data_loss});
      EXPECT_EQ(context.Close(), data_loss);
      EXPECT_EQ(context.Close(), absl::OkStatus());  // does nothing
    }
    EXPECT_THAT(log, ElementsAre("enter", "exit ok"));
    {
      AsyncContext context(Suppressing{log});
      EXPECT_TRUE(context.Close(ExitReason(absl::AbortedError("why"))));
      EXPECT_FALSE(context.Close());
    }
    EXPECT_EQ(log.back(), "exit why");
    {
      AsyncContext context(SuppressingByStatus{log});
      EXPECT_EQ(context.Close(), absl::StatusOr<bool>(true));
      EXPECT_EQ(context.Close(), absl::StatusOr<bool>(false));
    }
    log.clear();
    {
      AsyncContext context(Plain{log});
      context.Close();
    }
    EXPECT_THAT(log, ElementsAre("enter", "exit ok"));
  });
  EXPECT_THAT(lost.texts(), IsEmpty());
}

TYPED_TEST(AsyncContextTest, U04_InAScopeWithAStatusFromEnterThereIsNoExit) {
  TEST_NAMES;
  Log log;
  InCompany<Host>([&] {
    const absl::Status unavailable = absl::UnavailableError("no enter");
    AsyncContext context(ByStatus{.log = log, .enter = unavailable});
    EXPECT_FALSE(context.ok());
    EXPECT_EQ(context.status(), unavailable);
    EXPECT_EQ(context.Close(), absl::OkStatus());
  });
  EXPECT_THAT(log, ElementsAre("enter"));
}

TYPED_TEST(AsyncContextTest, U04_AStatusOfExitInADestructorIsNotLost) {
  TEST_NAMES;
  LostFailures lost;
  Log log;
  InCompany<Host>([&] {
    AsyncContext context(
        ByStatus{.log = log, .exit = absl::DataLossError("no exit")});
  });
  EXPECT_THAT(lost.texts(),
              ElementsAre(AllOf(
                  HasSubstr("greenback::AsyncContext at "),
                  HasSubstr("async_context_test.cc:"),
                  HasSubstr("Exit() failed in a destructor: DATA_LOSS: no "
                            "exit"))));
}

TYPED_TEST(AsyncContextTest, U04_ByDefaultALostFailureIsPrinted) {
  TEST_NAMES;
  Log log;
  ::testing::internal::CaptureStderr();
  InCompany<Host>([&] {
    AsyncContext context(
        ByStatus{.log = log, .exit = absl::DataLossError("no exit")});
  });
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(printed, HasSubstr("DATA_LOSS: no exit\n"));
  EXPECT_EQ(SetLostFailureHandler(nullptr), nullptr);
}

#if defined(__cpp_exceptions)
TYPED_TEST(AsyncContextTest, U04_InAScopeWithAFailureInEnterThereIsNoExit) {
  TEST_NAMES;
  Log log;
  InCompany<Host>([&] {
    EXPECT_THROW(AsyncContext context(Plain{.log = log, .enter_fails = true}),
                 std::runtime_error);
  });
  EXPECT_THAT(log, ElementsAre("enter"));
}

TYPED_TEST(AsyncContextTest, U04_InAScopeWithAnExceptionInFlightExitSeesIt) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    Log log;
    // An Exit() that would suppress the exception does not.
    try {
      AsyncContext context(Plain{log});
      AsyncContext suppressing(Suppressing{log});
      throw std::runtime_error("body failed");
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "body failed");
      log.push_back("caught");
    }
    EXPECT_THAT(log, ElementsAre("enter", "exit unwinding", "exit unwinding",
                                 "caught"));
    EXPECT_EQ(std::uncaught_exceptions(), 0);

    // A context that begins and ends while an exception unwinds has had no
    // failure.
    struct Cleanup {
      Log& log;
      ~Cleanup() { AsyncContext context(Plain{log}); }
    };
    log.clear();
    try {
      Cleanup cleanup{log};
      throw std::runtime_error("body failed");
    } catch (const std::runtime_error&) {
    }
    EXPECT_THAT(log, ElementsAre("enter", "exit ok"));

    // In a handler nothing unwinds any more. Close() can pass the reason.
    log.clear();
    try {
      throw std::runtime_error("handled");
    } catch (const std::runtime_error&) {
      AsyncContext ok(Plain{log});
      AsyncContext failed(Plain{log});
      failed.Close(ExitReason(std::current_exception()));
    }
    EXPECT_THAT(log, ElementsAre("enter", "enter", "exit handled", "exit ok"));
  });
  EXPECT_THAT(lost.texts(), IsEmpty());
}

TYPED_TEST(AsyncContextTest, U04_AFailureOfExitWhileUnwindingIsNotLost) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    Log log;
    bool caught = false;
    try {
      AsyncContext throws(Plain{.log = log, .exit_fails = true});
      AsyncContext returns_status(
          ByStatus{.log = log, .exit = absl::DataLossError("no exit")});
      throw std::out_of_range("body failed");
    } catch (const std::out_of_range& error) {
      caught = true;
      EXPECT_STREQ(error.what(), "body failed");
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_THAT(
        lost.texts(),
        ElementsAre(
            HasSubstr("Exit() failed while an exception was in flight: "
                      "DATA_LOSS: no exit"),
            HasSubstr("Exit() failed while an exception was in flight: Exit")));
  });
}

TYPED_TEST(AsyncContextTest, U04_AnExceptionOfExitPropagatesOutOfTheScope) {
  TEST_NAMES;
  LostFailures lost;
  InCompany<Host>([&] {
    Log log;
    try {
      AsyncContext outer(Plain{log});
      {
        AsyncContext context(Plain{.log = log, .exit_fails = true});
      }
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "Exit");
    }
    EXPECT_THAT(log,
                ElementsAre("enter", "enter", "exit ok", "exit unwinding"));
    // An exception propagates from Close(), and the destructor does nothing.
    log.clear();
    {
      AsyncContext context(Plain{.log = log, .exit_fails = true});
      EXPECT_THROW(context.Close(), std::runtime_error);
    }
    EXPECT_THAT(log, ElementsAre("enter", "exit ok"));
  });
  EXPECT_THAT(lost.texts(), IsEmpty());
}

TYPED_TEST(AsyncContextTest, U04_AnExceptionOutOfANoexceptDestructorDies) {
  TEST_NAMES;
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // some hosts have threads
  EXPECT_DEATH(InCompany<Host>([] {
                 Log log;
                 std::make_unique<AsyncContext<Plain>>(
                     Plain{.log = log, .exit_fails = true})
                     .reset();
               }),
               "terminate called");
}

TYPED_TEST(AsyncContextTest, U04_WithoutThePortalExitIsRefusedNotForgotten) {
  TEST_NAMES;
  LostFailures lost;
  Log log;
  Host::Run([&]() -> Void {
    using Context = AsyncContext<Plain>;
    std::unique_ptr<Context> context;
    const auto begin = [&] { context = std::make_unique<Context>(Plain{log}); };
    co_await Host::WithPortalRunSync(begin);
    EXPECT_FALSE(HasPortal());
    EXPECT_THROW(context->Close(), PortalError);
    context.reset();  // does nothing
    co_await Host::WithPortalRunSync(begin);
    // Not with context.reset(), which is noexcept.
    EXPECT_THROW(delete context.release(), PortalError);
  });
  EXPECT_THAT(log, ElementsAre("enter", "enter"));
  EXPECT_THAT(lost.texts(), IsEmpty());
}

TYPED_TEST(AsyncContextTest, U04_ARefusalWhileUnwindingIsReported) {
  TEST_NAMES;
  LostFailures lost;
  Log log;
  InCompany<Host>([&] {
    EXPECT_THROW(
        {
          std::optional<NoAwaitScope> no_await;
          AsyncContext context(Plain{log});
          struct Opens {
            std::optional<NoAwaitScope>& scope;
            ~Opens() { scope.emplace(); }
          } opens{no_await};
          throw std::runtime_error("body failed");
        },
        std::runtime_error);
  });
  EXPECT_THAT(log, ElementsAre("enter"));
  EXPECT_THAT(lost.texts(),
              ElementsAre(AllOf(HasSubstr("is inside the NoAwaitScope of"),
                                HasSubstr("async_context_test.cc"))));
}
#endif

#if !defined(GREENBACK_TEST_ON_ASIO)
// ----------------------------------------------------------- in the runtime

// Notes whether Exit() is cancelled, with a shield or without one.
struct Waits {
  bool shield;
  absl::Status& exited;

  Co<void> Enter() { co_return; }
  Co<void> Exit() {
    CancelScope scope;
    scope.set_shield(shield);
    exited = co_await Checkpoint();
  }
};

TEST(AsyncContextInTheRuntime, U04_ExitInACancelledTaskMayBeShielded) {
  greenback::Run([]() -> Co<void> {
    (void)co_await EnsurePortal();
    absl::Status bare, shielded, with;
    CancelScope scope;
    {
      AsyncContext one(Waits{false, bare});
      AsyncContext other(Waits{true, shielded});
      scope.Cancel();
    }
    EXPECT_TRUE(absl::IsCancelled(bare)) << bare;
    EXPECT_TRUE(shielded.ok()) << shielded;
    WithAsyncContext(Waits{true, with}, [] {});
    EXPECT_TRUE(with.ok()) << with;
  });
}
#endif

}  // namespace
}  // namespace greenback
