#include "greenback/from_callback.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/owned_coroutine.h"
#include "tests/support/run_nursery.h"
#include "tests/support/test_awaitables.h"
#include "tests/support/worker.h"

namespace greenback {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Runs `body`, a plain function, in a task with a portal.
template <class Body>
void InPortal(Body body) {
  greenback::Run(
      [&]() -> Co<void> { co_await WithPortalRunSync(std::ref(body)); });
}

// Another library: keeps callbacks until they are fired, on the thread that
// calls Fire().
template <class... Args>
class Library {
 public:
  using Function = std::function<void(Args...)>;

  int Begin(Function done) {
    pending_.push_back(std::move(done));
    return static_cast<int>(pending_.size()) - 1;
  }
  // Calls the callback and keeps it.
  template <class... Given>
  void Fire(int ticket, Given&&... args) {
    pending_[ticket](std::forward<Given>(args)...);
  }
  // Destroys it.
  void Drop(int ticket) { pending_[ticket] = nullptr; }
  int begun() const { return static_cast<int>(pending_.size()); }

 private:
  std::deque<Function> pending_;
};

// Spends a moment that the optimiser does not remove.
void Dawdle(int steps) {
  for (int i = 0; i < steps; ++i) asm volatile("");
}

TEST(FromCallbackTest, CoroutinesAndSynchronousCodeMayAwaitIt) {
  Library<int> library;
  const auto ask = [&] {
    return FromCallback<int>([&](auto done) { library.Begin(done); });
  };
  int natively = 0;
  int synchronously = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> { natively = co_await ask(); });
    nursery.StartSoon([&]() -> Co<void> {
      co_await WithPortalRunSync([&] { synchronously = Await(ask()); });
    });
    (void)co_await Checkpoint();
    EXPECT_EQ(library.begun(), 2);
    library.Fire(0, 7);
    library.Fire(1, 8);
    EXPECT_EQ(natively, 0) << "resumed inside the callback";
    (void)co_await Checkpoint();
    EXPECT_EQ(natively, 7);
    EXPECT_EQ(synchronously, 8);
  });
}

TEST(FromCallbackTest, StartsWhenAwaited) {
  int started = 0;
  greenback::Run([&]() -> Co<void> {
    auto operation = FromCallback([&](auto done) {
      ++started;
      done();
    });
    EXPECT_EQ(started, 0);
    co_await std::move(operation);
    EXPECT_EQ(started, 1);
    (void)FromCallback([&](auto) { ++started; });
    EXPECT_EQ(started, 1);
  });
}

TEST(FromCallbackTest, ACallInsideStartMakesNoSwitch) {
  bool finished = false;
  bool others_ran = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      others_ran = true;
      while (!finished) (void)co_await Checkpoint();
    });
    const auto at_once = [] {
      return FromCallback<int>([](std::function<void(int)> done) { done(7); });
    };
    EXPECT_EQ(co_await at_once(), 7);
    co_await WithPortalRunSync([&] {
      const uint64_t before = internal::Loop::Current()->switch_count();
      EXPECT_EQ(Await(at_once()), 7);
      EXPECT_EQ(internal::Loop::Current()->switch_count(), before);
    });
    EXPECT_FALSE(others_ran);
    finished = true;
  });
}

TEST(FromCallbackTest, ResultsMayBeVoidAggregatesOrMoveOnly) {
  InPortal([] {
    // No result.
    Await(FromCallback([](std::function<void()> done) { done(); }));

    // Several arguments, converted.
    const auto [code, text] = Await(FromCallback<std::pair<int, std::string>>(
        [](std::function<void(short, const char*)> done) { done(4, "four"); }));
    EXPECT_EQ(code, 4);
    EXPECT_EQ(text, "four");

    // An aggregate.
    struct Read {
      int error;
      size_t bytes;
    };
    const Read read = Await(FromCallback<Read>(
        [](std::function<void(int, size_t)> done) { done(0, 512); }));
    EXPECT_EQ(read.error, 0);
    EXPECT_EQ(read.bytes, 512u);

    // Move-only, through a std::function, which can only hold what is copyable.
    const std::unique_ptr<int> owned = Await(FromCallback<std::unique_ptr<int>>(
        [](std::function<void(std::unique_ptr<int>)> done) {
          done(std::make_unique<int>(9));
        }));
    EXPECT_EQ(*owned, 9);

    // A value or a failure.
    const absl::StatusOr<int> failed = Await(FromCallback<absl::StatusOr<int>>(
        [](auto done) { done(absl::NotFoundError("nothing there")); }));
    EXPECT_EQ(failed.status().message(), "nothing there");
  });
}

// The example of the header.
struct Page {
  std::string text;
};
Library<int, Page> pages;
int fetch(int id, std::function<void(int error, Page page)> done) {
  return pages.Begin([id, done](int error, Page page) {
    page.text += std::to_string(id);
    done(error, std::move(page));
  });
}
void cancel_fetch(int ticket) { pages.Fire(ticket, ECANCELED, Page()); }

auto Fetch(int id) {
  auto ticket = std::make_shared<int>();
  return greenback::FromCallback<absl::StatusOr<Page>>(
      [=](auto done) {
        *ticket = fetch(id, [done](int error, Page page) {
          if (error != 0) return done(absl::UnavailableError("fetch"));
          done(std::move(page));
        });
      },
      [=] { cancel_fetch(*ticket); });
}

TEST(FromCallbackTest, TheExampleOfTheHeaderWorks) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([]() -> Co<void> {
      absl::StatusOr<Page> page = co_await Fetch(7);
      EXPECT_EQ(page->text, "page 7");
      page = co_await Fetch(8);
      EXPECT_EQ(page.status().message(), "fetch");
    });
    nursery.StartSoon([]() -> Co<void> {
      co_await WithPortalRunSync([] {
        absl::StatusOr<Page> page = greenback::Await(Fetch(9));
        EXPECT_EQ(page.status().message(), "fetch");
      });
    });
    (void)co_await Checkpoint();
    pages.Fire(0, 0, Page{"page "});
    (void)co_await Checkpoint();
    nursery.cancel_scope().Cancel();
  });
}

// int c_read(int fd, void (*done)(void* user, int bytes), void* user)
void (*c_done)(void*, int) = nullptr;
void* c_user = nullptr;
void CRead(void (*done)(void*, int), void* user) {
  c_done = done;
  c_user = user;
}

TEST(FromCallbackTest, ACLibraryMayKeepDoneBehindAPointer) {
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([]() -> Co<void> {
      const int bytes = co_await FromCallback<int>([](auto done) {
        using Done = decltype(done);
        CRead(
            [](void* user, int bytes) {
              (*std::unique_ptr<Done>(static_cast<Done*>(user)))(bytes);
            },
            new Done(done));
      });
      EXPECT_EQ(bytes, 512);
    });
    (void)co_await Checkpoint();
    c_done(c_user, 512);
  });
}

struct Question {
  Library<int>* library;
};

}  // namespace

template <>
struct AwaitableAdapter<Question> {
  static auto Adapt(Question&& question) {
    return FromCallback<int>([library = question.library](auto done) {
      library->Fire(library->Begin(done), 42);
    });
  }
};

namespace {

TEST(FromCallbackTest, AdaptersAndWithPortalRunMayReturnOne) {
  Library<int> library;
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(co_await Question{&library}, 42);
    EXPECT_EQ(co_await WithPortalRun([&] {
                return FromCallback<int>([](auto done) { done(43); });
              }),
              43);
    co_await WithPortalRunSync(
        [&] { EXPECT_EQ(Await(Question{&library}), 42); });
  });
}

TEST(FromCallbackTest, TheFirstCallCounts) {
  Library<int> library;
  InPortal([&] {
    EXPECT_EQ(Await(FromCallback<int>([&](auto done) {
                library.Begin(done);
                library.Begin(done);
                library.Fire(1, 1);
                library.Fire(0, 2);
                library.Fire(1, 3);
              })),
              1);
    library.Fire(0, 4);
  });
  library.Fire(1, 5);  // nothing waits any more
}

TEST(FromCallbackTest, AMovedFromCallbackDoesNothing) {
  InPortal([&] {
    EXPECT_EQ(Await(FromCallback<int>([&](auto done) {
                auto moved = std::move(done);
                done(1);  // NOLINT(bugprone-use-after-move): this is tested
                done = moved;
                moved(2);
              })),
              2);
  });
}

TEST(FromCallbackTest, ADropIsAbortedWhereTheResultCarriesAStatus) {
  Library<absl::StatusOr<int>> library;
  Library<absl::Status> statuses;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      const absl::StatusOr<int> result =
          co_await FromCallback<absl::StatusOr<int>>(
              [&](auto done) { library.Begin(done); });
      EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted);
      EXPECT_THAT(std::string(result.status().message()),
                  AllOf(HasSubstr("from_callback_test.cc:"),
                        HasSubstr("none was called")));
    });
    nursery.StartSoon([&]() -> Co<void> {
      co_await WithPortalRunSync([&] {
        EXPECT_EQ(Await(FromCallback<absl::Status>([&](auto done) {
                    statuses.Begin(done);
                  })).code(),
                  absl::StatusCode::kAborted);
      });
    });
    (void)co_await Checkpoint();
    library.Drop(0);
    statuses.Drop(0);
  });
  // The last copy is destroyed inside `start`.
  InPortal([] {
    EXPECT_EQ(Await(FromCallback<absl::Status>([](auto) {})).code(),
              absl::StatusCode::kAborted);
  });
}

TEST(FromCallbackTest, ADropAfterACallDoesNothing) {
  Library<int> library;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(
          co_await FromCallback<int>([&](auto done) { library.Begin(done); }),
          7);
    });
    (void)co_await Checkpoint();
    library.Fire(0, 7);
    library.Drop(0);
  });
}

#if defined(__cpp_exceptions)

TEST(FromCallbackTest, ADropThrowsWhereTheResultCarriesNoStatus) {
  Library<int> library;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      try {
        (void)co_await FromCallback<int>(
            [&](auto done) { library.Begin(done); });
        ADD_FAILURE() << "nothing was thrown";
      } catch (const CallbackDropped& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("from_callback_test.cc:"),
                                        HasSubstr("none was called")));
      }
    });
    (void)co_await Checkpoint();
    library.Drop(0);
  });
  InPortal(
      [] { EXPECT_THROW(Await(FromCallback([](auto) {})), CallbackDropped); });
}

TEST(FromCallbackTest, AnExceptionOfStartPropagates) {
  Library<int> library;
  const auto fail = [&] {
    return FromCallback<int>([&](auto done) {
      library.Begin(done);
      throw std::out_of_range("start");
    });
  };
  greenback::Run([&]() -> Co<void> {
    bool caught = false;
    try {
      (void)co_await fail();
    } catch (const std::out_of_range&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    co_await WithPortalRunSync(
        [&] { EXPECT_THROW(Await(fail()), std::out_of_range); });
    library.Fire(0, 1);
  });
  library.Fire(1, 2);
}

struct Picky {
  explicit Picky(int value) {
    if (value < 0) throw std::domain_error("negative");
  }
};

TEST(FromCallbackTest, AnExceptionOfMakingTheResultPropagates) {
  Library<int> library;
  bool caught = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      try {
        (void)co_await FromCallback<Picky>(
            [&](auto done) { library.Begin(done); });
      } catch (const std::domain_error&) {
        caught = true;
      }
    });
    (void)co_await Checkpoint();
    library.Fire(0, -1);  // throws nothing here
    (void)co_await Checkpoint();
    EXPECT_TRUE(caught);
  });
}

TEST(FromCallbackTest, AwaitingTwiceIsRefused) {
  InPortal([] {
    auto operation = FromCallback<int>([](auto done) { done(1); });
    EXPECT_EQ(Await(operation), 1);
    EXPECT_THROW(Await(operation), AwaitableError);
  });
}

TEST(FromCallbackTest, R44_AwaitingOneAwaiterTwiceIsRefused) {
  InPortal([] {
    auto operation = FromCallback<int>([](auto done) { done(1); });
    auto awaiter = operation.operator co_await();
    EXPECT_EQ(Await(awaiter), 1);
    EXPECT_THROW(Await(awaiter), AwaitableError);
  });
}

#else

TEST(FromCallbackDeathTest, ADropDiesWithTheText) {
  EXPECT_DEATH(InPortal([] { Await(FromCallback([](auto) {})); }),
               "from_callback_test.cc:.*none was called");
}

#endif

TEST(FromCallbackTest, ACoroutineOfAnotherLibraryResumesInsideDone) {
  Library<int> library;
  int result = 0;
  const auto body = [&]() -> OwnedCoroutine {
    result = co_await FromCallback<int>([&](auto done) { library.Begin(done); },
                                        [] { FAIL() << "cancelled"; });
  };
  OwnedCoroutine foreign = body();
  EXPECT_EQ(result, 0);
  library.Fire(0, 7);
  EXPECT_EQ(result, 7);  // inside Fire()
}

TEST(FromCallbackTest, AWaitingCoroutineMayBeDestroyed) {
  const int live = Counted::live();
  Library<int> library;
  {
    const auto body = [&](Counted) -> OwnedCoroutine {
      (void)co_await FromCallback<Counted>(
          [&](auto done) { library.Begin(done); });
      ADD_FAILURE() << "continued";
    };
    for (int i = 0; i < 2; ++i) body(Counted()).Destroy();
    EXPECT_EQ(Counted::live(), live);
    library.Fire(0, 7);
    EXPECT_EQ(Counted::live(), live + 1) << "the result, which was not taken";
    library.Drop(0);
    library.Drop(1);
    EXPECT_EQ(Counted::live(), live);
  }
  // Co, outside any task.
  {
    std::optional<Co<void>> co([](Library<int>& library) -> Co<void> {
      (void)co_await FromCallback<int>([&](auto done) { library.Begin(done); });
      ADD_FAILURE() << "continued";
    }(library));
    const auto begin = [&]() -> OwnedCoroutine { co_await *co; };
    OwnedCoroutine foreign = begin();
    EXPECT_EQ(library.begun(), 3);
    foreign.Destroy();
    co.reset();
    library.Fire(2, 7);
  }
}

TEST(FromCallbackTest, ResultsAreMovedAndDestroyed) {
  const int live = Counted::live();
  Library<int> library;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      const Counted result = co_await FromCallback<Counted>(
          [&](auto done) { library.Begin(done); });
      EXPECT_EQ(result.value, 7);
    });
    (void)co_await Checkpoint();
    library.Fire(0, 7);
  });
  library.Drop(0);
  EXPECT_EQ(Counted::live(), live);
}

TEST(FromCallbackTest, StartIsKeptUntilTheEnd) {
  Library<> library;
  const std::string* buffer = nullptr;
  // Not inside a co_await: there g++ 12 destroys twice what a lambda owns.
  const auto operation = [&] {
    return FromCallback([&, own = std::string(100, 'x')](auto done) {
      buffer = &own;
      library.Begin(done);
    });
  };
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> { co_await operation(); });
    (void)co_await Checkpoint();
    EXPECT_EQ(*buffer, std::string(100, 'x'));
    library.Fire(0);
  });
}

// An operation that can be cancelled, and its log.
struct Operation {
  Library<absl::Status> library;
  std::vector<std::string> log;
  bool answers = true;  // whether `cancel` completes it at once

  auto operator()() {
    return FromCallback<absl::Status>(
        [this](auto done) {
          library.Begin(done);
          log.push_back("start");
        },
        [this] {
          log.push_back("cancel");
          if (answers) library.Fire(0, absl::CancelledError("by the library"));
        });
  }
};

TEST(FromCallbackTest, CancelIsCalledWhenTheTaskIsCancelled) {
  for (const bool synchronously : {false, true}) {
    Operation operation;
    absl::Status status;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        if (synchronously) {
          co_await WithPortalRunSync([&] { status = Await(operation()); });
        } else {
          status = co_await operation();
        }
      });
      (void)co_await Checkpoint();
      EXPECT_THAT(operation.log, ElementsAre("start"));
      nursery.cancel_scope().Cancel();
      nursery.cancel_scope().Cancel();
      EXPECT_THAT(operation.log, ElementsAre("start", "cancel"));
    });
    EXPECT_EQ(status.message(), "by the library");
    EXPECT_THAT(operation.log, ElementsAre("start", "cancel"));
  }
}

TEST(FromCallbackTest, CancelIsCalledAfterStartWhenCancelledBefore) {
  for (const bool answers : {false, true}) {
    Operation operation;
    operation.answers = answers;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        CancelScope scope;
        scope.Cancel();
        const absl::Status status = co_await operation();
        EXPECT_EQ(status.message(), answers ? "by the library" : "later");
      });
      (void)co_await Checkpoint();
      EXPECT_THAT(operation.log, ElementsAre("start", "cancel"));
      operation.library.Fire(0, absl::UnknownError("later"));
    });
  }
}

TEST(FromCallbackTest, CancelIsNotCalledOnceItIsDone) {
  Operation operation;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_TRUE((co_await operation()).ok());
      // `done` is called inside `start`, in a task that is cancelled.
      CancelScope scope;
      scope.Cancel();
      co_await FromCallback([](auto done) { done(); },
                            [] { ADD_FAILURE() << "cancelled"; });
    });
    (void)co_await Checkpoint();
    operation.library.Fire(0, absl::OkStatus());
    nursery.cancel_scope().Cancel();  // before the task resumes
  });
  EXPECT_THAT(operation.log, ElementsAre("start"));
}

TEST(FromCallbackTest, CancelIsNotCalledAfterTheWait) {
  Operation operation;
  greenback::Run([&]() -> Co<void> {
    CancelScope scope;
    co_await WithPortalRunSync([&] {
      Await(FromCallback([](auto done) { done(); },
                         [&] { operation.log.push_back("cancel"); }));
    });
    scope.Cancel();
  });
  EXPECT_THAT(operation.log, ElementsAre());
}

TEST(FromCallbackTest, WithoutCancelTheWaitContinues) {
  Library<int> library;
  bool finished = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      EXPECT_EQ(
          co_await FromCallback<int>([&](auto done) { library.Begin(done); }),
          7);
      finished = true;
    });
    (void)co_await Checkpoint();
    nursery.cancel_scope().Cancel();
    for (int i = 0; i < 3; ++i) (void)co_await CancelShieldedCheckpoint();
    EXPECT_FALSE(finished);
    library.Fire(0, 7);
  });
  EXPECT_TRUE(finished);
}

TEST(FromCallbackTest, ADropByCancelIsCancelled) {
  Library<absl::Status> library;
  MockClock clock;
  RunOptions options;
  options.clock = &clock;
  greenback::Run(options, [&]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Hours(1));
    const absl::Status status = co_await FromCallback<absl::Status>(
        [&](auto done) { library.Begin(done); }, [&] { library.Drop(0); });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST(FromCallbackTest, AwaitIsRefusedInCancel) {
  Library<> library;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      co_await FromCallback(
          [&](auto done) { library.Begin(done); },
          [&] {
            const absl::Status awaited = TryAwait(Checkpoint());
            EXPECT_EQ(awaited.code(), absl::StatusCode::kFailedPrecondition);
            EXPECT_THAT(std::string(awaited.message()),
                        HasSubstr("from_callback_test.cc:"));
            library.Fire(0);
          });
    });
    (void)co_await EnsurePortal();
    nursery.cancel_scope().Cancel();
    co_await WithPortalRunSync([] { (void)Await(Checkpoint()); });
  });
}

#if defined(__cpp_exceptions)
TEST(FromCallbackDeathTest, CancelMustNotThrow) {
  EXPECT_DEATH(greenback::Run([]() -> Co<void> {
                 CancelScope scope;
                 scope.Cancel();
                 Library<> library;
                 co_await FromCallback([&](auto done) { library.Begin(done); },
                                       [] { throw std::out_of_range("no"); });
               }),
               "");
}
#endif

TEST(FromCallbackTest, DoneMayBeCalledOnAnotherThread) {
  InPortal([] {
    Worker worker;
    const std::thread::id home = std::this_thread::get_id();
    std::thread::id called_on;
    Await(FromCallback([&](auto done) {
      worker.Post([&called_on, done] {
        called_on = std::this_thread::get_id();
        done();
      });
    }));
    EXPECT_EQ(called_on, worker.id());
    EXPECT_EQ(std::this_thread::get_id(), home);
  });
}

TEST(FromCallbackTest, DoneMayBeDroppedOnAnotherThread) {
  InPortal([] {
    Worker worker;
    const absl::Status status = Await(
        FromCallback<absl::Status>([&](auto done) { worker.Post([done] {}); }));
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  });
}

TEST(FromCallbackTest, CancelIsCalledOnTheTasksThread) {
  Worker worker;
  const std::thread::id home = std::this_thread::get_id();
  std::function<void(absl::Status)> pending;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      const absl::Status status = co_await FromCallback<absl::Status>(
          [&](auto done) { pending = done; },
          [&] {
            EXPECT_EQ(std::this_thread::get_id(), home);
            worker.Post([&] { pending(absl::CancelledError("worker")); });
          });
      EXPECT_EQ(status.message(), "worker");
      EXPECT_EQ(std::this_thread::get_id(), home);
    });
    (void)co_await Checkpoint();
    nursery.cancel_scope().Cancel();
  });
}

// How an operation ends in the rounds below.
using Ending = std::function<void(std::function<void(int)> done)>;

// Rounds of two operations, each of which ends on another thread at some moment
// around the wait: before it, in the middle of suspending, or when the waiting
// thread has been asleep for a while. Returns how many were called; the others
// were dropped.
int Rounds(int rounds, const Ending& ending) {
  std::atomic<std::function<void(int)>*> slot{nullptr};
  std::atomic<bool> over{false};
  std::thread other([&] {
    for (int round = 0; !over.load(std::memory_order_acquire);) {
      auto* const done = slot.exchange(nullptr, std::memory_order_acq_rel);
      if (done == nullptr) {
        std::this_thread::yield();
        continue;
      }
      Dawdle(round++ * 7 % 1500);
      std::function<void(int)> owned = std::move(*done);
      delete done;
      ending(std::move(owned));
    }
  });
  const auto operation = [&](int dawdle) {
    return FromCallback<absl::StatusOr<int>>([&slot, dawdle](auto done) {
      slot.store(new std::function<void(int)>(std::move(done)),
                 std::memory_order_release);
      Dawdle(dawdle);
    });
  };
  int called = 0;
  const auto check = [&](const absl::StatusOr<int>& result) {
    if (result.ok()) {
      EXPECT_EQ(*result, 7);
      ++called;
    } else {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted);
    }
  };
  bool finished = false;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    nursery.StartSoon([&]() -> Co<void> {
      for (int i = 0; i < rounds; ++i) {
        check(co_await operation(i * 11 % 1500));
        co_await WithPortalRunSync(
            [&] { check(Await(operation(i * 13 % 1500))); });
      }
      finished = true;
    });
    // For a part of the time, this keeps the loop awake.
    for (int i = 0; i < rounds && !finished; ++i) (void)co_await Checkpoint();
  });
  over.store(true, std::memory_order_release);
  other.join();
  return called;
}

constexpr int kRounds = 15'000;

TEST(FromCallbackStressTest, DoneMayBeCalledAtAnyMoment) {
  EXPECT_EQ(Rounds(kRounds, [](std::function<void(int)> done) { done(7); }),
            2 * kRounds);
}

TEST(FromCallbackStressTest, DoneMayBeDroppedAtAnyMoment) {
  EXPECT_EQ(Rounds(kRounds, [](std::function<void(int)>) {}), 0);
}

TEST(FromCallbackStressTest, TwoThreadsMayCallOrDropAtTheSameTime) {
  Worker second;
  int round = 0;
  const int called = Rounds(kRounds / 3, [&](std::function<void(int)> done) {
    const int kind = ++round % 4;
    second.Post([done, kind] {
      if (kind == 0 || kind == 1) done(7);
    });
    if (kind == 0 || kind == 2) done(7);
  });
  EXPECT_EQ(called, kRounds / 3 * 2 * 3 / 4);
}

TEST(FromCallbackStressTest, TheTaskMayBeCancelledAtAnyMoment) {
  // The worker completes the operation by itself, and once more when cancelled.
  Worker worker;
  for (int i = 0; i < 5'000; ++i) {
    std::function<void(absl::Status)> pending;
    RunNurseryOk([&](Nursery& nursery) -> Co<void> {
      nursery.StartSoon([&]() -> Co<void> {
        const absl::Status status = co_await FromCallback<absl::Status>(
            [&](std::function<void(absl::Status)> done) {
              pending = done;
              worker.Post([done = std::move(done), i] {
                Dawdle(i * 7 % 1500);
                if (i % 3 != 0) done(absl::OkStatus());
              });
            },
            [&] {
              std::function<void(absl::Status)> done = std::move(pending);
              if (i % 2 == 0) done(absl::CancelledError());
            });
        EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
      });
      (void)co_await Checkpoint();
      Dawdle(i * 11 % 1500);
      nursery.cancel_scope().Cancel();
    });
  }
}

}  // namespace
}  // namespace greenback
