#include "greenback/waker.h"

#include <coroutine>
#include <exception>
#include <vector>

#include "greenback/transfer.h"

namespace greenback::internal {
namespace {

struct Waker {
  struct promise_type {
    ParkPoint* point = nullptr;

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
    // The last look at the promise: another thread may be waiting again, with
    // this very handle, before Wake() returns.
    ParkPoint& point = *waker.promise().point;
    if (point.task != nullptr) {
      PortalAccess::Wake(point);
    } else if (point.state.exchange(ParkPoint::kFired,
                                    std::memory_order_acq_rel) ==
               ParkPoint::kParked) {
      ResumeAndTransfer(point.node.handle);  // a coroutine without a host
    }
  }
  void await_resume() noexcept {}
};

Waker MakeWaker() {
  for (;;) co_await Fire{};
}

// Wakers that nobody uses at the moment. A thread that parks deep and often has
// many; more than this are not worth keeping.
constexpr size_t kMostKept = 256;

struct WakerCache {
  std::vector<std::coroutine_handle<Waker::promise_type>> idle;
  ~WakerCache() {
    for (auto waker : idle) waker.destroy();
  }
};

// Not inlined: see ThisThread().
__attribute__((noinline)) WakerCache& Cache() {
  thread_local WakerCache cache;
  asm volatile("" ::: "memory");
  return cache;
}

}  // namespace

WakerLease::WakerLease(ParkPoint& point) {
  WakerCache& cache = Cache();
  std::coroutine_handle<Waker::promise_type> waker;
  if (cache.idle.empty()) {
    waker = MakeWaker().handle;
  } else {
    waker = cache.idle.back();
    cache.idle.pop_back();
  }
  waker.promise().point = &point;
  handle_ = waker;
  if (point.node.point != nullptr) point.node.handle = waker;
}

WakerLease::~WakerLease() {
  const auto waker = std::coroutine_handle<Waker::promise_type>::from_address(
      handle_.address());
  WakerCache& cache = Cache();
  if (cache.idle.size() < kMostKept) {
    cache.idle.push_back(waker);
  } else {
    waker.destroy();
  }
}

}  // namespace greenback::internal
