#include "greenback/host/waker.h"

#include <coroutine>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>

#include "greenback/host/portal_access.h"
#include "greenback/host/transfer.h"

namespace greenback::internal {
namespace {

struct Waker {
  struct promise_type {
    Waiter* waiter = nullptr;
    std::coroutine_handle<promise_type> next;  // in the list of idle wakers

    Waker get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  std::coroutine_handle<promise_type> handle;
};

struct Fire {
  bool await_ready() noexcept { return false; }
  void await_suspend(
      std::coroutine_handle<Waker::promise_type> waker) noexcept {
    // The promise is not read after this: before Wake() returns, another thread
    // may be waiting again, with this very handle.
    Waiter& waiter = *waker.promise().waiter;
    if (waiter.task != nullptr) {
      PortalAccess::Wake(waiter);
    } else if (waiter.Fire()) {
      ResumeAndTransfer(waiter.handle);  // a coroutine in no task
    }
  }
  void await_resume() noexcept {}
};

Waker MakeWaker() {
  for (;;) co_await Fire{};
}

using WakerHandle = std::coroutine_handle<Waker::promise_type>;

// The number of idle wakers that a thread keeps. One that parks deep and often
// has many; more than this are not worth keeping.
constexpr size_t kMostKept = 256;

// Trivially destructible, because it is used after the thread-local objects of
// the main thread are destroyed: a static object may own the last frames that
// hold a waker. No wakers are kept by then.
struct WakerCache {
  WakerHandle idle;
  size_t idle_count = 0;
  size_t most_kept = 0;  // kMostKept while there is a WakerCacheOwner
};
static_assert(std::is_trivially_destructible_v<WakerCache>);

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
      std::exchange(cache_.idle, cache_.idle.promise().next).destroy();
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

WakerLease::WakerLease(Waiter& waiter) {
  WakerCache& cache = Cache();
  WakerHandle waker = cache.idle;
  if (waker) [[likely]] {
    cache.idle = waker.promise().next;
    --cache.idle_count;
  } else {
    waker = MakeWaker().handle;
  }
  waker.promise().waiter = &waiter;
  handle_ = waker;
  if (waiter.kind() == Waiter::Kind::kFiber) waiter.handle = waker;
}

WakerLease::~WakerLease() {
  const WakerHandle waker = WakerHandle::from_address(handle_.address());
  WakerCache& cache = Cache();
  if (cache.idle_count >= cache.most_kept) [[unlikely]] {
    MakeCacheOwner(cache);
    if (cache.idle_count >= cache.most_kept) {
      waker.destroy();
      return;
    }
  }
  waker.promise().next = std::exchange(cache.idle, waker);
  ++cache.idle_count;
}

}  // namespace greenback::internal
