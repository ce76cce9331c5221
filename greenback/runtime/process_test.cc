#include "greenback/runtime/process.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "greenback/await.h"
#include "greenback/portal.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"
#include "tests/support/process_resources.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Runs a process in a run of its own, and captures its output.
absl::StatusOr<ProcessResult> RunAlone(ProcessOptions options) {
  options.capture_stdout = true;
  options.capture_stderr = true;
  return greenback::Run(RunProcess, std::move(options));
}

absl::StatusOr<ProcessResult> RunShell(std::string script) {
  return RunAlone({"sh", "-c", std::move(script)});
}

// No child is left, and no descriptor, whatever a test does.
class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() : descriptors_(CountDescriptors()) {}
  ~ProcessTest() override {
    EXPECT_EQ(CountDescriptors(), descriptors_);
    EXPECT_FALSE(HasChildProcess());
  }

 private:
  const int descriptors_;
};

// --------------------------------------------------------------------- output

TEST_F(ProcessTest, CapturesTheOutput) {
  absl::StatusOr<ProcessResult> ran = RunShell("echo out; echo err >&2");
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "out\n");
  EXPECT_EQ(ran->stderr_text, "err\n");
  EXPECT_TRUE(ran->ok());
}

TEST_F(ProcessTest, CapturesOnlyTheStreamsThatAreRequested) {
  ProcessOptions options("sh", "-c", "echo out; echo err >&2");
  options.capture_stdout = true;
  ::testing::internal::CaptureStderr();
  absl::StatusOr<ProcessResult> ran =
      greenback::Run(RunProcess, std::move(options));
  const std::string written = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "out\n");
  EXPECT_EQ(ran->stderr_text, "");
  EXPECT_EQ(written, "err\n");
}

TEST_F(ProcessTest, CapturesAMegabyte) {
  absl::StatusOr<ProcessResult> ran =
      RunShell("head -c 1000000 /dev/zero | tr '\\0' x");
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, std::string(1'000'000, 'x'));
}

TEST_F(ProcessTest, KeepsNullBytes) {
  absl::StatusOr<ProcessResult> ran = RunShell("printf 'a\\000b'");
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, std::string("a\0b", 3));
}

// ---------------------------------------------------------------------- input

TEST_F(ProcessTest, StandardInputIsEmptyByDefault) {
  absl::StatusOr<ProcessResult> ran = RunShell("cat; readlink /proc/self/fd/0");
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "/dev/null\n");
}

TEST_F(ProcessTest, FeedsAMegabyte) {
  ProcessOptions options("wc", "-c");
  options.input = std::string(1'000'000, 'x');
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "1000000\n");
}

// More than both pipes hold: it must read and write in turns.
TEST_F(ProcessTest, FeedsAndCapturesAtTheSameTime) {
  std::string input;
  while (input.size() < 1'000'000) {
    absl::StrAppend(&input, "line ", input.size(), "\n");
  }
  ProcessOptions options("cat");
  options.input = input;
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_TRUE(ran->stdout_text == input);
}

TEST_F(ProcessTest, InputThatIsNotReadIsNoError) {
  ProcessOptions options("true");
  options.input = std::string(1'000'000, 'x');
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_TRUE(ran->ok());
}

// A program's own handler of SIGPIPE is not called.
TEST_F(ProcessTest, InputThatIsNotReadRaisesNoSignal) {
  static volatile sig_atomic_t raised = 0;
  raised = 0;
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = [](int) { raised = 1; };
  ASSERT_EQ(sigaction(SIGPIPE, &action, &before), 0);
  ProcessOptions options("true");
  options.input = std::string(1'000'000, 'x');
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  EXPECT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(raised, 0);
  sigset_t blocked;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
  EXPECT_EQ(sigismember(&blocked, SIGPIPE), 0);
  sigaction(SIGPIPE, &before, nullptr);
}

// ---------------------------------------------------------------- how it ends

TEST_F(ProcessTest, ReturnsTheExitCode) {
  for (int code : {0, 1, 42, 255}) {
    absl::StatusOr<ProcessResult> ran = RunShell(absl::StrCat("exit ", code));
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_EQ(ran->exit_code, code);
    EXPECT_EQ(ran->signal, 0);
    EXPECT_EQ(ran->ok(), code == 0);
  }
}

TEST_F(ProcessTest, ReturnsTheSignal) {
  for (int signal : {SIGKILL, SIGTERM, SIGUSR1}) {
    absl::StatusOr<ProcessResult> ran =
        RunShell(absl::StrCat("echo before; kill -", signal, " $$"));
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_EQ(ran->signal, signal);
    EXPECT_EQ(ran->exit_code, 0);
    EXPECT_FALSE(ran->ok());
    EXPECT_EQ(ran->stdout_text, "before\n");
  }
}

TEST_F(ProcessTest, BeginsWithoutBlockedOrIgnoredSignals) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  auto* const handler = signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<ProcessResult> ran =
      RunShell("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'");
  signal(SIGPIPE, handler);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_THAT(ran->stdout_text, HasSubstr("SigBlk:0000000000000000"));
  // SIGPIPE is 13: bit 12.
  const size_t ignored = ran->stdout_text.find("SigIgn:");
  ASSERT_NE(ignored, std::string::npos);
  EXPECT_EQ(std::strtoull(ran->stdout_text.c_str() + ignored + 7, nullptr, 16) &
                (1u << 12),
            0u);
}

// -------------------------------------------------------------------- options

TEST_F(ProcessTest, PassesOnArgumentsAsTheyAre) {
  absl::StatusOr<ProcessResult> ran =
      RunAlone({"printf", "[%s]", "a b", "", "$HOME", "*"});
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "[a b][][$HOME][*]");
}

TEST_F(ProcessTest, TakesAVectorOfArguments) {
  std::vector<std::string> arguments = {"echo", "text"};
  absl::StatusOr<ProcessResult> ran =
      RunAlone(ProcessOptions(std::move(arguments)));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "text\n");
}

TEST_F(ProcessTest, InheritsTheEnvironment) {
  setenv("GREENBACK_PROCESS_TEST", "inherited", 1);
  absl::StatusOr<ProcessResult> ran = RunShell("echo $GREENBACK_PROCESS_TEST");
  unsetenv("GREENBACK_PROCESS_TEST");
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "inherited\n");
}

TEST_F(ProcessTest, TakesAnEnvironmentInstead) {
  ProcessOptions options("/usr/bin/env");
  options.environment = {"A=1", "B=two words"};
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "A=1\nB=two words\n");
}

TEST_F(ProcessTest, TakesAnEmptyEnvironment) {
  ProcessOptions options("/usr/bin/env");
  options.environment.emplace();
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "");
}

TEST_F(ProcessTest, RunsInItsWorkingDirectory) {
  ProcessOptions options("pwd");
  options.working_directory = "/usr";
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, "/usr\n");
}

TEST_F(ProcessTest, InheritsTheWorkingDirectory) {
  char here[4096];
  ASSERT_NE(getcwd(here, sizeof(here)), nullptr);
  absl::StatusOr<ProcessResult> ran = RunAlone({"/bin/pwd", "-P"});
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(ran->stdout_text, absl::StrCat(here, "\n"));
}

TEST_F(ProcessTest, InheritsNoDescriptorButTheThree) {
  ProcessOptions options("sh", "-c", "ls /proc/self/fd | wc -l");
  options.input = "x";
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  ASSERT_TRUE(ran.ok()) << ran.status();
  // 0, 1, 2, the directory, and those that this process has inherited itself.
  const int inherited = std::atoi(ran->stdout_text.c_str());
  EXPECT_LE(inherited, 4 + (CountDescriptors() - 3));
}

// --------------------------------------------------------------------- errors

TEST_F(ProcessTest, AMissingProgramIsNotFound) {
  absl::StatusOr<ProcessResult> ran = RunAlone({"no-such-program-anywhere"});
  EXPECT_TRUE(absl::IsNotFound(ran.status())) << ran.status();
  EXPECT_THAT(std::string(ran.status().message()),
              HasSubstr("cannot run \"no-such-program-anywhere\""));
}

TEST_F(ProcessTest, AMissingPathIsNotFound) {
  ProcessOptions options("/no/such/program");
  options.input = std::string(1'000'000, 'x');
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  EXPECT_TRUE(absl::IsNotFound(ran.status())) << ran.status();
}

TEST_F(ProcessTest, AProgramThatMayNotBeRunIsPermissionDenied) {
  absl::StatusOr<ProcessResult> ran = RunAlone({"/etc/passwd"});
  EXPECT_TRUE(absl::IsPermissionDenied(ran.status())) << ran.status();
}

TEST_F(ProcessTest, AMissingWorkingDirectoryIsNotFound) {
  ProcessOptions options("true");
  options.working_directory = "/no/such/directory";
  absl::StatusOr<ProcessResult> ran = RunAlone(std::move(options));
  EXPECT_TRUE(absl::IsNotFound(ran.status())) << ran.status();
  EXPECT_THAT(std::string(ran.status().message()),
              HasSubstr("in \"/no/such/directory\""));
}

TEST_F(ProcessTest, NoProgramIsInvalid) {
  absl::StatusOr<ProcessResult> ran =
      RunAlone(ProcessOptions(std::vector<std::string>()));
  EXPECT_TRUE(absl::IsInvalidArgument(ran.status())) << ran.status();
}

TEST_F(ProcessTest, R41_ANullCharacterIsRefused) {
  const std::string cut("safe\0evil", 9);
  const auto message = [](ProcessOptions options) {
    const absl::Status status = RunAlone(std::move(options)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message({"printf", "%s", cut}),
              HasSubstr("RunProcess(): arguments[2] has a null character"));
  EXPECT_THAT(message({std::string("true\0", 5)}),
              HasSubstr("arguments[0] has a null character"));
  ProcessOptions with_environment("true");
  with_environment.environment = {"A=1", "B=" + cut};
  EXPECT_THAT(message(with_environment),
              HasSubstr("environment[1] has a null character"));
  ProcessOptions with_directory("true");
  with_directory.working_directory = std::string("/tmp\0/a", 7);
  EXPECT_THAT(message(with_directory),
              HasSubstr("working_directory has a null character"));
}

TEST_F(ProcessTest, R41_AnEnvironmentEntryWithoutANameIsRefused) {
  for (const std::string entry : {"", "A", "=1"}) {
    ProcessOptions options("true");
    options.environment = {"HOME=/", entry};
    const absl::Status status = RunAlone(std::move(options)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("environment[1] is not of the form NAME=value"));
  }
}

// --------------------------------------------------------------- cancellation

// The calls of functions that refer to a process by its number.
int calls_by_number = 0;

TEST_F(ProcessTest, R45_AProcessIsKnownByItsPidfdAlone) {
  calls_by_number = 0;
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      while (!HasChildProcess()) EXPECT_TRUE((co_await Checkpoint()).ok());
      scope.Cancel();
    });
    absl::StatusOr<ProcessResult> ran =
        co_await RunProcess({"sleep", "1000000"});
    EXPECT_TRUE(absl::IsCancelled(ran.status()));
  });
  EXPECT_TRUE(RunShell("exit 0").ok());
  EXPECT_EQ(calls_by_number, 0);
}

// The errors with which the next calls of pidfd_open() fail; 0: a real call.
std::vector<int> pidfd_open_errors;

TEST_F(ProcessTest, R45_WithoutAPidfdOfTheProcessItIsKilledAndReaped) {
  pidfd_open_errors = {0, EMFILE};  // from the second call on
  const absl::Status status = RunAlone({"sleep", "1000000"}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_FALSE(HasChildProcess());
  EXPECT_THAT(pidfd_open_errors, IsEmpty());
}

TEST_F(ProcessTest, R45_WithoutPidfdsNothingIsStarted) {
  pidfd_open_errors = {ENOSYS};
  const absl::Status status = RunShell("echo started >&2").status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("needs Linux 5.4"));
  EXPECT_THAT(pidfd_open_errors, IsEmpty());
}

// Whichever descriptor cannot be opened, nothing is left behind, and no process
// is referred to by its number.
TEST_F(ProcessTest, R45_WithoutDescriptorsTheErrorSaysSo) {
  calls_by_number = 0;
  int failed = 0, succeeded = 0;
  greenback::Run([&]() -> Co<void> {
    rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    // The descriptors in use are numbered with few gaps.
    const int in_use = CountDescriptors();
    for (int more = 0; more < 24; ++more) {
      for (const bool with_pipes : {false, true}) {
        ProcessOptions options("true");
        if (with_pipes) options.input = "text";
        options.capture_stdout = options.capture_stderr = with_pipes;
        rlimit limit = before;
        limit.rlim_cur = static_cast<rlim_t>(in_use + more);
        setrlimit(RLIMIT_NOFILE, &limit);
        const absl::Status status =
            (co_await RunProcess(std::move(options))).status();
        setrlimit(RLIMIT_NOFILE, &before);
        ++(status.ok() ? succeeded : failed);
        EXPECT_FALSE(HasChildProcess()) << more << status;
        EXPECT_EQ(CountDescriptors(), in_use) << more << status;
      }
    }
  });
  EXPECT_GT(failed, 0);
  EXPECT_GT(succeeded, 0);
  EXPECT_EQ(calls_by_number, 0);
}

// The process seems to read and write without end: reading its pipe returns as
// much as requested, and writing takes one byte. After a number of calls in a
// row the pipe seems to be empty, or full.
constexpr int kMostCallsInARow = 1'000;
bool pipes_are_endless = false;
int calls_in_a_row = 0;
int most_calls_in_a_row = 0;

bool IsEndlessPipe(int descriptor) {
  struct stat status;
  if (!pipes_are_endless || fstat(descriptor, &status) != 0 ||
      !S_ISFIFO(status.st_mode)) {
    return false;
  }
  most_calls_in_a_row = std::max(most_calls_in_a_row, ++calls_in_a_row);
  return true;
}

// Another task, which is always ready, takes steps while the process is read or
// written to, until after_steps(steps) ends that.
absl::Status RunEndless(ProcessOptions options,
                        std::function<void(CancelScope&, int)> after_steps,
                        RunOptions run_options = RunOptions()) {
  absl::Status status;
  calls_in_a_row = most_calls_in_a_row = 0;
  pipes_are_endless = true;
  RunNurseryOk(run_options, [&](Nursery& nursery) -> Co<void> {
    CancelScope* scope = nullptr;
    nursery.StartSoon([&]() -> Co<void> {
      CancelScope own;
      scope = &own;
      status = (co_await RunProcess(std::move(options))).status();
      scope = nullptr;
    });
    (void)co_await Checkpoint();
    for (int steps = 0; scope != nullptr; ++steps) {
      calls_in_a_row = 0;
      after_steps(*scope, steps);
      (void)co_await Checkpoint();
    }
  });
  pipes_are_endless = false;
  return status;
}

TEST_F(ProcessTest, R31_AProcessThatTalksWithoutEndStarvesNobody) {
  ProcessOptions options("sleep", "1000000");
  options.capture_stdout = true;
  const absl::Status status =
      RunEndless(options, [](CancelScope& scope, int steps) {
        if (steps == 200) scope.Cancel();
      });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(most_calls_in_a_row, 1);
}

TEST_F(ProcessTest, R31_AProcessThatListensWithoutEndStarvesNobody) {
  ProcessOptions options("sleep", "1000000");
  options.input = std::string(1'000'000, 'x');
  const absl::Status status =
      RunEndless(options, [](CancelScope& scope, int steps) {
        if (steps == 200) scope.Cancel();
      });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(most_calls_in_a_row, 1);
}

TEST_F(ProcessTest, R31_ATimeLimitOnAProcessThatTalksWithoutEndHolds) {
  MockClock clock({.autojump = false});
  ProcessOptions options("sleep", "1000000");
  options.capture_stdout = true;
  int last_step = 0;
  const absl::Status status = RunEndless(
      options,
      [&](CancelScope& scope, int steps) {
        if (steps == 0) scope.set_deadline(CurrentTime() + absl::Seconds(1));
        if (steps == 200) clock.Jump(absl::Seconds(1));
        last_step = steps;
      },
      RunOptions{.clock = &clock});
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(most_calls_in_a_row, 1);
  EXPECT_GE(last_step, 200);
}

// Each program below would run for ever; the tests end because it is killed.

TEST_F(ProcessTest, CancellingKillsAndReaps) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      while (!HasChildProcess()) EXPECT_TRUE((co_await Checkpoint()).ok());
      scope.Cancel();
    });
    absl::StatusOr<ProcessResult> ran =
        co_await RunProcess({"sleep", "1000000"});
    EXPECT_TRUE(absl::IsCancelled(ran.status()));
    EXPECT_TRUE(scope.cancelled_caught());
    EXPECT_FALSE(HasChildProcess());
  });
}

TEST_F(ProcessTest, CancellingKillsItWhileItIsFedAndRead) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope scope;
    nursery.StartSoon([&scope]() -> Co<void> {
      for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE((co_await Checkpoint()).ok());
      }
      scope.Cancel();
    });
    // It neither reads nor writes.
    ProcessOptions options("sleep", "1000000");
    options.input = std::string(1'000'000, 'x');
    options.capture_stdout = true;
    options.capture_stderr = true;
    absl::StatusOr<ProcessResult> ran = co_await RunProcess(std::move(options));
    EXPECT_TRUE(absl::IsCancelled(ran.status()));
    EXPECT_FALSE(HasChildProcess());
  });
}

TEST_F(ProcessTest, CancelledAlreadyItStartsNothing) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope;
    scope.Cancel();
    absl::StatusOr<ProcessResult> ran =
        co_await RunProcess({"sleep", "1000000"});
    EXPECT_TRUE(absl::IsCancelled(ran.status()));
    EXPECT_FALSE(HasChildProcess());
  });
}

TEST_F(ProcessTest, ADeadlineEndsIt) {
  greenback::Run([]() -> Co<void> {
    CancelScope scope = MoveOnAfter(absl::Milliseconds(1));
    absl::StatusOr<ProcessResult> ran =
        co_await RunProcess({"sleep", "1000000"});
    EXPECT_TRUE(absl::IsCancelled(ran.status()));
    EXPECT_TRUE(scope.cancelled_caught());
  });
}

TEST_F(ProcessTest, AFailingSiblingEndsIt) {
  EXPECT_EQ(RunNursery([](Nursery& nursery) -> Co<absl::Status> {
              nursery.StartSoon([]() -> Co<absl::Status> {
                co_return (co_await RunProcess({"sleep", "1000000"})).status();
              });
              EXPECT_TRUE((co_await Checkpoint()).ok());
              co_return absl::DataLossError("sibling");
            }),
            absl::DataLossError("sibling"));
}

// -------------------------------------------------------------------- at once

TEST_F(ProcessTest, RunsInSynchronousCode) {
  const auto plain_function = [] {
    ProcessOptions options("echo", "text");
    options.capture_stdout = true;
    absl::StatusOr<ProcessResult> ran = Await(RunProcess(std::move(options)));
    return ran.ok() ? ran->stdout_text : std::string(ran.status().message());
  };
  greenback::Run([&]() -> Co<void> {
    EXPECT_EQ(co_await WithPortalRunSync(plain_function), "text\n");
  });
}

// The process ends because of what another task does.
TEST_F(ProcessTest, OthersRunMeanwhile) {
  RunNurseryOk([](Nursery& nursery) -> Co<void> {
    CancelScope* scope_of_process = nullptr;
    nursery.StartSoon([&]() -> Co<void> {
      CancelScope scope;
      scope_of_process = &scope;
      absl::StatusOr<ProcessResult> ran =
          co_await RunProcess({"sleep", "1000000"});
      EXPECT_TRUE(absl::IsCancelled(ran.status()));
    });
    for (int i = 0; i < 1'000; ++i) EXPECT_TRUE((co_await Checkpoint()).ok());
    scope_of_process->Cancel();
  });
}

TEST_F(ProcessTest, AHundredRunAtOnce) {
  int right = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 100; ++i) {
      nursery.StartSoon([&right, i]() -> Co<void> {
        ProcessOptions options("sh", "-c", absl::StrCat("read x; echo $x ", i));
        options.input = absl::StrCat("input ", i, "\n");
        options.capture_stdout = true;
        absl::StatusOr<ProcessResult> ran =
            co_await RunProcess(std::move(options));
        EXPECT_TRUE(ran.ok()) << ran.status();
        if (!ran.ok()) co_return;
        if (ran->stdout_text == absl::StrCat("input ", i, " ", i, "\n")) {
          ++right;
        }
      });
    }
    co_return;
  });
  EXPECT_EQ(right, 100);
}

TEST_F(ProcessTest, AHundredRunAtOnceThroughPortals) {
  int right = 0;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    for (int i = 0; i < 100; ++i) {
      BestowPortal(nursery.StartSoon([&right, i]() -> Co<void> {
        ProcessOptions options("echo", absl::StrCat(i));
        options.capture_stdout = true;
        absl::StatusOr<ProcessResult> ran =
            Await(RunProcess(std::move(options)));
        if (ran.ok() && ran->stdout_text == absl::StrCat(i, "\n")) ++right;
        co_return;
      }));
    }
    co_return;
  });
  EXPECT_EQ(right, 100);
}

TEST_F(ProcessTest, AnExitCodeThatTheKernelHasDroppedIsAnError) {
  const auto before = signal(SIGCHLD, SIG_IGN);
  greenback::Run([]() -> Co<void> {
    absl::StatusOr<ProcessResult> ran = co_await RunProcess({"false"});
    EXPECT_FALSE(ran.ok());
    EXPECT_NE(ran.status().message().find("SIGCHLD is ignored"),
              absl::string_view::npos)
        << ran.status();
  });
  signal(SIGCHLD, before);
}

}  // namespace
}  // namespace greenback

// In place of the C library's functions, which may be inline in its headers.
extern "C" {
ssize_t Read(int descriptor, void* buffer, size_t size) __asm__("read");
ssize_t Write(int descriptor, const void* buffer, size_t size) __asm__("write");
long Syscall(long number, ...) __asm__("syscall");
int Kill(pid_t pid, int signal) __asm__("kill");
pid_t WaitPid(pid_t pid, int* status, int options) __asm__("waitpid");
}

ssize_t Read(int descriptor, void* buffer, size_t size) {
  if (greenback::IsEndlessPipe(descriptor)) {
    if (greenback::calls_in_a_row > greenback::kMostCallsInARow) {
      errno = EAGAIN;
      return -1;
    }
    std::memset(buffer, 'y', size);
    return static_cast<ssize_t>(size);
  }
  return syscall(SYS_read, descriptor, buffer, size);
}

long Syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  auto& errors = greenback::pidfd_open_errors;
  if (number == SYS_pidfd_open && !errors.empty()) {
    const int error = errors.front();
    errors.erase(errors.begin());
    if (error != 0) {
      errno = error;
      return -1;
    }
  }
  static const auto next =
      reinterpret_cast<decltype(&syscall)>(dlsym(RTLD_NEXT, "syscall"));
  return next(number, arguments[0], arguments[1], arguments[2], arguments[3],
              arguments[4], arguments[5]);
}

int Kill(pid_t pid, int signal) {
  ++greenback::calls_by_number;
  return static_cast<int>(syscall(SYS_kill, pid, signal));
}

pid_t WaitPid(pid_t pid, int* status, int options) {
  ++greenback::calls_by_number;
  return static_cast<pid_t>(syscall(SYS_wait4, pid, status, options, nullptr));
}

ssize_t Write(int descriptor, const void* buffer, size_t size) {
  if (greenback::IsEndlessPipe(descriptor)) {
    if (greenback::calls_in_a_row > greenback::kMostCallsInARow) {
      errno = EAGAIN;
      return -1;
    }
    return 1;
  }
  return syscall(SYS_write, descriptor, buffer, size);
}
