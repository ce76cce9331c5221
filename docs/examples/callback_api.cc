// A library with a callback API below synchronous code, as docs/quickstart.md
// shows it.
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "greenback/greenback.h"

// Somebody's library. It calls back on a thread of its own, or at once when it
// knows the answer.
class Directory {
 public:
  ~Directory() {
    for (std::thread& thread : threads_) thread.join();
  }

  void LookUp(int id, std::function<void(std::string)> done) {
    if (id == 0) return done("root");
    threads_.emplace_back(
        [id, done = std::move(done)] { done(absl::StrCat("user", id)); });
  }

 private:
  std::vector<std::thread> threads_;
};

std::string LookUpName(Directory& directory, int id) {
  return greenback::Await(greenback::FromCallback<std::string>(
      [&](auto done) { directory.LookUp(id, done); }));
}

// Plain code, which knows of neither callbacks nor coroutines.
std::string ListNames(Directory& directory) {
  std::vector<std::string> names;
  for (int id = 0; id < 3; ++id) names.push_back(LookUpName(directory, id));
  return absl::StrJoin(names, " ");
}

greenback::Co<std::string> Main() {
  Directory directory;
  co_return co_await greenback::WithPortalRunSync(ListNames,
                                                  std::ref(directory));
}

int main() {
  const std::string names = greenback::Run(Main);
  std::printf("%s\n", names.c_str());
  return names == "root user1 user2" ? 0 : 1;
}
