// Runs a program for a test that compares what it prints. Knows nothing of
// greenback, on purpose.
#ifndef GREENBACK_DOCS_EXAMPLES_RUN_PROGRAM_FOR_TEST_H_
#define GREENBACK_DOCS_EXAMPLES_RUN_PROGRAM_FOR_TEST_H_

#include <functional>
#include <string>
#include <vector>

namespace docs {

struct Outcome {
  int exit_code = -1;              // -1: not started, or ended by a signal
  std::vector<std::string> lines;  // of standard output
  std::vector<std::string> error_lines;
};

// `command`: the program's path, and its arguments. `path`: its PATH; empty:
// this process's. `on_line` is called with each line of its standard output as
// it comes.
Outcome RunProgram(
    const std::vector<std::string>& command, const std::string& path = "",
    const std::function<void(const std::string&)>& on_line = nullptr);

std::vector<std::string> SplitLines(const std::string& text);

// A `sleep` that sleeps until it is told to go on: puts itself in front of PATH
// for programs that are given path(). A test that uses it asserts an order, not
// a duration.
class FakeSleep {
 public:
  FakeSleep();
  FakeSleep(const FakeSleep&) = delete;
  FakeSleep& operator=(const FakeSleep&) = delete;
  ~FakeSleep();

  const std::string& path() const { return path_; }
  // Until so many sleepers sleep. False: they did not in half a minute.
  bool WaitForSleepers(int count);
  // Wakes so many, now or when they come.
  void Wake(int count);

 private:
  std::string directory_;
  std::string path_;
  int asleep_ = -1;  // a line from each sleeper
  int wake_ = -1;    // a line for each
};

}  // namespace docs

#endif  // GREENBACK_DOCS_EXAMPLES_RUN_PROGRAM_FOR_TEST_H_
