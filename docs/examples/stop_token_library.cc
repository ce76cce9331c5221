// A coroutine library with stop tokens, as docs/hosts.md shows it. A promise
// with a member get_stop_token() needs nothing else: cancelling the coroutine
// cancels what a plain function below its portal waits for.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/greenback.h"

// Another library: its coroutines start at once and have a stop token.
namespace mylib {

class Task {
 public:
  struct promise_type {
    Task get_return_object() { return Task(*this); }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
    std::stop_token get_stop_token() const { return stop.get_token(); }

    std::stop_source stop;
  };

  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { handle_.destroy(); }

  void Cancel() { handle_.promise().stop.request_stop(); }
  bool done() const { return handle_.done(); }

 private:
  explicit Task(promise_type& promise)
      : handle_(std::coroutine_handle<promise_type>::from_promise(promise)) {}

  std::coroutine_handle<promise_type> handle_;
};

}  // namespace mylib

// A third library, with callbacks.
class Directory {
 public:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  void LookUp(int id, Done done) { waiting_[id] = std::move(done); }
  void Answer(int id, const std::string& name) { End(id, name); }
  void Cancel(int id) {
    std::printf("the lookup of %d is cancelled\n", id);
    End(id, absl::CancelledError("lookup"));
  }

 private:
  void End(int id, absl::StatusOr<std::string> result) {
    const Done done = std::move(waiting_[id]);
    waiting_.erase(id);
    done(std::move(result));
  }

  std::map<int, Done> waiting_;
};

auto LookUp(Directory& directory, int id) {
  return greenback::FromCallback<absl::StatusOr<std::string>>(
      [&directory, id](auto done) { directory.LookUp(id, done); },
      [&directory, id] { directory.Cancel(id); });
}

// Plain code.
void PrintNames(Directory& directory) {
  for (int id = 1;; ++id) {
    const absl::StatusOr<std::string> name =
        greenback::Await(LookUp(directory, id));
    if (!name.ok()) break;
    std::printf("%d is %s\n", id, name->c_str());
  }
  std::printf("no more names\n");
}

mylib::Task Main(Directory& directory) {
  co_await greenback::WithPortalRunSync(PrintNames, std::ref(directory));
  std::printf("main ends\n");
}

int main() {
  Directory directory;
  mylib::Task task = Main(directory);
  directory.Answer(1, "ann");
  directory.Answer(2, "bob");
  task.Cancel();
  return task.done() ? 0 : 1;
}
