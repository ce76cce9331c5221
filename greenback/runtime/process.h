// RunProcess(): runs a program and waits for it, while other tasks run.
//
//   absl::StatusOr<greenback::ProcessResult> ran =
//       co_await greenback::RunProcess({"sh", "-c", "sort | uniq -c"});
//
//   greenback::ProcessOptions options({"cc", "-c", file});
//   options.working_directory = build;
//   options.capture_stderr = true;
//   absl::StatusOr<greenback::ProcessResult> compiled =
//       greenback::Await(greenback::RunProcess(std::move(options)));
//
// Suspends until the process has ended and its captured output is read to the
// end: always a schedule point and a cancellation point. When the task is
// cancelled, the process is killed and waited for before kCancelled is
// returned, so no child is left behind, running or as a zombie. Processes that
// it has started itself are not killed. A task that is already cancelled starts
// nothing. A process that reads or writes without end does not keep other tasks
// from running.
//
// The process is signalled and waited for through its pidfd, never by a number
// that may belong to another process by then. Needs Linux 5.4
// (waitid(P_PIDFD)); on older kernels the result is Unimplemented and nothing
// is started. Does not touch SIGCHLD. Only in a task of a run.
//
// Errors: InvalidArgument, which names the option, for texts that the system
// cannot take; NotFound, PermissionDenied and the like if the program cannot be
// started. An exit code other than 0 and a signal are results, not errors.
#ifndef GREENBACK_RUNTIME_PROCESS_H_
#define GREENBACK_RUNTIME_PROCESS_H_

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "greenback/runtime/co.h"

namespace greenback {

struct ProcessOptions {
  // RunProcess({"sh", "-c", script}). Not an initializer_list, which g++ 12
  // does not compile inside a co_await.
  template <std::convertible_to<std::string>... Texts>
    requires(sizeof...(Texts) > 0)
  // NOLINTNEXTLINE(google-explicit-constructor)
  ProcessOptions(Texts&&... texts) {
    arguments.reserve(sizeof...(Texts));
    (arguments.push_back(std::forward<Texts>(texts)), ...);
  }
  // A template, so that ProcessOptions({"cc", "-c", file}) means the
  // constructor above, and is not ambiguous.
  template <std::same_as<std::vector<std::string>> Texts>
  explicit ProcessOptions(Texts texts) : arguments(std::move(texts)) {}

  // The program, which is looked up in PATH if its name has no slash, and its
  // arguments.
  std::vector<std::string> arguments;

  // Each entry is "NAME=value", and the name is not empty. Inherited if not
  // set. No text in these options may have a null character.
  std::optional<std::vector<std::string>> environment;

  // Inherited if empty.
  std::string working_directory;

  // What the process reads from its standard input; empty by default.
  std::string input;

  // Whether the output is captured in the result. If not, the process writes
  // where this process does.
  bool capture_stdout = false;
  bool capture_stderr = false;
};

struct ProcessResult {
  int exit_code = 0;  // if `signal` is 0
  int signal = 0;     // the signal that ended it, or 0
  std::string stdout_text;
  std::string stderr_text;

  bool ok() const { return signal == 0 && exit_code == 0; }
};

Co<absl::StatusOr<ProcessResult>> RunProcess(ProcessOptions options);

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_PROCESS_H_
