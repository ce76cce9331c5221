#include "docs/examples/run_program_for_test.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace docs {
namespace {

std::string ReadFromStart(int file) {
  std::string text;
  char buffer[4096];
  ssize_t count;
  while ((count = pread(file, buffer, sizeof(buffer),
                        static_cast<off_t>(text.size()))) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

}  // namespace

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Outcome RunProgram(const std::vector<std::string>& command,
                   const std::string& path,
                   const std::function<void(const std::string&)>& on_line) {
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return {};
  FILE* const errors = std::tmpfile();

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  std::string path_setting = "PATH=" + path;
  std::vector<char*> environment;
  for (char** setting = environ; *setting != nullptr; ++setting) {
    if (!path.empty() && std::strncmp(*setting, "PATH=", 5) == 0) continue;
    environment.push_back(*setting);
  }
  if (!path.empty()) environment.push_back(path_setting.data());
  environment.push_back(nullptr);

  pid_t pid = 0;
  const int error = posix_spawn(&pid, arguments[0], &actions, nullptr,
                                arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(output[1]);
  Outcome outcome;
  if (error != 0) {
    outcome.error_lines = {std::string(arguments[0]) + ": " +
                           std::strerror(error)};
  } else {
    FILE* const lines = fdopen(output[0], "r");
    char* line = nullptr;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, lines)) >= 0) {
      outcome.lines.emplace_back(line, static_cast<size_t>(length));
      if (outcome.lines.back().back() == '\n') outcome.lines.back().pop_back();
      if (on_line) on_line(outcome.lines.back());
    }
    std::free(line);
    std::fclose(lines);
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
    outcome.error_lines = SplitLines(ReadFromStart(fileno(errors)));
  }
  if (error != 0) close(output[0]);
  std::fclose(errors);
  return outcome;
}

FakeSleep::FakeSleep() {
  const char* parent = std::getenv("TEST_TMPDIR");
  directory_ = std::string(parent ? parent : "/tmp") + "/fake_sleep_XXXXXX";
  if (mkdtemp(directory_.data()) == nullptr) std::abort();
  const char* path = std::getenv("PATH");
  path_ = directory_ + ":" + (path ? path : "/usr/bin:/bin");
  const std::string asleep = directory_ + "/asleep";
  const std::string wake = directory_ + "/wake";
  mkfifo(asleep.c_str(), 0600);
  mkfifo(wake.c_str(), 0600);
  // For both directions: so that no sleeper waits in open(), and none meets the
  // end of the file.
  asleep_ = open(asleep.c_str(), O_RDWR | O_CLOEXEC);
  wake_ = open(wake.c_str(), O_RDWR | O_CLOEXEC);
  const std::string sleep = directory_ + "/sleep";
  std::ofstream(sleep) << "#!/bin/sh\necho > '" << asleep
                       << "' && read -r _ < '" << wake << "'\n";
  chmod(sleep.c_str(), 0700);
}

FakeSleep::~FakeSleep() {
  // Nobody is left sleeping: neither one that is on its way, nor one whose
  // parent was killed.
  Wake(1000);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  close(asleep_);
  close(wake_);
}

bool FakeSleep::WaitForSleepers(int count) {
  while (count > 0) {
    pollfd readable = {asleep_, POLLIN, 0};
    if (poll(&readable, 1, 30'000) != 1) return false;
    char lines[64];
    const auto wanted = static_cast<size_t>(count);
    const ssize_t came =
        read(asleep_, lines, wanted < sizeof(lines) ? wanted : sizeof(lines));
    if (came <= 0) return false;
    count -= static_cast<int>(came);
  }
  return true;
}

void FakeSleep::Wake(int count) {
  const std::string lines(static_cast<size_t>(count), '\n');
  if (write(wake_, lines.data(), lines.size()) < 0) std::abort();
}

}  // namespace docs
