#include "greenback/runtime/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <coroutine>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/internal/reactor.h"
#include "greenback/runtime/internal/reactor_context.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/task.h"

extern char** environ;

namespace greenback {
namespace {

using Descriptor = boost::asio::posix::stream_descriptor;

absl::Status ErrnoStatus(int error, const std::string& what) {
  return absl::ErrnoToStatus(error, absl::StrCat("greenback: ", what));
}

absl::Status ExitLost(int error) {
  return ErrnoStatus(
      error,
      "a process has ended, and its exit status is lost: SIGCHLD "
      "is ignored in this program, or other code waits for its "
      "children");
}

// Waits until a descriptor is ready. Cancelled through Asio, so a cancelled
// wait ends when Asio calls the handler.
class ReadyAwaiter final : private internal::CancellableWait {
 public:
  ReadyAwaiter(Descriptor& descriptor, Descriptor::wait_type what)
      : descriptor_(descriptor), what_(what) {}
  // If the waiting coroutine is destroyed, the handler outlives this.
  ~ReadyAwaiter() {
    if (!is_waiting() || waiting_ == nullptr) return;
    *waiting_ = nullptr;
    descriptor_.cancel();
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    if (!Begin(internal::CurrentCancellable(), handle)) return;
    internal::Reactor& reactor = internal::Loop::Current()->reactor();
    waiting_ = std::make_shared<ReadyAwaiter*>(this);
    descriptor_.async_wait(what_, [waiting = waiting_, &reactor](
                                      const boost::system::error_code& error) {
      reactor.OperationEnded();
      if (*waiting == nullptr) return;
      (*waiting)->error_ = error;
      (*waiting)->Finish();
    });
    reactor.OperationStarted();
  }
  absl::Status await_resume() {
    // Asio reports the cancellation by Abort() as an error of the operation.
    if (error_ == boost::asio::error::operation_aborted) MarkCancelled();
    absl::Status status = TakeResult();
    if (!status.ok()) return status;
    if (error_) return ErrnoStatus(error_.value(), "waiting for a descriptor");
    return absl::OkStatus();
  }

 private:
  bool Abort() override {
    descriptor_.cancel();
    return false;
  }

  Descriptor& descriptor_;
  const Descriptor::wait_type what_;
  // Shared with the handler; points to null once this is destroyed.
  std::shared_ptr<ReadyAwaiter*> waiting_;
  boost::system::error_code error_;
};

// Has `to` watch and own `descriptor`, unless that fails.
absl::Status Assign(Descriptor& to, int descriptor) {
  boost::system::error_code error;
  to.assign(descriptor, error);
  if (error) return ErrnoStatus(error.value(), "watching a descriptor");
  return absl::OkStatus();
}

// P_PIDFD, which older C libraries do not define.
constexpr idtype_t kByPidfd = static_cast<idtype_t>(3);

// Returns a pidfd, which is close-on-exec, or -1 and sets errno.
int OpenPidfd(pid_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

// waitid(), continued when a signal interrupts it. Returns 0 or an errno.
int WaitForExit(idtype_t by, id_t id, siginfo_t& info, int flags) {
  while (waitid(by, id, &info, WEXITED | flags) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// A child, which is killed and reaped unless Reap() was called. It is known by
// its pidfd alone: once other code has waited for it, its number may belong to
// another process.
class Child {
 public:
  // Takes ownership of `pidfd`. `exited` is for Watch().
  Child(int pidfd, Descriptor exited) noexcept
      : pidfd_(pidfd), exited_(std::move(exited)) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!is_reaped_) {
      Kill();
      (void)Reap();
    }
    if (!exited_.is_open()) close(pidfd_);
  }

  // To be called before Wait().
  absl::Status Watch() { return Assign(exited_, pidfd_); }

  void Kill() { syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0); }

  // Waits until the child has ended.
  Co<absl::Status> Wait() {
    co_return co_await ReadyAwaiter(exited_, Descriptor::wait_read);
  }

  // Returns how the child ended; blocks until then if it has not ended.
  absl::StatusOr<ProcessResult> Reap() {
    fcntl(pidfd_, F_SETFL, 0);  // Asio has made it non-blocking
    siginfo_t info = {};
    const int error = WaitForExit(kByPidfd, static_cast<id_t>(pidfd_), info, 0);
    is_reaped_ = true;
    if (error != 0) return ExitLost(error);
    ProcessResult result;
    (info.si_code == CLD_EXITED ? result.exit_code : result.signal) =
        info.si_status;
    return result;
  }

 private:
  const int pidfd_;
  Descriptor exited_;  // the pidfd: readable when the child has ended
  bool is_reaped_ = false;
};

// Our end and the child's end of a pipe; -1 if not open.
struct Pipe {
  int ours = -1;
  int childs = -1;

  absl::Status Open(bool child_reads) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
    ours = ends[child_reads ? 1 : 0];
    childs = ends[child_reads ? 0 : 1];
    fcntl(ours, F_SETFL, O_NONBLOCK);
    return absl::OkStatus();
  }
  void CloseChilds() {
    if (childs >= 0) close(std::exchange(childs, -1));
  }
  ~Pipe() {
    if (ours >= 0) close(ours);
    CloseChilds();
  }
};

// The most bytes to read or write between two checkpoints: as much as a pipe
// holds, so that the checkpoint costs little in comparison with the copying.
constexpr size_t kMostAtOnce = 64 << 10;

Co<absl::Status> ReadAll(Descriptor from, std::string& to) {
  char buffer[kMostAtOnce];
  for (;;) {
    const ssize_t count = read(from.native_handle(), buffer, sizeof(buffer));
    if (count > 0) {
      to.append(buffer, static_cast<size_t>(count));
      // The pipe of a process that writes without end is always ready; other
      // tasks must run nevertheless.
      absl::Status status = co_await Checkpoint();
      if (!status.ok()) co_return status;
    } else if (count == 0) {
      co_return absl::OkStatus();
    } else if (errno == EAGAIN) {
      absl::Status ready = co_await ReadyAwaiter(from, Descriptor::wait_read);
      if (!ready.ok()) co_return ready;
    } else if (errno != EINTR) {
      co_return ErrnoStatus(errno, "reading a process's output");
    }
  }
}

// write() to a pipe that may have lost its reader: fails with EPIPE and raises
// no SIGPIPE, which would end a program that does not handle it.
ssize_t WriteToPipe(int descriptor, const char* data, size_t size) {
  sigset_t pipe, before, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t count = write(descriptor, data, size);
  const int error = errno;
  if (count < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    const timespec no_time = {};
    while (sigtimedwait(&pipe, nullptr, &no_time) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return count;
}

Co<absl::Status> WriteAll(Descriptor to, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count =
        WriteToPipe(to.native_handle(), text.data() + written,
                    std::min(text.size() - written, kMostAtOnce));
    if (count >= 0) {
      written += static_cast<size_t>(count);
      // As in ReadAll().
      absl::Status status = co_await Checkpoint();
      if (!status.ok()) co_return status;
    } else if (errno == EAGAIN) {
      absl::Status ready = co_await ReadyAwaiter(to, Descriptor::wait_write);
      if (!ready.ok()) co_return ready;
    } else if (errno == EPIPE) {
      break;  // the process does not want the rest
    } else if (errno != EINTR) {
      co_return ErrnoStatus(errno, "writing a process's input");
    }
  }
  co_return absl::OkStatus();
}

// Refuses texts that the system would cut off or misunderstand.
absl::Status CheckTexts(const ProcessOptions& options) {
  const auto invalid = [](const auto&... what) {
    return absl::InvalidArgumentError(
        absl::StrCat("greenback::RunProcess(): ", what...));
  };
  constexpr char kNull[] =
      " has a null character, at which the system would cut it off";
  if (options.arguments.empty()) {
    return invalid("no program; the first argument is its name");
  }
  for (size_t i = 0; i < options.arguments.size(); ++i) {
    if (absl::StrContains(options.arguments[i], '\0')) {
      return invalid("arguments[", i, "]", kNull);
    }
  }
  if (options.environment) {
    for (size_t i = 0; i < options.environment->size(); ++i) {
      const std::string& entry = (*options.environment)[i];
      // The entry is not quoted, since it may be a secret.
      if (absl::StrContains(entry, '\0')) {
        return invalid("environment[", i, "]", kNull);
      }
      const size_t equals = entry.find('=');
      if (equals == std::string::npos || equals == 0) {
        return invalid("environment[", i, "] is not of the form NAME=value");
      }
    }
  }
  if (absl::StrContains(options.working_directory, '\0')) {
    return invalid("working_directory", kNull);
  }
  return absl::OkStatus();
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(const ProcessOptions& options, const Pipe& in,
                            const Pipe& out, const Pipe& err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup destroy_actions = [&] {
    posix_spawn_file_actions_destroy(&actions);
  };
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup destroy_attributes = [&] {
    posix_spawnattr_destroy(&attributes);
  };
  if (in.childs >= 0) {
    posix_spawn_file_actions_adddup2(&actions, in.childs, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
  }
  if (out.childs >= 0) {
    posix_spawn_file_actions_adddup2(&actions, out.childs, STDOUT_FILENO);
  }
  if (err.childs >= 0) {
    posix_spawn_file_actions_adddup2(&actions, err.childs, STDERR_FILENO);
  }
  if (!options.working_directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions,
                                         options.working_directory.c_str());
  }
  // The child does not inherit how this process treats signals.
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> arguments = Pointers(options.arguments);
  std::vector<char*> environment;
  if (options.environment) environment = Pointers(*options.environment);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(),
                   options.environment ? environment.data() : environ);
  if (error != 0) {
    std::string what =
        absl::StrCat("cannot run \"", options.arguments[0], "\"");
    if (!options.working_directory.empty()) {
      absl::StrAppend(&what, " in \"", options.working_directory, "\"");
    }
    return ErrnoStatus(error, what);
  }
  return pid;
}

// Checks that a pidfd can be opened and waited for, before a child is started:
// afterwards it would be too late. While `reserved` is open, its place in the
// table of descriptors is reserved for the child's pidfd.
absl::Status ReservePidfd(int& reserved) {
  reserved = OpenPidfd(getpid());
  if (reserved < 0 && errno != ENOSYS) return ErrnoStatus(errno, "pidfd_open");
  siginfo_t info = {};
  if (reserved < 0 || WaitForExit(kByPidfd, static_cast<id_t>(reserved), info,
                                  WNOHANG) == EINVAL) {
    return absl::UnimplementedError(
        "greenback::RunProcess(): needs Linux 5.4 or newer (waitid(P_PIDFD))");
  }
  return absl::OkStatus();
}

// Returns the pidfd of the child `pid`, which has just been started. If none
// can be opened, kills the child and waits for it.
absl::StatusOr<int> PidfdOfChild(pid_t pid) {
  const int pidfd = OpenPidfd(pid);
  if (pidfd >= 0) return pidfd;
  const int error = errno;
  // The child has ended, and other code has waited for it.
  if (error == ESRCH) return ExitLost(error);
  // Another thread has taken the reserved place, or there is no memory. The
  // number belongs to the child as long as no code has waited for it.
  siginfo_t info = {};
  const id_t id = static_cast<id_t>(pid);
  if (WaitForExit(P_PID, id, info, WNOHANG | WNOWAIT) == 0) {
    kill(pid, SIGKILL);
    (void)WaitForExit(P_PID, id, info, 0);
  }
  return ErrnoStatus(error, "pidfd_open");
}

}  // namespace

Co<absl::StatusOr<ProcessResult>> RunProcess(ProcessOptions options) {
  // Every path is a checkpoint, also if nothing can be started.
  absl::Status cancelled = co_await Checkpoint();
  if (!cancelled.ok()) co_return cancelled;
  absl::Status valid = CheckTexts(options);
  if (!valid.ok()) co_return valid;
  Pipe in, out, err;
  absl::Status opened;
  if (!options.input.empty()) opened.Update(in.Open(/*child_reads=*/true));
  if (options.capture_stdout) opened.Update(out.Open(/*child_reads=*/false));
  if (options.capture_stderr) opened.Update(err.Open(/*child_reads=*/false));
  if (!opened.ok()) co_return opened;
  boost::asio::io_context& io =
      internal::Loop::Current()->reactor().context().io;
  Descriptor exited(io);
  int reserved = -1;
  absl::Cleanup close_reserved = [&reserved] {
    if (reserved >= 0) close(reserved);
  };
  absl::Status can_reserve = ReservePidfd(reserved);
  if (!can_reserve.ok()) co_return can_reserve;
  absl::StatusOr<pid_t> pid = Spawn(options, in, out, err);
  if (!pid.ok()) co_return pid.status();
  std::move(close_reserved).Invoke();
  absl::StatusOr<int> pidfd = PidfdOfChild(*pid);
  if (!pidfd.ok()) co_return pidfd.status();
  Child child(*pidfd, std::move(exited));
  in.CloseChilds();
  out.CloseChilds();
  err.CloseChilds();
  absl::Status watched = child.Watch();
  if (!watched.ok()) co_return watched;
  std::string stdout_text;
  std::string stderr_text;
  absl::Status status =
      co_await OpenNursery([&](Nursery& nursery) -> Co<absl::Status> {
        const auto start = [&](Pipe& pipe, auto talk, auto text) {
          Descriptor descriptor(io);
          if (pipe.ours < 0) return absl::OkStatus();
          absl::Status assigned = Assign(descriptor, pipe.ours);
          if (!assigned.ok()) return assigned;
          pipe.ours = -1;
          nursery.StartSoon(talk, std::move(descriptor), text);
          return assigned;
        };
        absl::Status started = start(in, WriteAll, std::cref(options.input));
        started.Update(start(out, ReadAll, std::ref(stdout_text)));
        started.Update(start(err, ReadAll, std::ref(stderr_text)));
        if (!started.ok()) co_return started;
        absl::Status waited = co_await child.Wait();
        if (!waited.ok()) child.Kill();
        co_return waited;
      });
  if (!status.ok()) {
    // A reader may have failed while the process is still running.
    child.Kill();
    CancelScope shielded;
    shielded.set_shield(true);
    absl::Status ended = co_await child.Wait();
    if (!ended.ok()) co_return ended;
    co_return status;
  }
  absl::StatusOr<ProcessResult> reaped = child.Reap();
  if (!reaped.ok()) co_return reaped.status();
  ProcessResult result = *std::move(reaped);
  result.stdout_text = std::move(stdout_text);
  result.stderr_text = std::move(stderr_text);
  co_return result;
}

}  // namespace greenback
