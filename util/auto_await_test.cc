#include "util/auto_await.h"

#include <algorithm>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/hosts.h"
#include "tests/support/in_company.h"
#include "tests/support/test_awaitables.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class Host>
class AutoAwaitTest : public testing::Test {
 public:
  using Void = typename Host::template Coroutine<void>;
  using Int = typename Host::template Coroutine<int>;
  using Text = typename Host::template Coroutine<std::string>;

  static Int Twice(int n) {
    co_await Host::Checkpoint();
    co_return 2 * n;
  }

  // A class with member functions of every kind.
  struct Adder {
    // As wide as a pointer: at -O1, g++ 12 takes a call through a pointer to
    // member for a virtual call, and warns that it reads past a smaller object.
    int64_t sum = 0;

    Int Add(int n) {
      co_await Host::Checkpoint();
      co_return static_cast<int>(sum += n);
    }
    Int Plus(int n) const {
      co_await Host::Checkpoint();
      co_return static_cast<int>(sum + n);
    }
    Int operator()(int n) & { return Add(n); }
    Int operator()(int n) const& { return Plus(n); }
    Int operator()(int n) && { return Twice(n); }
  };
};

TYPED_TEST_SUITE(AutoAwaitTest, TestedHosts);

#define TEST_NAMES                                          \
  using Host [[maybe_unused]] = TypeParam;                  \
  using Void [[maybe_unused]] = typename TestFixture::Void; \
  using Int [[maybe_unused]] = typename TestFixture::Int

// -------------------------------------------- what can be called, and how

TYPED_TEST(AutoAwaitTest, U01_FreeFunctionsLambdasAndFunctionObjectsWork) {
  InCompany<TypeParam>([] {
    TEST_NAMES;
    auto twice = AutoAwait(TestFixture::Twice);
    static_assert(std::is_same_v<decltype(twice(1)), int>);
    EXPECT_EQ(twice(21), 42);
    EXPECT_EQ(twice(twice(1)), 4);
    EXPECT_EQ(std::as_const(twice)(3), 6);
    EXPECT_EQ(AutoAwait(&TestFixture::Twice)(4), 8);

    int calls = 0;
    const auto counted = AutoAwait([&calls](int n) -> Int {
      co_await Host::Checkpoint();
      ++calls;
      co_return co_await TestFixture::Twice(n);
    });
    EXPECT_EQ(counted(1), 2);
    EXPECT_EQ(counted(2), 4);
    EXPECT_EQ(calls, 2);

    // A mutable callable has a state of its own, and so has each copy.
    auto next =
        AutoAwait([n = 0]() mutable { return TestFixture::Twice(++n); });
    EXPECT_EQ(next(), 2);
    auto copy = next;
    EXPECT_EQ(next(), 4);
    EXPECT_EQ(copy(), 4);

    using Adder = typename TestFixture::Adder;
    auto add = AutoAwait(Adder{10});
    EXPECT_EQ(add(1), 11);
    EXPECT_EQ(add(1), 12);
    EXPECT_EQ(std::as_const(add)(1), 13);
    EXPECT_EQ(std::move(add)(1), 2);
    Adder adder{10};
    auto by_reference = AutoAwait(std::ref(adder));
    EXPECT_EQ(by_reference(5), 15);
    EXPECT_EQ(adder.sum, 15);
  });
}

TYPED_TEST(AutoAwaitTest, U01_PointersToMembersWork) {
  InCompany<TypeParam>([] {
    using Adder = typename TestFixture::Adder;
    auto add = AutoAwait(&Adder::Add);
    Adder adder;
    EXPECT_EQ(add(adder, 1), 1);
    EXPECT_EQ(add(&adder, 2), 3);
    EXPECT_EQ(add(std::make_unique<Adder>(), 3), 3);
    EXPECT_EQ(AutoAwait(&Adder::Plus)(std::as_const(adder), 4), 7);
    EXPECT_EQ(adder.sum, 3);
    // The callable can be bound as any other.
    auto add_to_it = std::bind_front(add, std::ref(adder));
    EXPECT_EQ(add_to_it(1), 4);
  });
}

TYPED_TEST(AutoAwaitTest, U01_ConceptsKnowWhetherItCanBeCalled) {
  TEST_NAMES;
  using Twice = decltype(AutoAwait(TestFixture::Twice));
  static_assert(std::is_invocable_r_v<int, Twice&, int>);
  static_assert(!std::invocable<Twice&, std::string>);
  static_assert(!std::invocable<Twice&>);
  static_assert(std::copyable<Twice>);
  const auto move_only = [p = std::make_unique<int>()]() mutable {
    return TestFixture::Twice(*p);
  };
  using MoveOnly = decltype(AutoAwait(
      std::declval<std::remove_const_t<decltype(move_only)>>()));
  static_assert(std::invocable<MoveOnly&>);
  static_assert(!std::invocable<const MoveOnly&>);
  static_assert(!std::is_copy_constructible_v<MoveOnly>);
  static_assert(std::is_move_constructible_v<MoveOnly>);
}

// --------------------------------------------------------- arguments, results

TYPED_TEST(AutoAwaitTest, U01_ArgumentsAndResultsPassUnchanged) {
  InCompany<TypeParam>([] {
    TEST_NAMES;
    using Box = std::unique_ptr<int>;
    auto pass =
        AutoAwait([](Box box) -> typename Host::template Coroutine<Box> {
          co_await Host::Checkpoint();
          co_return box;
        });
    Box box = pass(std::make_unique<int>(7));
    EXPECT_EQ(*box, 7);

    // Reference parameters and results: nothing is copied. (Not every host's
    // own coroutines can return a reference.)
    auto select = AutoAwait([](Counted& a, Counted&) -> Co<Counted&> {
      co_await Host::Checkpoint();
      co_return a;
    });
    Counted a(1), b(2);
    static_assert(std::is_same_v<decltype(select(a, b)), Counted&>);
    EXPECT_EQ(&select(a, b), &a);
    EXPECT_EQ(Counted::live(), 2);

    // A temporary lives until the call returns.
    auto read = AutoAwait([](const std::string& text) -> Int {
      co_await Host::Checkpoint();
      co_return static_cast<int>(text.size());
    });
    EXPECT_EQ(read(std::string(100, 'x')), 100);

    // The function may return a reference to a foreign awaitable.
    Signal signal;
    auto wait = AutoAwait([&]() -> Signal& { return signal; });
    signal.Fire(5);
    EXPECT_EQ(wait(), 5);

    auto nothing = AutoAwait([]() -> Void { co_await Host::Checkpoint(); });
    static_assert(std::is_void_v<decltype(nothing())>);
    nothing();
  });
  EXPECT_EQ(Counted::live(), 0);
}

// An awaiter whose result is an rvalue reference to its own member.
struct Holds {
  std::string text = std::string(100, 'x');
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<>) { return false; }
  std::string&& await_resume() { return std::move(text); }
};

TYPED_TEST(AutoAwaitTest, R18_AnRvalueReferenceIsReturnedAsAValue) {
  InCompany<TypeParam>([] {
    auto hold = AutoAwait([] { return Holds(); });
    static_assert(std::is_same_v<decltype(hold()), std::string>);
    EXPECT_EQ(hold(), std::string(100, 'x'));
  });
}

#if defined(__cpp_exceptions)
TYPED_TEST(AutoAwaitTest, U01_ExceptionsPassUnchanged) {
  InCompany<TypeParam>([] {
    TEST_NAMES;
    struct Own {
      int value;
    };
    auto fail = AutoAwait([](int n, std::shared_ptr<Counted>) -> Int {
      co_await Host::Checkpoint();
      throw Own{n};
    });
    auto fail_at_once = AutoAwait([](int n) -> Int { throw Own{n}; });
    for (int i = 0; i < 3; ++i) {
      try {
        fail(i, std::make_shared<Counted>());
        FAIL() << "no exception";
      } catch (const Own& error) {
        EXPECT_EQ(error.value, i);
      }
      EXPECT_EQ(Counted::live(), 0);
      try {
        fail_at_once(i);
        FAIL() << "no exception";
      } catch (const Own& error) {
        EXPECT_EQ(error.value, i);
      }
    }
  });
}
#endif

// ------------------------------------------------------------ where it is used

TYPED_TEST(AutoAwaitTest, U01_ItMayBeAStdFunctionOrAComparator) {
  InCompany<TypeParam>([] {
    TEST_NAMES;
    std::function<int(int)> twice = AutoAwait(TestFixture::Twice);
    EXPECT_EQ(twice(2), 4);
    std::vector<int> numbers = {5, 1, 4, 2, 3};
    std::sort(numbers.begin(), numbers.end(),
              [&](int a, int b) { return twice(a) > twice(b); });
    EXPECT_THAT(numbers, ElementsAre(5, 4, 3, 2, 1));
    // Itself the comparator.
    std::sort(
        numbers.begin(), numbers.end(),
        AutoAwait([](int a, int b) -> typename Host::template Coroutine<bool> {
          co_return co_await TestFixture::Twice(a) <
              co_await TestFixture::Twice(b);
        }));
    EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 4, 5));
    std::transform(numbers.begin(), numbers.end(), numbers.begin(), twice);
    EXPECT_THAT(numbers, ElementsAre(2, 4, 6, 8, 10));
  });
}

TYPED_TEST(AutoAwaitTest, U01_ItMayBeAVisitor) {
  InCompany<TypeParam>([] {
    TEST_NAMES;
    struct Describe {
      typename TestFixture::Text operator()(int n) const {
        co_return "int " + std::to_string(co_await TestFixture::Twice(n));
      }
      typename TestFixture::Text operator()(const std::string& text) const {
        co_await Host::Checkpoint();
        co_return "text " + text;
      }
    };
    std::variant<int, std::string> value = 21;
    EXPECT_EQ(std::visit(AutoAwait(Describe()), value), "int 42");
    value = "seven";
    EXPECT_EQ(std::visit(AutoAwait(Describe()), value), "text seven");
  });
}

// A class whose special member functions await.
template <class Test>
class Account {
 public:
  explicit Account(int n, int* ended = nullptr)
      : value_(AutoAwait(Test::Twice)(n)), ended_(ended) {}
  ~Account() {
    if (ended_ != nullptr) *ended_ = AutoAwait(Test::Twice)(value_);
  }
  void set_value(int n) { value_ = twice_(n); }
  int value() const { return value_; }
  int operator[](int n) const { return twice_(n) + value_; }
  bool operator==(const Account& other) const {
    return twice_(value_) == twice_(other.value_);
  }
  explicit operator bool() const { return twice_(value_) != 0; }

 private:
  int value_;
  int* ended_;
  decltype(AutoAwait(Test::Twice)) twice_ = AutoAwait(Test::Twice);
};

TYPED_TEST(AutoAwaitTest,
           U01_ConstructorsOperatorsSettersAndDestructorsMayCallIt) {
  InCompany<TypeParam>([] {
    int ended = 0;
    {
      Account<TestFixture> account(3, &ended);
      EXPECT_EQ(account.value(), 6);
      account.set_value(4);
      EXPECT_EQ(account.value(), 8);
      EXPECT_EQ(account[1], 10);
      EXPECT_TRUE(account == Account<TestFixture>(4));
      EXPECT_TRUE(account);
    }
    EXPECT_EQ(ended, 16);
  });
}

#if defined(__cpp_exceptions)
TYPED_TEST(AutoAwaitTest, U01_ADestructorMayCallItWhileAnExceptionUnwinds) {
  InCompany<TypeParam>([] {
    int first = 0, second = 0;
    try {
      Account<TestFixture> outer(1, &first);
      Account<TestFixture> inner(2, &second);
      throw std::runtime_error("in flight");
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "in flight");
      EXPECT_EQ(first, 4);
      EXPECT_EQ(second, 8);
      // In the handler it works as well.
      EXPECT_EQ(AutoAwait(TestFixture::Twice)(1), 2);
      EXPECT_NE(std::current_exception(), nullptr);
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
}

// ---------------------------------------------------------------------- misuse

TYPED_TEST(AutoAwaitTest, U01_MisuseNamesThePlaceOfTheAutoAwait) {
  TEST_NAMES;
  const auto where = std::source_location::current();
  auto twice = AutoAwait(TestFixture::Twice);
  try {
    twice(1);
    FAIL() << "not refused";
  } catch (const PortalError& error) {
    EXPECT_EQ(error.reason(), PortalError::Reason::kNoTask);
    EXPECT_THAT(error.what(),
                HasSubstr(std::string(where.file_name()) + ":" +
                          std::to_string(where.line() + 1) + " ("));
  }
  Host::Run([&]() -> Void {
    EXPECT_THROW(twice(1), PortalError);
    (void)co_await Host::EnsurePortal();
    EXPECT_EQ(twice(1), 2);
  });
}
#else
TYPED_TEST(AutoAwaitTest, U01_MisuseDiesWithAMessage) {
  auto twice = AutoAwait(TestFixture::Twice);
  EXPECT_DEATH(twice(1), "greenback::Await at .*auto_await_test.cc");
}
#endif

}  // namespace
}  // namespace greenback
