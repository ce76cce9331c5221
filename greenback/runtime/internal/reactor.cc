#include "greenback/runtime/internal/reactor.h"

#include <algorithm>
#include <boost/asio/execution/allocator.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/throw_exception.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "greenback/internal/exceptions.h"
#include "greenback/runtime/internal/reactor_context.h"

#if defined(BOOST_NO_EXCEPTIONS)
// Boost requires this function of a program without exceptions. Weak, since the
// program may define its own.
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

// The handlers that may run before tasks do again.
constexpr int kMostHandlersAtOnce = 64;

struct PostedFunction : Posted {
  std::function<void()> fn;
};

// Returns the only place, so that allocating cannot fail.
template <class T>
struct PlaceAllocator {
  using value_type = T;

  explicit PlaceAllocator(HandlerPlace& place) : place(&place) {}
  template <class U>
  explicit PlaceAllocator(const PlaceAllocator<U>& other)
      : place(other.place) {}
  template <class U>
  bool operator==(const PlaceAllocator<U>& other) const {
    return place == other.place;
  }

  T* allocate(size_t) {
    static_assert(sizeof(T) <= sizeof(HandlerPlace));
    return reinterpret_cast<T*>(place->bytes);
  }
  void deallocate(T*, size_t) {}

  HandlerPlace* place;
};

// The last handler of Drain().
struct DrainEnd {
  using allocator_type = PlaceAllocator<void*>;
  allocator_type get_allocator() const { return allocator_type(*place); }
  void operator()() const { *done = true; }

  bool* done;
  HandlerPlace* place;
};

}  // namespace

Reactor::Reactor(void (*failed)(std::exception_ptr error) noexcept)
    : failed_(failed), context_(std::make_unique<ReactorContext>(*this)) {}

HostIo* Reactor::io() { return context_.get(); }

Reactor::~Reactor() {
  std::lock_guard wait_for_posters(posting_);
  while (!queue_.empty()) {
    Posted& posted = queue_.Pop();
    posted.run(posted, Posted::End::kDrop);
  }
}

void Reactor::Drain() {
  posted_.store(false, std::memory_order_relaxed);
  // Handlers run in the order of posting, so this one is the last of those that
  // are ready now.
  bool done = false;
  boost::asio::post(context_->io, DrainEnd{&done, &context_->drain_end});
  while (!done && (PollOne() || RestartIfStopped())) {
  }
}

template <class Poll>
bool Reactor::RunHandler(Poll poll) {
  GREENBACK_TRY { return poll() != 0; }
  GREENBACK_CATCH_ALL { failed_(std::current_exception()); }
  return true;
}

bool Reactor::PollOne() {
  return RunHandler([this] { return context_->io.poll_one(); });
}

void Reactor::RunReady() {
  posted_.store(false, std::memory_order_relaxed);
  for (int i = 0; i < kMostHandlersAtOnce; ++i) {
    if (!PollOne() && !RestartIfStopped()) return;
  }
  posted_.store(true, std::memory_order_relaxed);  // there may be more
}

void Reactor::Wait(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return RunReady();
  if (timeout != absl::InfiniteDuration()) {
    // Asio's own waits have a resolution of a millisecond; its timers do not.
    context_->timer.expires_after(absl::ToChronoNanoseconds(timeout));
    GREENBACK_TRY {
      context_->timer.async_wait([](const boost::system::error_code&) {});
    }
    GREENBACK_CATCH_ALL {
      // No memory for the timer. The loop could not report that, and need not:
      // it waits less precisely.
      const auto longest =
          absl::ToChronoNanoseconds(std::min(timeout, absl::Minutes(1)));
      RunHandler([&] { return context_->io.run_one_for(longest); });
      return;
    }
  }
  // run_one() runs no handler only if the io_context is stopped.
  while (!RunHandler([this] { return context_->io.run_one(); })) {
    RestartIfStopped();
  }
  if (timeout != absl::InfiniteDuration()) context_->timer.cancel();
}

bool Reactor::RestartIfStopped() {
  if (!context_->io.stopped()) return false;
  context_->io.restart();
  return true;
}

void Reactor::Post(Posted& posted) noexcept {
  std::lock_guard lock(posting_);
  const bool is_first = queue_.empty();
  queue_.Push(posted);
  if (is_first) PostRunPosted();
  posted_.store(true, std::memory_order_release);
}

void Reactor::Post(std::function<void()> fn) {
  auto posted = std::make_unique<PostedFunction>();
  posted->fn = std::move(fn);
  posted->run = [](Posted& posted, Posted::End end) {
    const std::unique_ptr<PostedFunction> self(
        static_cast<PostedFunction*>(&posted));
    if (end == Posted::End::kRun) self->fn();
  };
  Post(*posted.release());
}

void Reactor::PostRunPosted() {
  namespace execution = boost::asio::execution;
  boost::asio::require(
      context_->io.get_executor(), execution::blocking.never,
      execution::allocator(PlaceAllocator<void*>(context_->run_posted)))
      .execute([this] { RunPosted(); });
}

void Reactor::RunPosted() {
  Posted* posted;
  {
    std::lock_guard lock(posting_);
    posted = queue_.PopAll();
  }
  while (posted != nullptr) {
    Posted& first = *std::exchange(posted, posted->next);
    first.run(first, Posted::End::kRun);
  }
}

}  // namespace greenback::internal
