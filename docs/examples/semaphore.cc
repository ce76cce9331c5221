// A wait of your own: a semaphore for the tasks of a run, built from
// WaitTaskRescheduled() and Reschedule(). Three cooks share two stoves.
#include <cstdio>
#include <functional>
#include <list>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/greenback.h"

class Semaphore {
 public:
  // Returns its place when it is destroyed, also where the task that received
  // it is cancelled, or destroyed, before it can look at it.
  class Permit {
   public:
    explicit Permit(Semaphore& semaphore) : semaphore_(&semaphore) {}
    Permit(Permit&& other) noexcept
        : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (semaphore_ != nullptr) semaphore_->Release();
    }

   private:
    Semaphore* semaphore_;
  };

  explicit Semaphore(int places) : places_(places) {}

  greenback::Co<absl::StatusOr<Permit>> Acquire() {
    if (places_ > 0) {
      --places_;
      Permit permit(*this);
      absl::Status status = co_await greenback::Checkpoint();
      if (!status.ok()) co_return status;
      co_return permit;
    }
    auto place = waiting_.insert(waiting_.end(), &greenback::CurrentTask());
    co_return co_await greenback::WaitTaskRescheduled<Permit>([this, place] {
      waiting_.erase(place);  // nothing will wake this task any more
      return greenback::Abort::kSucceeded;
    });
  }

 private:
  // Hands the place over to the task that has waited longest.
  void Release() {
    if (waiting_.empty()) {
      ++places_;
      return;
    }
    greenback::Task& task = *waiting_.front();
    waiting_.pop_front();
    greenback::Reschedule(task, Permit(*this));
  }

  int places_;
  std::list<greenback::Task*> waiting_;
};

// Plain code.
void Cook(Semaphore& stoves, const std::string& dish, int stirs) {
  absl::StatusOr<Semaphore::Permit> stove = greenback::Await(stoves.Acquire());
  if (!stove.ok()) return;
  std::printf("%s is on\n", dish.c_str());
  for (int i = 0; i < stirs; ++i) {
    if (!greenback::Await(greenback::Checkpoint()).ok()) return;
  }
  std::printf("%s is done\n", dish.c_str());
}

greenback::Co<void> CookInPortal(Semaphore& stoves, std::string dish,
                                 int stirs) {
  co_await greenback::WithPortalRunSync(Cook, std::ref(stoves), dish, stirs);
}

greenback::Co<absl::Status> Main() {
  Semaphore stoves(2);
  co_return co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> greenback::Co<void> {
        nursery.StartSoon(CookInPortal, std::ref(stoves), "soup", 2);
        nursery.StartSoon(CookInPortal, std::ref(stoves), "rice", 9);
        nursery.StartSoon(CookInPortal, std::ref(stoves), "tea", 1);
        co_return;
      });
}

int main() { return greenback::Run(Main).ok() ? 0 : 1; }
