#include "greenback/host/waker.h"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "greenback/host/parked_start.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"

namespace greenback::internal {
namespace {

// Ends the wait of `waiter`, and lets it resume.
void EndWait(WakenWaiter& waiter) noexcept {
  if (waiter.task != nullptr) {
    PortalAccess::Wake(waiter);
  } else if (waiter.Fire() && !StartMark::Completes(waiter.start_mark)) {
    ResumeAndTransfer(waiter.handle);  // a coroutine in no task
  }
}

}  // namespace

struct Fire {
  bool await_ready() const noexcept { return false; }
  void await_suspend(WakerHandle waker) const noexcept {
    // The promise is not read after this: before EndWait() returns, another
    // thread may be waiting again, with this very handle.
    EndWait(*waker.promise().waiter_);
  }
  void await_resume() const noexcept {}
};

namespace {

struct Waker {
  using promise_type = WakerPromise;
  // A coroutine's return object. NOLINTNEXTLINE(google-explicit-constructor)
  Waker(WakerHandle made) : handle(made) {}
  WakerHandle handle;
};

Waker MakeWaker() {
  for (;;) co_await Fire();
}

}  // namespace

// The number of idle wakers that a thread keeps. One that parks deep and often
// has many; more than this are not worth keeping.
constexpr size_t kMostKept = 256;

// Trivially destructible, because it is used after the thread-local objects of
// the main thread are destroyed: a static object may own the last frames that
// hold a waker. No wakers are kept by then.
struct WakerCache {
  static WakerHandle& Next(WakerHandle waker) { return waker.promise().next_; }

  WakerHandle idle;
  size_t idle_count = 0;
  size_t most_kept = 0;  // kMostKept while there is a WakerCacheOwner
};
static_assert(std::is_trivially_destructible_v<WakerCache>);

namespace {

// Not inlined: see ThisThread().
__attribute__((noinline)) WakerCache& Cache() {
  thread_local constinit WakerCache cache;
  asm volatile("" ::: "memory");
  return cache;
}

class WakerCacheOwner {
 public:
  explicit WakerCacheOwner(WakerCache& cache) : cache_(cache) {
    cache_.most_kept = kMostKept;
  }
  WakerCacheOwner(const WakerCacheOwner&) = delete;
  WakerCacheOwner& operator=(const WakerCacheOwner&) = delete;
  ~WakerCacheOwner() {
    cache_.most_kept = 0;
    while (cache_.idle) {
      std::exchange(cache_.idle, WakerCache::Next(cache_.idle)).destroy();
    }
  }

 private:
  WakerCache& cache_;
};

// Called for the first waker of this thread, and when the cache is full or its
// owner has been destroyed.
__attribute__((noinline)) void MakeCacheOwner(WakerCache& cache) {
  thread_local const WakerCacheOwner owner(cache);
}

}  // namespace

// Passes on the cancellation of a task.
class StopOnCancel final : private CancelHook {
 public:
  explicit StopOnCancel(PortalTask* task) : task_(task) {
    if (task_ != nullptr && !PortalAccess::AddCancelHook(*task_, *this)) {
      stop_.request_stop();
    }
  }
  StopOnCancel(const StopOnCancel&) = delete;
  StopOnCancel& operator=(const StopOnCancel&) = delete;
  ~StopOnCancel() {
    if (task_ != nullptr) PortalAccess::RemoveCancelHook(*task_, *this);
  }

  std::stop_token token() const { return stop_.get_token(); }

 private:
  // A copy, because the wait may end, and this be destroyed, meanwhile.
  void OnCancel() override { std::stop_source(stop_).request_stop(); }

  PortalTask* const task_;
  std::stop_source stop_;
};

WakerPromise::WakerPromise() = default;

std::stop_token WakerPromise::get_stop_token() {
  if (stop_ == nullptr) stop_ = std::make_unique<StopOnCancel>(task());
  return stop_->token();
}

WakerPromise::~WakerPromise() {
  if (lease_ == nullptr) return;
  lease_->handle_ = nullptr;
  EndWait(*waiter_);
}

WakerLease::WakerLease(WakenWaiter& waiter) {
  WakerCache& cache = Cache();
  WakerHandle waker = cache.idle;
  if (waker) [[likely]] {
    cache.idle = waker.promise().next_;
    --cache.idle_count;
  } else {
    waker = MakeWaker().handle;
  }
  waker.promise().waiter_ = &waiter;
  waker.promise().lease_ = this;
  handle_ = waker;
  if (waiter.kind() == Waiter::Kind::kFiber) waiter.handle = waker;
}

WakerLease::~WakerLease() {
  const WakerHandle waker = handle_;
  if (waker == nullptr) [[unlikely]]
    return;
  waker.promise().lease_ = nullptr;
  if (waker.promise().stop_ != nullptr) [[unlikely]]
    waker.promise().stop_ = nullptr;
  WakerCache& cache = Cache();
  if (cache.idle_count >= cache.most_kept) [[unlikely]] {
    MakeCacheOwner(cache);
    if (cache.idle_count >= cache.most_kept) {
      waker.destroy();
      return;
    }
  }
  waker.promise().next_ = std::exchange(cache.idle, waker);
  ++cache.idle_count;
}

}  // namespace greenback::internal
