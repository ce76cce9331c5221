// AutoAwait() where there can be no co_await: an object whose constructor logs
// in to a server, and whose destructor logs out, each of them waiting for it.
// Two tasks have such an object; they wait for their own, not for each other.
#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "greenback/greenback.h"
#include "util/auto_await.h"

class Session {
 public:
  explicit Session(std::string user) : user_(std::move(user)) {
    const auto log_in = greenback::AutoAwait(&Session::LogIn);
    log_in(this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    const auto log_out = greenback::AutoAwait(&Session::LogOut);
    log_out(this);
  }

  void Work() { std::printf("%s works\n", user_.c_str()); }

 private:
  // A real program would ask a server; this one only lets other tasks run.
  greenback::Co<void> LogIn() {
    std::printf("%s logs in\n", user_.c_str());
    co_await greenback::CancelShieldedCheckpoint();
    std::printf("%s is in\n", user_.c_str());
  }
  greenback::Co<void> LogOut() {
    std::printf("%s logs out\n", user_.c_str());
    co_await greenback::CancelShieldedCheckpoint();
    std::printf("%s is out\n", user_.c_str());
  }

  std::string user_;
};

// Plain code, with a plain object.
void WorkInSession(const std::string& user) {
  Session session(user);
  session.Work();
}

greenback::Co<void> WorkInTask(std::string user) {
  co_await greenback::WithPortalRunSync(WorkInSession, std::move(user));
}

greenback::Co<absl::Status> Main() {
  co_return co_await greenback::OpenNursery(
      [](greenback::Nursery& nursery) -> greenback::Co<void> {
        nursery.StartSoon(WorkInTask, "ann");
        nursery.StartSoon(WorkInTask, "bob");
        co_return;
      });
}

int main() { return greenback::Run(Main).ok() ? 0 : 1; }
