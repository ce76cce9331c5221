#include "greenback/senders/internal/stop_token.h"

#include <atomic>
#include <mutex>
#include <thread>

namespace greenback::internal {

void StopSource::RequestStop() noexcept {
  std::unique_lock<std::mutex> lock(mutex_);
  if (requested_.load(std::memory_order_relaxed)) return;
  requested_.store(true, std::memory_order_release);
  caller_ = std::this_thread::get_id();
  while (StopCallbackBase* const callback = callbacks_.first()) {
    callback->LeaveList();
    calling_ = callback;
    lock.unlock();
    callback->Call();
    lock.lock();
    calling_ = nullptr;
    called_.notify_all();
  }
}

bool StopSource::Add(StopCallbackBase& callback) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (requested_.load(std::memory_order_relaxed)) return false;
  callbacks_.PushFront(callback);
  return true;
}

void StopSource::Remove(StopCallbackBase& callback) noexcept {
  std::unique_lock<std::mutex> lock(mutex_);
  if (callback.is_in_list()) {
    callback.LeaveList();
  } else if (calling_ == &callback) {
    if (caller_ == std::this_thread::get_id()) {
      // It destroys itself. Another callback may be made in its place before
      // the call returns.
      calling_ = nullptr;
    } else {
      called_.wait(lock, [&] { return calling_ != &callback; });
    }
  }
}

}  // namespace greenback::internal
