// The bottom of the example: runs a command in a shell. There are two of it,
// and a program links one: blocking_shell.cc holds up the thread until the
// command has ended, async_shell.cc only the task.
#ifndef GREENBACK_DOCS_EXAMPLES_FACTORIAL_SHELL_H_
#define GREENBACK_DOCS_EXAMPLES_FACTORIAL_SHELL_H_

#include <string>

#include "absl/status/status.h"

namespace factorial {

// What the command prints goes where the program prints. An error when there is
// no shell, or when the command fails.
absl::Status RunShell(const std::string& command);

// For --delay: a command sleeps for `seconds` first. Which one? In the
// asynchronous program, each that the task called `who` runs; in the blocking
// one, where all is one task, the next. An empty `who`: none.
void SlowDown(const std::string& who, double seconds);

}  // namespace factorial

#endif  // GREENBACK_DOCS_EXAMPLES_FACTORIAL_SHELL_H_
