// PrintFact() over the asynchronous bottom, in this process: what it prints,
// and what it leaves behind.
#include "docs/examples/factorial/factorial.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "docs/examples/factorial/shell.h"
#include "docs/examples/run_program_for_test.h"
#include "gmock/gmock.h"
#include "greenback/portal.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "gtest/gtest.h"

namespace factorial {
namespace {

using greenback::Co;
using testing::ElementsAre;
using testing::IsEmpty;

struct Job {
  std::string name;
  int64_t n;
};

Co<absl::Status> PrintInPortal(int64_t n) {
  absl::Status opened = co_await greenback::EnsurePortal();
  if (!opened.ok()) co_return opened;
  co_return PrintFact(n);
}

// One task for each job.
Co<absl::Status> PrintAll(std::vector<Job> jobs) {
  co_return co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> Co<absl::Status> {
        for (const Job& job : jobs) {
          nursery.StartSoon(PrintInPortal, job.n).set_name(job.name);
        }
        co_return absl::OkStatus();
      });
}

int OpenDescriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// What the process and its children print while this exists. Each line goes to
// the end of the file, so that none overwrites another.
class CaptureStdout {
 public:
  CaptureStdout() {
    std::fflush(stdout);
    file_ = memfd_create("stdout", MFD_CLOEXEC);
    fcntl(file_, F_SETFL, O_APPEND);
    before_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    dup2(file_, STDOUT_FILENO);
  }
  CaptureStdout(const CaptureStdout&) = delete;
  CaptureStdout& operator=(const CaptureStdout&) = delete;
  ~CaptureStdout() {
    std::fflush(stdout);
    dup2(before_, STDOUT_FILENO);
    close(before_);
    close(file_);
  }

  std::vector<std::string> Lines() {
    std::string text;
    char buffer[4096];
    ssize_t count;
    while ((count = pread(file_, buffer, sizeof(buffer),
                          static_cast<off_t>(text.size()))) > 0) {
      text.append(buffer, static_cast<size_t>(count));
    }
    return docs::SplitLines(text);
  }

 private:
  int file_;
  int before_;
};

// A PATH for a time.
class UsePath {
 public:
  explicit UsePath(const std::string& path) {
    const char* before = std::getenv("PATH");
    before_ = before ? before : "";
    setenv("PATH", path.c_str(), 1);
  }
  ~UsePath() { setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_;
};

class FactorialTest : public testing::Test {
 protected:
  FactorialTest() : descriptors_before_(OpenDescriptors()) {}
  // Every child is reaped, and every descriptor closed.
  ~FactorialTest() override {
    SlowDown("", 0);
    errno = 0;
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(OpenDescriptors(), descriptors_before_);
  }

  absl::Status Print(const std::vector<Job>& jobs) {
    CaptureStdout capture;
    absl::Status status = greenback::Run(PrintAll, jobs);
    lines_ = capture.Lines();
    return status;
  }

  std::vector<std::string> lines_;

 private:
  const int descriptors_before_;
};

TEST_F(FactorialTest, PrintsThroughAShell) {
  EXPECT_EQ(Print({{"10!", 10}}), absl::OkStatus());
  EXPECT_THAT(lines_, ElementsAre("3628800"));
}

TEST_F(FactorialTest, ErrorsPrintNothing) {
  EXPECT_EQ(Print({{"-1!", -1}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(Print({{"21!", 21}}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(FactorialTest, NoShellIsNotFound) {
  UsePath nowhere("/nonexistent");
  EXPECT_EQ(Print({{"5!", 5}}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(FactorialTest, AFailureCallsTheOthersOff) {
  docs::FakeSleep sleep;
  UsePath path(sleep.path());
  SlowDown("slow", 1000);
  // The slow one's shell would sleep until this test ends.
  EXPECT_EQ(Print({{"slow", 5}, {"21!", 21}}).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_THAT(lines_, IsEmpty());
}

// Each of 200 children waits until all of them are there.
TEST_F(FactorialTest, TwoHundredTasksRunTheirChildrenAtTheSameTime) {
  constexpr int kTasks = 200;
  std::vector<Job> jobs;
  std::vector<std::string> expected;
  int64_t product = 1;
  for (int i = 0; i < kTasks; ++i) {
    const int64_t n = i % 21;
    product = n == 0 ? 1 : product * n;
    jobs.push_back({"slow", n});
    expected.push_back(absl::StrCat(product));
  }
  docs::FakeSleep sleep;
  UsePath path(sleep.path());
  SlowDown("slow", 1000);
  bool all_at_once = false;
  std::thread waker([&] {
    all_at_once = sleep.WaitForSleepers(kTasks);
    sleep.Wake(kTasks);
  });
  EXPECT_EQ(Print(jobs), absl::OkStatus());
  waker.join();
  EXPECT_TRUE(all_at_once);
  std::sort(lines_.begin(), lines_.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(lines_, expected);
}

}  // namespace
}  // namespace factorial
