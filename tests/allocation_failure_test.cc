// Memory may run out at any allocation that greenback makes: the result is an
// error where it happened, and nothing is left behind. Each test is a program
// that uses one part of greenback; see allocation_failures.h.

#include <coroutine>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "instrument/greenback_instrument.h"
#include "tests/allocation_failures.h"
#include "tests/support/test_awaitables.h"
#include "util/async_generator.h"
#include "util/async_iter.h"
#include "util/greenback_util.h"

namespace greenback {
namespace {

// Longer than what a std::string holds without an allocation.
std::string LongText(char letter = 'x') { return std::string(100, letter); }

// ------------------------------------------------------- tasks and cancelling

TEST(AllocationFailureTest, R33_NurseriesSurviveIt) {
  FailEachAllocation([] {
    int ended = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 5; ++i) {
          nursery.StartSoon(
              [&ended](Counted counted) -> Co<void> {
                const Counted local(counted.value);
                (void)co_await Sleep(absl::Microseconds(counted.value));
                ++ended;
              },
              Counted(i));
        }
        nursery.StartSoon([&ended]() -> Co<void> {
          (void)co_await OpenNursery([&ended](Nursery& inner) -> Co<void> {
            inner.StartSoon([&ended]() -> Co<absl::Status> {
              absl::Status status = co_await Checkpoint();
              ++ended;
              co_return status;
            });
            inner.StartSoon([]() -> Co<void> { (void)co_await SleepForever(); })
                .set_name(LongText());
            (void)co_await Checkpoint();
            (void)co_await Checkpoint();
            inner.cancel_scope().Cancel();
          });
        });
        (void)nursery.child_tasks();
        (void)CurrentTask().child_nurseries();
        (void)co_await Sleep(absl::Microseconds(1));
      });
    });
    GREENBACK_EXPECT_DONE(ended == 6);
  });
}

Co<absl::Status> Serve(TaskStatus<std::string> status, int& stopped, Counted) {
  (void)co_await Checkpoint();
  status.Started(LongText());
  (void)co_await SleepForever();
  ++stopped;
  co_return absl::OkStatus();
}

TEST(AllocationFailureTest, R33_StartSurvivesIt) {
  FailEachAllocation([] {
    int started = 0;
    int stopped = 0;
    const absl::Status status = greenback::Run([&]() -> Co<absl::Status> {
      co_return co_await OpenNursery([&](Nursery& nursery) -> Co<absl::Status> {
        for (int i = 0; i < 2; ++i) {
          absl::StatusOr<std::string> text =
              co_await nursery.Start<std::string>(Serve, std::ref(stopped),
                                                  Counted());
          if (!text.ok()) co_return text.status();
          if (*text == LongText()) ++started;
        }
        absl::Status ended_early = co_await nursery.Start<>(
            [](TaskStatus<>) -> Co<void> { co_return; });
        if (!absl::IsFailedPrecondition(ended_early)) co_return ended_early;
        nursery.cancel_scope().Cancel();
        co_return absl::OkStatus();
      });
    });
    GREENBACK_EXPECT_DONE(status.ok());
    GREENBACK_EXPECT_DONE(started == 2 && stopped == 2);
  });
}

TEST(AllocationFailureTest, R33_CancelScopesSurviveIt) {
  FailEachAllocation([] {
    int cancelled = 0;
    greenback::Run([&]() -> Co<void> {
      {
        CancelScope outer = MoveOnAfter(absl::Hours(1));
        CancelScope inner = MoveOnAfter(absl::Microseconds(10));
        if (absl::IsCancelled(co_await Sleep(absl::Hours(1)))) ++cancelled;
        inner.set_deadline(absl::InfinitePast());
        outer.set_deadline(CurrentTime() + absl::Hours(2));
        outer.set_deadline(CurrentTime() + absl::Hours(3));
      }
      {
        FailScope scope = FailAfter(absl::Microseconds(10));
        absl::Status status = scope.Check(co_await SleepForever());
        if (absl::IsDeadlineExceeded(status)) ++cancelled;
      }
      CancelScope scope;
      scope.Cancel();
      if (absl::IsCancelled(co_await Checkpoint())) ++cancelled;
      if (absl::IsCancelled(co_await CheckpointIfCancelled())) ++cancelled;
      CancelScope shield;
      shield.set_shield(true);
      if ((co_await Sleep(absl::Microseconds(1))).ok()) ++cancelled;
    });
    GREENBACK_EXPECT_DONE(cancelled == 5);
  });
}

TEST(AllocationFailureTest, R33_EventsSurviveIt) {
  FailEachAllocation([] {
    int woken = 0;
    greenback::Run([&]() -> Co<void> {
      Event event;
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          nursery.StartSoon([&]() -> Co<void> {
            const Counted counted;
            CancelScope scope = MoveOnAfter(absl::Hours(1));
            if ((co_await event.Wait()).ok()) ++woken;
          });
        }
        nursery.StartSoon([&]() -> Co<void> {
          CancelScope scope = MoveOnAfter(absl::Microseconds(5));
          if (absl::IsCancelled(co_await Event().Wait())) ++woken;
        });
        (void)co_await Sleep(absl::Microseconds(20));
        event.Set();
      });
    });
    GREENBACK_EXPECT_DONE(woken == 4);
  });
}

TEST(AllocationFailureTest, R33_RescheduledWaitsSurviveIt) {
  FailEachAllocation([] {
    int woken = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        Task& sleeper = nursery.StartSoon([&]() -> Co<void> {
          absl::StatusOr<std::string> text =
              co_await WaitTaskRescheduled<std::string>(
                  [] { return Abort::kSucceeded; });
          if (text.ok() && *text == LongText()) ++woken;
        });
        // If the sleeper has failed, it is gone, and the nursery cancelled.
        const absl::Status slept = co_await Checkpoint();
        if (slept.ok()) Reschedule(sleeper, LongText());
      });
      CancelScope scope = MoveOnAfter(absl::Microseconds(5));
      absl::Status status =
          co_await WaitTaskRescheduled([] { return Abort::kSucceeded; });
      if (absl::IsCancelled(status)) ++woken;
    });
    GREENBACK_EXPECT_DONE(woken == 2);
  });
}

TEST(AllocationFailureTest, R33_SystemTasksSurviveIt) {
  FailEachAllocation([] {
    int stopped = 0;
    greenback::Run([&]() -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        SpawnSystemTask([&stopped]() -> Co<absl::Status> {
          const Counted counted;
          absl::Status status = co_await SleepForever();
          if (absl::IsCancelled(status)) ++stopped;
          co_return status;
        });
      }
      (void)co_await Checkpoint();
    });
    GREENBACK_EXPECT_DONE(stopped == 3);
  });
}

TEST(AllocationFailureTest, R33_StatusesSurviveIt) {
  FailEachAllocation([] {
    const absl::Status status = greenback::Run([]() -> Co<absl::Status> {
      co_return co_await OpenNursery([](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          nursery.StartSoon([]() -> Co<absl::Status> {
            absl::Status status = absl::InternalError(LongText());
            // No Cord of a std::string: clang and g++ disagree on the name of
            // that constructor, and abseil was compiled by g++.
            const std::string payload = LongText();
            status.SetPayload("url", absl::Cord(absl::string_view(payload)));
            co_return status;
          });
        }
        co_return;
      });
    });
    GREENBACK_EXPECT_DONE(absl::IsInternal(status));
    GREENBACK_EXPECT_DONE(status.message().size() >= 300);
  });
}

#if defined(__cpp_exceptions)
TEST(AllocationFailureTest, R33_ExceptionGroupsSurviveIt) {
  FailEachAllocation([] {
    const auto body = [](Nursery& nursery) -> Co<void> {
      SpawnSystemTask([]() -> Co<void> {
        (void)co_await SleepForever();
        throw std::runtime_error("system");
      });
      for (int i = 0; i < 4; ++i) {
        nursery.StartSoon(
            [](Counted) -> Co<void> {
              throw std::runtime_error(LongText());
              co_return;
            },
            Counted());
      }
      nursery.StartSoon([]() -> Co<absl::Status> {
        co_return absl::InternalError(LongText());
      });
      (void)co_await Checkpoint();
      throw std::runtime_error("body");
    };
    try {
      greenback::Run([&]() -> Co<void> { (void)co_await OpenNursery(body); });
    } catch (const ExceptionGroup& group) {
      const std::exception_ptr error = std::current_exception();
      if (SaysNoMemory(error)) throw;
      GREENBACK_EXPECT_DONE(group.exceptions().size() == 2);
      try {
        std::rethrow_exception(group.exceptions().front());
      } catch (const ExceptionGroup& inner) {
        GREENBACK_EXPECT_DONE(inner.exceptions().size() == 6);
        return;
      }
    }
    GREENBACK_EXPECT_DONE(false);
  });
}
#endif

// --------------------------------------------------------------- portals

TEST(AllocationFailureTest, R33_PortalsSurviveIt) {
  FailEachAllocation([] {
    int ended = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 6; ++i) {
          nursery.StartSoon(
              [&ended](int i) -> Co<void> {
                const Counted counted;
                (void)co_await EnsurePortal();
                for (int j = 0; j < 3; ++j) {
                  (void)Await(Sleep(absl::Microseconds(i)));
                }
                Await([]() -> Co<void> {
                  const Counted counted;
                  (void)co_await OpenNursery([](Nursery& inner) -> Co<void> {
                    inner.StartSoon(
                        []() -> Co<void> { (void)co_await Checkpoint(); });
                    co_return;
                  });
                }());
                ++ended;
              },
              i);
        }
        co_return;
      });
    });
    GREENBACK_EXPECT_DONE(ended == 6);
  });
}

TEST(AllocationFailureTest, R33_PortalsForCallsSurviveIt) {
  FailEachAllocation([] {
    int ended = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await WithPortalRunSync(
          [](std::string text) {
            (void)TryAwait(Checkpoint());
            return text;
          },
          LongText());
      const auto sleep = [](Counted, std::string) -> Co<void> {
        (void)Await(Sleep(absl::Microseconds(1)));
        co_return;
      };
      co_await WithPortalRun(sleep, Counted(), LongText());
      BestowPortal(CurrentTask());
      // When this one ends, the task is given its bestowed portal again.
      co_await WithPortalRun(sleep, Counted(), LongText());
      (void)co_await Checkpoint();
      (void)Await(Checkpoint());
      ++ended;
    });
    GREENBACK_EXPECT_DONE(ended == 1);
  });
}

TEST(AllocationFailureTest, R33_ExhaustedStacksSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    int exhausted = 0;
    RunOptions options;
    options.max_fibers = 2;
    greenback::Run(options, [&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 4; ++i) {
          nursery.StartSoon([&]() -> Co<void> {
            (void)co_await EnsurePortal();
            absl::Status slept = Await(Sleep(absl::Microseconds(5)));
            if (slept.ok()) ++done;
            if (absl::IsResourceExhausted(slept)) ++exhausted;
          });
        }
        co_return;
      });
    });
    GREENBACK_EXPECT_DONE(done >= 1 && done + exhausted == 4);
  });
}

TEST(AllocationFailureTest, R33_RunOnFiberSurvivesIt) {
  FailEachAllocation([] {
    context::StackPool pool;
    const std::string text = RunOnFiber(pool, [&pool] {
      const Counted counted;
      return RunOnFiber(pool, [] { return LongText(); });
    });
    GREENBACK_EXPECT_DONE(text == LongText());
    // The first slab has four stacks, so this needs a second one.
    std::vector<context::Stack> stacks;
    for (int i = 0; i < 6; ++i) {
      context::StackOrError made = pool.Acquire();
      if (made.stack) stacks.push_back(std::move(made.stack));
    }
    GREENBACK_EXPECT_DONE(stacks.size() == 6);
  });
}

// A coroutine of a library that knows nothing of greenback.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() {
      return Foreign(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }
    std::exception_ptr error;
  };

  explicit Foreign(std::coroutine_handle<promise_type> handle)
      : handle(handle) {}
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;
  ~Foreign() { handle.destroy(); }
  void Finish() const {
    if (handle.promise().error) {
      std::rethrow_exception(handle.promise().error);
    }
  }

  std::coroutine_handle<promise_type> handle;
};

TEST(AllocationFailureTest, R33_ForeignCoroutinesSurviveIt) {
  FailEachAllocation([] {
    int sum = 0;
    Signal first;
    Signal second;
    Signal third;
    const auto wait = [](Signal& signal, std::string) {
      const Counted counted;
      return Await(signal);
    };
    const auto foreign = [&]() -> Foreign {
      const Counted counted;
      sum += co_await WithPortalRunSync(wait, std::ref(first), LongText());
      sum += co_await WithPortalRunSync(wait, std::ref(second), LongText());
      const auto co = [](Signal& signal) -> Co<int> {
        co_return co_await signal;
      };
      sum += co_await WithPortalRun(co, std::ref(third));
    };
    const Foreign coroutine = foreign();
    coroutine.handle.resume();
    for (Signal* signal : {&first, &second, &third}) {
      if (signal->awaited()) signal->Fire(1);
    }
    coroutine.Finish();
    GREENBACK_EXPECT_DONE(sum == 3);
#if defined(__cpp_exceptions)
    // Another one is destroyed while it waits.
    Signal never;
    const Foreign abandoned = [](auto wait, Signal& never) -> Foreign {
      (void)co_await WithPortalRunSync(wait, std::ref(never), LongText());
    }(wait, never);
    abandoned.handle.resume();
    abandoned.Finish();
    GREENBACK_EXPECT_DONE(never.awaited());
#endif
  });
}

// --------------------------------------------------- the outside world

TEST(AllocationFailureTest, R33_ThreadsSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          nursery.StartSoon([&]() -> Co<absl::Status> {
            const Counted counted;
            absl::StatusOr<std::string> text = co_await RunInThread(
                [](std::string text, Counted) { return text + text; },
                LongText(), Counted());
            if (text.ok() && text->size() == 200) ++done;
            co_return text.status();
          });
        }
        co_return;
      });
    });
    GREENBACK_EXPECT_DONE(done == 3);
  });
}

TEST(AllocationFailureTest, R33_CancelledThreadsSurviveIt) {
  FailEachAllocation([] {
    int done = 0;
    RunOptions options;
    options.max_threads = 1;
    greenback::Run(options, [&]() -> Co<void> {
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        for (int i = 0; i < 3; ++i) {
          nursery.StartSoon([&done, i]() -> Co<void> {
            CancelScope scope;
            if (i == 2) scope.Cancel();
            absl::Status status = co_await RunInThread([] {});
            if (status.ok() || absl::IsCancelled(status)) ++done;
          });
        }
        (void)co_await Checkpoint();
        nursery.cancel_scope().Cancel();
      });
    });
    GREENBACK_EXPECT_DONE(done == 3);
  });
}

TEST(AllocationFailureTest, R33_OtherThreadsWakeTasksAllTheSame) {
  FailEachAllocation([] {
    int sum = 0;
    greenback::Run([&]() -> Co<void> {
      Signal awaited_in_a_coroutine;
      Signal awaited_in_a_function;
      Event posted;
      const RunToken token = CurrentRunToken();
      absl::Status posting;
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        // Neither can be cancelled, so both are fired in any case.
        bool fired = false;
        absl::Cleanup fire = [&] {
          if (fired) return;
          awaited_in_a_coroutine.Fire(0);
          awaited_in_a_function.Fire(0);
        };
        nursery.StartSoon(
            [&]() -> Co<void> { sum += co_await awaited_in_a_coroutine; });
        nursery.StartSoon([&]() -> Co<void> {
          (void)co_await EnsurePortal();
          sum += Await(awaited_in_a_function);
        });
        nursery.StartSoon([&]() -> Co<void> {
          if ((co_await posted.Wait()).ok()) ++sum;
        });
        (void)co_await Checkpoint();
        (void)co_await Checkpoint();
        const absl::Status ran = co_await RunInThread([&] {
          fired = true;
          awaited_in_a_coroutine.Fire(1);
          awaited_in_a_function.Fire(1);
          posting = token.RunSoon([&posted, text = LongText()] {
            if (text == LongText()) posted.Set();
          });
          return posting;
        });
        if (!ran.ok()) posted.Set();
      });
      if (!posting.ok()) --sum;
    });
    GREENBACK_EXPECT_DONE(sum == 3);
  });
}

TEST(AllocationFailureTest, R33_ProcessesSurviveIt) {
  FailEachAllocation([] {
    bool done = false;
    const absl::Status status = greenback::Run([&]() -> Co<absl::Status> {
      ProcessOptions options("sh", "-c", "cat; echo error >&2");
      options.environment = {"PATH=/bin:/usr/bin", "NAME=" + LongText()};
      options.working_directory = "/";
      options.input = LongText();
      options.capture_stdout = options.capture_stderr = true;
      absl::StatusOr<ProcessResult> ran =
          co_await RunProcess(std::move(options));
      if (!ran.ok()) co_return ran.status();
      done = ran->stdout_text == LongText() && ran->stderr_text == "error\n";
      co_return absl::OkStatus();
    });
    GREENBACK_EXPECT_DONE(status.ok() && done);
  });
}

TEST(AllocationFailureTest, R33_CancelledProcessesSurviveIt) {
  FailEachAllocation([] {
    bool cancelled = false;
    greenback::Run([&]() -> Co<void> {
      CancelScope scope = MoveOnAfter(absl::Milliseconds(1));
      ProcessOptions options("sleep", "1000");
      options.capture_stdout = true;
      cancelled =
          absl::IsCancelled((co_await RunProcess(std::move(options))).status());
    });
    GREENBACK_EXPECT_DONE(cancelled);
  });
}

TEST(AllocationFailureTest, R33_CallbacksSurviveIt) {
  FailEachAllocation([] {
    int sum = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await EnsurePortal();
      const RunToken token = CurrentRunToken();
      const auto soon = [token](auto done) {
        (void)token.RunSoon([done] { done(LongText()); });
      };
      if (Await(FromCallback<std::string>(soon)) == LongText()) ++sum;
      if (co_await FromCallback<std::string>(soon) == LongText()) ++sum;
      CancelScope scope = MoveOnAfter(absl::Microseconds(10));
      std::function<void(std::string)> keep;
      const auto start = [&](auto done) { keep = std::move(done); };
      const auto cancel = [&] { keep("cancelled"); };
      if (co_await FromCallback<std::string>(start, cancel) == "cancelled") {
        ++sum;
      }
      const auto drop = [](auto) {};
      absl::Status dropped = co_await FromCallback<absl::Status>(drop);
      if (absl::IsAborted(dropped)) ++sum;
    });
    GREENBACK_EXPECT_DONE(sum == 4);
  });
}

// ----------------------------------------------------------- variables

TEST(AllocationFailureTest, R33_TaskLocalsSurviveIt) {
  FailEachAllocation([] {
    static TaskLocal<std::string> first("none");
    static TaskLocal<std::string> second("none");
    struct Big {
      Counted counted;
      std::string text = LongText();
    };
    RunLocal<Big> run_local;
    RunLocal<std::string> other(LongText());
    int same = 0;
    greenback::Run([&]() -> Co<void> {
      first.Set(LongText('1'));
      second.Set(LongText('2'));
      (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
        nursery.StartSoon([&]() -> Co<void> {
          if (first.Get() == LongText('1')) ++same;
          first.Set(LongText('3'));
          first.Reset();
          if (first.Get() == "none") ++same;
          co_return;
        });
        co_return;
      });
      Context::Current().Run([&] {
        second.Set(LongText('4'));
        if (second.Get() == LongText('4')) ++same;
      });
      if (second.Get() == LongText('2')) ++same;
      run_local.Get().text = LongText('5');
      if (run_local.Get().text == LongText('5')) ++same;
      if (other.Get() == LongText()) ++same;
    });
    GREENBACK_EXPECT_DONE(same == 6);
  });
}

#if defined(__cpp_exceptions)
// A run-local variable whose value could not be stored is made again.
TEST(AllocationFailureTest, R33_RunLocalsSurviveItInARunThatContinues) {
  FailEachAllocation([] {
    RunLocal<std::string> text(LongText());
    RunLocal<std::string> more(LongText());
    bool failed = false;
    greenback::Run([&]() -> Co<void> {
      for (int i = 0; i < 3; ++i) {
        for (RunLocal<std::string>* each : {&text, &more}) {
          try {
            if (each->Get() != LongText()) {
              GREENBACK_EXPECT_DONE(false);
            }
          } catch (const std::bad_alloc&) {
            failed = true;
          }
        }
      }
      co_return;
    });
    if (failed) throw std::bad_alloc();
  });
}
#endif

// ---------------------------------------------------------- the utilities

AsyncGenerator<std::string> Texts(int count) {
  const Counted counted;
  for (int i = 0; i < count; ++i) {
    (void)co_await Checkpoint();
    co_yield LongText();
  }
}

AsyncGenerator<std::string, std::string> Echo() {
  std::string text = LongText();
  while (true) {
    std::optional<std::string> sent = co_yield text;
    if (sent) text = *sent + *sent;
  }
}

TEST(AllocationFailureTest, R33_GeneratorsSurviveIt) {
  FailEachAllocation([] {
    size_t size = 0;
    greenback::Run([&]() -> Co<void> {
      AsyncGenerator<std::string> texts = Texts(2);
      while (std::optional<std::string> text = co_await texts.Next()) {
        size += text->size();
      }
      (void)co_await EnsurePortal();
      for (const std::string& text : AsyncIter(Texts(4))) {
        size += text.size();
        if (size > 350) break;
      }
      AsyncIter echo(Echo());
      size += echo.Next()->size();
      size += echo.Send(LongText())->size();
      echo.Close();
    });
    GREENBACK_EXPECT_DONE(size == 700);
  });
}

class Manager {
 public:
  explicit Manager(int& entered) : entered_(entered) {}
  Co<std::string> Enter() {
    (void)co_await Checkpoint();
    ++entered_;
    co_return LongText();
  }
  Co<void> Exit() {
    // An Exit() whose frame cannot be allocated has not begun, and the test
    // calls it again.
    --entered_;
    (void)co_await Checkpoint();
  }

 private:
  int& entered_;
  Counted counted_;
};

TEST(AllocationFailureTest, R33_AsyncContextsSurviveIt) {
  FailEachAllocation([] {
    size_t size = 0;
    int entered = 0;
    greenback::Run([&]() -> Co<void> {
      (void)co_await EnsurePortal();
      {
        AsyncContext context{Manager(entered)};
        size += context.get().size();
      }
      {
        AsyncContext context{Manager(entered)};
        context.Close();
      }
      size += WithAsyncContext(Manager(entered), [](std::string& text) {
                (void)Await(Checkpoint());
                return text + text;
              }).size();
    });
    GREENBACK_EXPECT_DONE(size == 300 && entered == 0);
  });
}

Co<std::string> Doubled(std::string text) {
  (void)co_await Checkpoint();
  co_return text + text;
}

TEST(AllocationFailureTest, R33_SynchronousFormsSurviveIt) {
  FailEachAllocation([] {
    size_t size = 0;
    greenback::Run([&]() -> Co<void> {
      const auto cached = [](auto fn) {
        return [fn, found = std::map<std::string, std::string>()](
                   const std::string& text) mutable {
          auto place = found.find(text);
          if (place == found.end()) place = found.emplace(text, fn(text)).first;
          return place->second;
        };
      };
      auto doubled = DecorateAsSync(cached)(Doubled);
      size += (co_await doubled(LongText())).size();
      size += (co_await doubled(LongText())).size();
      (void)co_await EnsurePortal();
      auto synchronous = AutoAwait(Doubled);
      size += synchronous(LongText()).size();
    });
    GREENBACK_EXPECT_DONE(size == 600);
  });
}

// ------------------------------------------------------------ instruments

class Counting final : public Instrument {
 public:
  void before_run() override { ++runs; }
  void after_run() override { --runs; }
  void task_spawned(Task& task) override {
    text += std::string(task.name());
    ++tasks;
  }
  void task_scheduled(Task&) override { ++calls; }
  void before_task_step(Task&) override { ++calls; }
  void after_task_step(Task&) override { ++calls; }
  void task_exited(Task&) override { --tasks; }

  int runs = 0;
  int tasks = 0;
  int calls = 0;
  std::string text = LongText();
};

Co<void> SpawnTwo(int& ended) {
  (void)co_await OpenNursery([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 2; ++i) {
      nursery.StartSoon([&ended]() -> Co<void> {
        const Counted counted;
        if (HasPortal()) (void)Await(Sleep(absl::Microseconds(1)));
        (void)co_await Checkpoint();
        ++ended;
      });
    }
    co_return;
  });
}

TEST(AllocationFailureTest, R33_InstrumentsSurviveIt) {
  FailEachAllocation([] {
    int ended = 0;
    Counting counting;
    AutoPortalInstrument portals;
    Counting added;
    RunOptions options;
    options.instruments = {&portals, &counting};
    greenback::Run(options, [&]() -> Co<void> {
      AddInstrument(added);
      co_await SpawnTwo(ended);
      (void)RemoveInstrument(added);
    });
    // A hook may have failed, and then its instrument is removed.
    GREENBACK_EXPECT_DONE(ended == 2);
  });
}

TEST(AllocationFailureTest, R33_TreesOfPortalsSurviveIt) {
  FailEachAllocation([] {
    int ended = 0;
    int with_portal = 0;
    const auto count = [&](Nursery& nursery) -> Co<void> {
      for (int i = 0; i < 2; ++i) {
        nursery.StartSoon([&]() -> Co<void> {
          if (HasPortal()) ++with_portal;
          co_await SpawnTwo(ended);
        });
      }
      co_return;
    };
    greenback::Run([&]() -> Co<void> {
      {
        PortalsForChildren portals;
        {
          PortalsForChildren nested;
        }
        (void)co_await OpenNursery(count);
      }
      co_await WithPortalRunTree(
          [&]() -> Co<void> { (void)co_await OpenNursery(count); });
      PortalsForTree portals;
      co_await portals.Enter();
      (void)Await(OpenNursery(count));
      co_await portals.Exit();
    });
    GREENBACK_EXPECT_DONE(ended == 12 && with_portal == 6);
  });
}

}  // namespace
}  // namespace greenback
