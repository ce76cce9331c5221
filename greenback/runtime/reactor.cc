#include "greenback/runtime/reactor.h"

#include <boost/asio/post.hpp>
#include <boost/throw_exception.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "greenback/runtime/reactor_context.h"

#if defined(BOOST_NO_EXCEPTIONS)
// Boost asks a program without exceptions for this. Weak: the program may have
// its own.
namespace boost {
__attribute__((weak)) void throw_exception(const std::exception& error) {
  std::fprintf(stderr, "greenback: Boost failed: %s\n", error.what());
  std::abort();
}
__attribute__((weak)) void throw_exception(const std::exception& error,
                                           const source_location&) {
  throw_exception(error);
}
}  // namespace boost
#endif

namespace greenback::internal {
namespace {

// Handlers that run before tasks go on.
constexpr int kMostHandlersAtOnce = 64;

// Gives the one place that there is, so that nothing can fail.
template <class T>
struct PlaceAllocator {
  using value_type = T;

  explicit PlaceAllocator(DrainEndPlace& place) : place(&place) {}
  template <class U>
  explicit PlaceAllocator(const PlaceAllocator<U>& other)
      : place(other.place) {}
  template <class U>
  bool operator==(const PlaceAllocator<U>& other) const {
    return place == other.place;
  }

  T* allocate(size_t) {
    static_assert(sizeof(T) <= sizeof(DrainEndPlace));
    return reinterpret_cast<T*>(place->bytes);
  }
  void deallocate(T*, size_t) {}

  DrainEndPlace* place;
};

// The last handler of Drain().
struct DrainEnd {
  using allocator_type = PlaceAllocator<void*>;
  allocator_type get_allocator() const { return allocator_type(*place); }
  void operator()() const { *done = true; }

  bool* done;
  DrainEndPlace* place;
};

}  // namespace

Reactor::Reactor() : context_(std::make_unique<ReactorContext>()) {}
Reactor::~Reactor() { std::lock_guard wait_for_posters(posting_); }

void Reactor::Drain() {
  posted_.store(false, std::memory_order_relaxed);
  // Handlers are run in the order of posting, so that this one is the last of
  // those that are there.
  bool done = false;
  boost::asio::post(context_->io, DrainEnd{&done, &context_->drain_end});
  while (!done && (context_->io.poll_one() != 0 || RestartIfStopped())) {
  }
}

void Reactor::RunReady() {
  posted_.store(false, std::memory_order_relaxed);
  for (int i = 0; i < kMostHandlersAtOnce; ++i) {
    if (context_->io.poll_one() == 0 && !RestartIfStopped()) return;
  }
  posted_.store(true, std::memory_order_relaxed);  // there may be more
}

void Reactor::Wait(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return RunReady();
  if (timeout != absl::InfiniteDuration()) {
    // Asio's own waits have a resolution of a millisecond; its timers do not.
    context_->timer.expires_after(absl::ToChronoNanoseconds(timeout));
    context_->timer.async_wait([](const boost::system::error_code&) {});
  }
  // Only where it is stopped has it nothing to wait for.
  while (context_->io.run_one() == 0) RestartIfStopped();
  if (timeout != absl::InfiniteDuration()) context_->timer.cancel();
}

bool Reactor::RestartIfStopped() {
  if (!context_->io.stopped()) return false;
  context_->io.restart();
  return true;
}

void Reactor::Post(std::function<void()> fn) {
  std::lock_guard lock(posting_);
  boost::asio::post(context_->io, std::move(fn));
  posted_.store(true, std::memory_order_release);
}

}  // namespace greenback::internal
