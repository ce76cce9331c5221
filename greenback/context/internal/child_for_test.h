// RunInChild(body): how a process ends, and what it prints, for tests.
//
// Not a gtest death test, as those cannot check what must *not* be printed. The
// handlers of stack_overflow.h are installed once a process: no test may
// install them in the parent.
#ifndef GREENBACK_CONTEXT_INTERNAL_CHILD_FOR_TEST_H_
#define GREENBACK_CONTEXT_INTERNAL_CHILD_FOR_TEST_H_

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>

#include "gtest/gtest.h"

namespace greenback::context {

struct Ended {
  int status = 0;
  std::string text;  // what it wrote to stderr

  bool By(int signal) const {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
  }
  bool ByExit(int code) const {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
  }
};

// Runs `body` in a child process, which exits with 0 after it.
inline Ended RunInChild(const std::function<void()>& body) {
  std::fflush(nullptr);
  int output[2];
  EXPECT_EQ(pipe(output), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(output[1], STDERR_FILENO);
    close(output[0]);
    close(output[1]);
    body();
    _exit(0);
  }
  close(output[1]);
  Ended ended;
  char buffer[4096];
  ssize_t size;
  while ((size = read(output[0], buffer, sizeof(buffer))) > 0) {
    ended.text.append(buffer, static_cast<size_t>(size));
  }
  close(output[0]);
  EXPECT_EQ(waitpid(child, &ended.status, 0), child);
  // qemu-user adds a line when a signal ends the program that it emulates.
  const size_t emulator = ended.text.find("qemu: uncaught target signal ");
  if (emulator != std::string::npos) ended.text.erase(emulator);
  return ended;
}

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_INTERNAL_CHILD_FOR_TEST_H_
