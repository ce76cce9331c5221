#include "util/async_iter.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/hosts.h"
#include "tests/support/in_company.h"
#include "tests/support/test_awaitables.h"
#include "util/async_generator.h"

namespace other {

// A list whose iterator comes from an adapter.
struct Adapted {
  std::vector<int> values;
};
// A list whose iterator comes from a member function.
struct WithMember {
  std::vector<int> values;
  struct Iterator {
    const std::vector<int>& values;
    size_t position = 0;
    greenback::Co<const int*> Next() {
      co_return position < values.size() ? &values[position++] : nullptr;
    }
  };
  Iterator GetAsyncIterator() const { return Iterator{values}; }
};
// A list whose iterator comes from a function in its namespace. The iterator
// can be neither copied nor moved.
struct WithFunction {
  std::vector<int> values;
};
struct Pinned {
  explicit Pinned(const WithFunction& from) : iterator{from.values} {}
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  auto Next() { return iterator.Next(); }
  WithMember::Iterator iterator;
};
Pinned GetAsyncIterator(const WithFunction& iterable) {
  return Pinned(iterable);
}

}  // namespace other

namespace greenback {

template <>
struct AsyncIterableAdapter<other::Adapted> {
  static AsyncGenerator<int&> Adapt(other::Adapted& adapted) {
    for (int& value : adapted.values) co_yield value;
  }
};

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Ints = AsyncIter<AsyncGenerator<int>>;
static_assert(std::ranges::input_range<Ints>);
static_assert(!std::ranges::forward_range<Ints>);
static_assert(std::ranges::viewable_range<Ints>);
static_assert(std::ranges::viewable_range<Ints&>);
static_assert(!std::is_copy_constructible_v<Ints>);
static_assert(std::is_nothrow_destructible_v<Ints>);
static_assert(std::same_as<std::ranges::range_reference_t<Ints>, int&>);
static_assert(AsyncIterable<AsyncGenerator<int>>);
static_assert(AsyncIterable<AsyncGenerator<int>&>);
static_assert(AsyncIterable<const other::WithMember&>);
static_assert(!AsyncIterable<int>);
static_assert(!AsyncIterable<std::vector<int>>);

template <class Host>
class AsyncIterTest : public testing::Test {
 public:
  // Yields 0, 1, ... below `end`, with a checkpoint before each value. Counts
  // in `begun` the values that it begins.
  static AsyncGenerator<int> Upto(int end, int* begun = nullptr) {
    Counted counted;
    for (int i = 0; i < end; ++i) {
      if (begun != nullptr) ++*begun;
      co_await Host::Checkpoint();
      co_yield i;
    }
  }

  ~AsyncIterTest() override { EXPECT_EQ(Counted::live(), 0); }
};

TYPED_TEST_SUITE(AsyncIterTest, TestedHosts);

#define FIXTURE                                              \
  using Fixture [[maybe_unused]] = AsyncIterTest<TypeParam>; \
  using Host [[maybe_unused]] = TypeParam

TYPED_TEST(AsyncIterTest, U05_RangeForVisitsEachValue) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<int> seen;
    for (int i : AsyncIter(Fixture::Upto(4))) seen.push_back(i);
    EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3));
    EXPECT_EQ(Counted::live(), 0);
  });
}

TYPED_TEST(AsyncIterTest, U05_AnEmptyOneEndsAtOnce) {
  FIXTURE;
  InCompany<Host>([] {
    for (int i : AsyncIter(Fixture::Upto(0))) ADD_FAILURE() << i;
    auto iter = AsyncIter(Fixture::Upto(0));
    EXPECT_TRUE(iter.begin() == iter.end());
    EXPECT_TRUE(iter.begin() == iter.end());
    EXPECT_TRUE(std::ranges::distance(iter) == 0);
  });
}

TYPED_TEST(AsyncIterTest, U05_AlgorithmsTakeIt) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<int> copied;
    std::ranges::copy(AsyncIter(Fixture::Upto(3)), std::back_inserter(copied));
    EXPECT_THAT(copied, ElementsAre(0, 1, 2));
    auto iter = AsyncIter(Fixture::Upto(10));
    const auto four = std::ranges::find(iter, 4);
    EXPECT_FALSE(four == iter.end());
    EXPECT_EQ(*four, 4);
    EXPECT_EQ(std::ranges::count_if(iter, [](int i) { return i > 6; }), 3);
    EXPECT_EQ(std::ranges::distance(AsyncIter(Fixture::Upto(5))), 5);
    auto common = AsyncIter(Fixture::Upto(5)) | std::views::common;
    EXPECT_EQ(std::accumulate(common.begin(), common.end(), 0), 10);
  });
}

TYPED_TEST(AsyncIterTest, U05_ViewsTakeIt) {
  FIXTURE;
  InCompany<Host>([] {
    const auto odd = [](int i) { return i % 2 == 1; };
    const auto square = [](int i) { return i * i; };
    std::vector<int> seen;
    for (int i : AsyncIter(Fixture::Upto(100)) | std::views::filter(odd) |
                     std::views::transform(square) | std::views::take(3)) {
      seen.push_back(i);
    }
    EXPECT_THAT(seen, ElementsAre(1, 9, 25));
    EXPECT_EQ(Counted::live(), 0);

    seen.clear();
    int begun = 0;
    for (int i : AsyncIter(Fixture::Upto(100, &begun)) | std::views::take(3)) {
      seen.push_back(i);
    }
    EXPECT_THAT(seen, ElementsAre(0, 1, 2));
    EXPECT_EQ(begun, 3);  // no value after the last one

    auto iter = AsyncIter(Fixture::Upto(9));
    seen.clear();
    for (int i : iter | std::views::take(2)) seen.push_back(i);
    for (int i : iter | std::views::drop(2) | std::views::take(2)) {
      seen.push_back(i);
    }
    for (int i : iter | std::views::drop_while([](int i) { return i < 8; })) {
      seen.push_back(i);
    }
    EXPECT_THAT(seen, ElementsAre(0, 1, 4, 5, 8));
  });
}

TYPED_TEST(AsyncIterTest, U05_ReferencesAndMoveOnlyValuesPass) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<int> elements = {1, 2, 3};
    const auto each = [&elements]() -> AsyncGenerator<int&> {
      for (int& element : elements) co_yield element;
    };
    for (int& element : AsyncIter(each())) element *= 2;
    EXPECT_THAT(elements, ElementsAre(2, 4, 6));

    const auto pointers = []() -> AsyncGenerator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
      co_yield std::make_unique<int>(2);
    };
    std::vector<std::unique_ptr<int>> kept;
    for (std::unique_ptr<int>& pointer : AsyncIter(pointers())) {
      kept.push_back(std::move(pointer));
    }
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_EQ(*kept[1], 2);
  });
}

TYPED_TEST(AsyncIterTest, U05_ALoopContinuesWhereAnEarlierOneWasLeft) {
  FIXTURE;
  InCompany<Host>([] {
    AsyncGenerator<int> upto = Fixture::Upto(6);
    std::vector<int> seen;
    for (int i : AsyncIter(upto)) {
      seen.push_back(i);
      if (i == 1) break;
    }
    EXPECT_EQ(Counted::live(), 1);  // not closed: AsyncIter does not own it
    auto iter = AsyncIter(upto);
    EXPECT_FALSE(iter.begin() == iter.end());  // reads no value
    for (int i : iter) {
      seen.push_back(i);
      if (i == 3) break;
    }
    for (int i : iter) seen.push_back(i);
    EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5));
    for (int i : iter) ADD_FAILURE() << i;
  });
}

TYPED_TEST(AsyncIterTest, U05_AnIteratorMayBeDefinedElsewhere) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<int> seen;
    other::Adapted adapted{{1, 2}};
    for (int& i : AsyncIter(adapted)) i += 10;
    EXPECT_THAT(adapted.values, ElementsAre(11, 12));
    for (int i : AsyncIter(other::Adapted{{1, 2}})) seen.push_back(i);
    const other::WithMember with_member{{3, 4}};
    for (int i : AsyncIter(with_member)) seen.push_back(i);
    for (int i : AsyncIter(other::WithMember{{5}})) seen.push_back(i);
    for (int i : AsyncIter(other::WithFunction{{6, 7}})) seen.push_back(i);
    EXPECT_THAT(seen, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  });
}

// An iterator of the user's own, which counts its steps.
template <class Host>
struct Sensor {
  int steps = 0;
  int closed = 0;
  Co<std::optional<int>> Next() {
    co_await Host::Checkpoint();
    if (++steps > 3) co_return std::nullopt;
    co_return steps;
  }
  Co<absl::Status> Close() {
    ++closed;
    co_await Host::Checkpoint();
    co_return absl::UnavailableError("worn out");
  }
};
// An iterator that owns a Sensor, and lets the test look at it.
template <class Host>
struct OwnedSensor {
  std::shared_ptr<Sensor<Host>> sensor = std::make_shared<Sensor<Host>>();
  auto Next() { return sensor->Next(); }
  auto Close() { return sensor->Close(); }
};

TYPED_TEST(AsyncIterTest, U06_AnIteratorNeedsNoGenerator) {
  FIXTURE;
  InCompany<Host>([] {
    Sensor<Host> sensor;
    {
      auto iter = AsyncIter(sensor);
      for (int i : iter) EXPECT_LE(i, 3);
      EXPECT_EQ(sensor.steps, 4);
      for (int i : iter) ADD_FAILURE() << i;
      EXPECT_EQ(iter.Next(), std::nullopt);
      EXPECT_EQ(sensor.steps, 4);  // the end is remembered
      EXPECT_EQ(iter.Close().code(), absl::StatusCode::kUnavailable);
    }
    EXPECT_EQ(sensor.closed, 1);

    OwnedSensor<Host> owned;
    const std::shared_ptr<Sensor<Host>> seen = owned.sensor;
    testing::internal::CaptureStderr();
    for (int i : AsyncIter(std::move(owned))) {
      EXPECT_EQ(i, 1);
      break;
    }
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                HasSubstr("closing in the destructor failed: UNAVAILABLE: "
                          "worn out (call Close() to receive the error)"));
    EXPECT_EQ(seen->closed, 1);
  });
}

// Yields the sum of the values sent, and ends when it is over 10.
template <class Host>
AsyncGenerator<int, int> Sum() {
  Counted counted;
  int sum = 0;
  while (sum <= 10) {
    const std::optional<int> sent = co_yield sum;
    co_await Host::Checkpoint();
    sum += sent.value_or(1);
  }
}

TYPED_TEST(AsyncIterTest, U06_SendPassesAValueIn) {
  FIXTURE;
  InCompany<Host>([] {
    auto iter = AsyncIter(Sum<Host>());
    EXPECT_EQ(iter.Next(), 0);
    EXPECT_EQ(iter.Send(3), 3);
    EXPECT_EQ(iter.Next(), 4);
    EXPECT_EQ(iter.Send(7), std::nullopt);
    EXPECT_EQ(iter.Send(7), std::nullopt);
    EXPECT_EQ(iter.Next(), std::nullopt);
    iter.Close();
    for (int i : iter) ADD_FAILURE() << i;
  });
}

TYPED_TEST(AsyncIterTest, U06_ALoopMaySend) {
  FIXTURE;
  InCompany<Host>([] {
    auto iter = AsyncIter(Sum<Host>());
    std::vector<int> seen;
    for (int i : iter) {
      seen.push_back(i);
      if (i == 1) seen.push_back(*iter.Send(5));
    }
    EXPECT_THAT(seen, ElementsAre(0, 1, 6, 7, 8, 9, 10));
  });
}

TYPED_TEST(AsyncIterTest, U06_ItMayBeMovedBeforeAndAfterItsEnd) {
  FIXTURE;
  InCompany<Host>([] {
    auto iter = AsyncIter(Fixture::Upto(3));
    auto moved = std::move(iter);
    EXPECT_EQ(moved.Next(), 0);
    moved = AsyncIter(Fixture::Upto(2));  // closes the old one
    EXPECT_EQ(Counted::live(), 0);
    std::vector<int> seen;
    for (int i : moved) seen.push_back(i);
    EXPECT_THAT(seen, ElementsAre(0, 1));
    // What has been moved from is empty.
    // NOLINTNEXTLINE(bugprone-use-after-move)
    for (int i : iter) ADD_FAILURE() << i;
  });
}

TYPED_TEST(AsyncIterTest, U06_OutsideATaskItIsAnError) {
  FIXTURE;
  {
    auto untouched = AsyncIter(Fixture::Upto(3));
  }  // needs no task
#if defined(__cpp_exceptions)
  auto iter = AsyncIter(Fixture::Upto(3));
  EXPECT_THROW((void)(iter.begin() == iter.end()), PortalError);
#endif
}

// Cleanup in a destructor runs with and without exceptions.
TYPED_TEST(AsyncIterTest, U06_LeavingALoopCleansUp) {
  FIXTURE;
  InCompany<Host>([] {
    bool awaited = false;
    struct Cleanup {
      bool& awaited;
      ~Cleanup() {
        Await(Host::Checkpoint());
        awaited = true;
      }
    };
    const auto generate = [&awaited]() -> AsyncGenerator<int> {
      Cleanup cleanup{awaited};
      co_yield 1;
      co_yield 2;
    };
    for (int i : AsyncIter(generate())) {
      EXPECT_EQ(i, 1);
      break;
    }
    EXPECT_TRUE(awaited);
  });
}

TYPED_TEST(AsyncIterTest, R13_ManyValuesGrowNoStack) {
  FIXTURE;
  const auto many = []() -> AsyncGenerator<int> {
    for (int i = 0; i < 1'000'000; ++i) co_yield 1;
  };
  InCompany<Host>([&many] {
    int sum = 0;
    for (int i : AsyncIter(many())) sum += i;
    EXPECT_EQ(sum, 1'000'000);
  });
}

#if defined(__cpp_exceptions)

TYPED_TEST(AsyncIterTest, U05_AFailureHalfWayIsThrown) {
  FIXTURE;
  InCompany<Host>([] {
    const auto generate = []() -> AsyncGenerator<int> {
      Counted counted;
      co_yield 1;
      co_await Host::Checkpoint();
      throw std::runtime_error("half way");
    };
    auto iter = AsyncIter(generate());
    std::vector<int> seen;
    std::string what;
    try {
      for (int i : iter) seen.push_back(i);
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_THAT(seen, ElementsAre(1));
    EXPECT_EQ(what, "half way");
    for (int i : iter) ADD_FAILURE() << i;
  });
}

// Yields 1, 2, ...; after an error of the consumer, -1 and the end. Logs when
// it is closed.
template <class Host>
AsyncGenerator<int> Talkative(std::vector<std::string>& log) {
  Counted counted;
  bool closed = false;
  for (int i = 1; !closed; ++i) {
    bool failed = false;
    try {
      co_yield i;
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
      failed = true;
    } catch (const GeneratorExit&) {
      closed = true;
    }
    if (failed) {
      co_yield -1;
      co_return;
    }
  }
  co_await Host::Checkpoint();
  log.push_back("closed");
}

TYPED_TEST(AsyncIterTest, U06_ThrowPassesAnExceptionIn) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<std::string> log;
    auto caught = AsyncIter(Talkative<Host>(log));
    EXPECT_EQ(caught.Next(), 1);
    EXPECT_EQ(caught.Throw(std::runtime_error("an error")), -1);
    EXPECT_EQ(caught.Next(), std::nullopt);
    EXPECT_EQ(caught.Throw(std::runtime_error("late")), std::nullopt);
    EXPECT_THAT(log, ElementsAre("an error"));

    auto passed_on = AsyncIter(Fixture::Upto(3));
    EXPECT_EQ(passed_on.Next(), 0);
    EXPECT_THROW(
        passed_on.Throw(std::make_exception_ptr(std::logic_error("no"))),
        std::logic_error);
    EXPECT_EQ(passed_on.Next(), std::nullopt);
  });
}

TYPED_TEST(AsyncIterTest, U06_CloseRunsItsCleanup) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<std::string> log;
    auto iter = AsyncIter(Talkative<Host>(log));
    EXPECT_EQ(iter.Next(), 1);
    iter.Close();
    EXPECT_THAT(log, ElementsAre("closed"));
    EXPECT_EQ(iter.Next(), std::nullopt);
    iter.Close();
    for (int i : iter) ADD_FAILURE() << i;
    // Before the first value, Close() runs nothing.
    AsyncIter(Talkative<Host>(log)).Close();
    EXPECT_THAT(log, ElementsAre("closed"));
  });
}

TYPED_TEST(AsyncIterTest, U06_LeavingALoopClosesAGenerator) {
  FIXTURE;
  InCompany<Host>([] {
    std::vector<std::string> log;
    for (int i : AsyncIter(Talkative<Host>(log))) {
      if (i == 2) break;
    }
    EXPECT_THAT(log, ElementsAre("closed"));
    log.clear();
    for (int i : AsyncIter(Talkative<Host>(log)) | std::views::take(2)) {
      EXPECT_LE(i, 2);
    }
    EXPECT_THAT(log, ElementsAre("closed"));
    log.clear();
    try {
      for (int i : AsyncIter(Talkative<Host>(log))) {
        if (i == 2) throw std::runtime_error("of the loop");
      }
    } catch (const std::runtime_error& error) {
      log.push_back(error.what());
    }
    EXPECT_THAT(log, ElementsAre("closed", "of the loop"));
    log.clear();
    AsyncGenerator<int> referenced = Talkative<Host>(log);
    for (int i : AsyncIter(referenced)) {
      if (i == 2) break;
    }
    EXPECT_THAT(log, IsEmpty());
  });
}

template <class Host>
AsyncGenerator<int> CannotBeClosed() {
  Counted counted;
  try {
    co_yield 1;
  } catch (const GeneratorExit&) {
    throw std::runtime_error("cannot be closed");
  }
}

TYPED_TEST(AsyncIterTest, U06_CloseThrowsWhatItsCleanupThrows) {
  FIXTURE;
  InCompany<Host>([] {
    auto iter = AsyncIter(CannotBeClosed<Host>());
    EXPECT_EQ(iter.Next(), 1);
    EXPECT_THROW(iter.Close(), std::runtime_error);
    EXPECT_EQ(iter.Next(), std::nullopt);

    testing::internal::CaptureStderr();
    for (int i : AsyncIter(CannotBeClosed<Host>())) {
      EXPECT_EQ(i, 1);
      break;
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "greenback::AsyncIter: closing in the destructor failed: cannot "
              "be closed (call Close() to receive the error)\n");

    testing::internal::CaptureStderr();
    std::string what;
    try {
      for (int i : AsyncIter(CannotBeClosed<Host>())) {
        EXPECT_EQ(i, 1);
        throw std::runtime_error("of the loop");
      }
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "of the loop");
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                HasSubstr("cannot be closed"));
  });
}

TYPED_TEST(AsyncIterTest, U06_ClosingWithoutAPortalIsReported) {
  FIXTURE;
  std::vector<std::string> log;
  std::optional<AsyncIter<AsyncGenerator<int>>> iter;
  InCompany<Host>([&] {
    iter.emplace(Talkative<Host>(log));
    EXPECT_EQ(iter->Next(), 1);
  });
  testing::internal::CaptureStderr();
  iter.reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("closing in the destructor failed: "
                        "FAILED_PRECONDITION"));
  EXPECT_THAT(log, IsEmpty());
}

#endif  // defined(__cpp_exceptions)

}  // namespace
}  // namespace greenback
