// Boost.Asio as the host of the typed tests (hosts.h says what they need): its
// coroutines, on an io_context, on a strand of a thread pool, and on the pool
// itself.
#ifndef GREENBACK_TESTS_SUPPORT_ASIO_HOSTS_H_
#define GREENBACK_TESTS_SUPPORT_ASIO_HOSTS_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "greenback/asio/asio.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"

namespace greenback {

// Simulated time: timers that wait for a moment, in order.
class AsioTestClock {
 public:
  using Timer = boost::asio::steady_timer;

  void Add(absl::Duration duration, Timer& timer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    timers_.emplace(now_ + duration, &timer);
  }
  void Remove(Timer& timer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(timers_, [&](const auto& at) { return at.second == &timer; });
  }
  absl::Time now() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }
  // Lets the next timer fire. Returns false if there is none.
  bool Advance() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (timers_.empty()) return false;
    const auto first = timers_.begin();
    now_ = first->first;
    first->second->cancel();
    timers_.erase(first);
    return true;
  }

 private:
  mutable std::mutex mutex_;
  absl::Time now_ = absl::UnixEpoch();
  std::multimap<absl::Time, Timer*> timers_;
};

template <class Loop>
class AsioHostOn {
 public:
  template <class T>
  using Coroutine = boost::asio::awaitable<T>;
  template <class A>
  static auto Adapt(A&& awaitable) {
    return asio::AsAwaitable(std::forward<A>(awaitable));
  }

  template <class Main>
  static auto Run(Main main) {
    using Result = typename std::invoke_result_t<Main>::value_type;
    using Outcome =
        std::conditional_t<std::is_void_v<Result>, bool, std::optional<Result>>;
    Loop loop;
    current_ = &loop;
    Outcome outcome{};
    std::exception_ptr error;
    bool done = false;
    const auto body = [&]() -> Coroutine<void> {
      co_await boost::asio::this_coro::throw_if_cancelled(false);
      if constexpr (std::is_void_v<Result>) {
        co_await main();
      } else {
        outcome = co_await main();
      }
    };
    asio::CoSpawn(loop.executor(), body, [&](std::exception_ptr thrown) {
      error = thrown;
      EXPECT_FALSE(HasPortal());
      loop.Stop([&] { done = true; });
    });
    loop.Run(clock_);
    EXPECT_TRUE(done);
    current_ = nullptr;
    if (error) std::rethrow_exception(error);
    if constexpr (!std::is_void_v<Result>) return *std::move(outcome);
  }

  // Not inlined: no coroutine may be that synchronous code awaits on several
  // threads.
  static __attribute__((noinline)) Coroutine<void> Checkpoint() {
    co_await boost::asio::post(boost::asio::use_awaitable);
  }

  static __attribute__((noinline)) Coroutine<void> Sleep(
      absl::Duration duration) {
    boost::asio::steady_timer timer(
        co_await boost::asio::this_coro::executor,
        boost::asio::steady_timer::time_point::max());
    clock_.Add(duration, timer);
    struct Remove {
      boost::asio::steady_timer& timer;
      ~Remove() { clock_.Remove(timer); }
    } remove{timer};
    co_await timer.async_wait(
        boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  static absl::Time Now() { return clock_.now(); }

  class Group {
   public:
    explicit Group(boost::asio::any_io_executor executor)
        : executor_(executor),
          ended_(executor, boost::asio::steady_timer::time_point::max()) {}

    template <class Fn>
    void Spawn(Fn fn) {
      boost::asio::cancellation_signal& signal = Add();
      asio::CoSpawn(
          executor_,
          [fn = std::move(fn)]() -> Coroutine<void> {
            return Body(std::move(fn));
          },
          boost::asio::bind_cancellation_slot(
              signal.slot(),
              [this](std::exception_ptr error) { Ended(error); }));
    }
    void Cancel() {
      for (boost::asio::cancellation_signal& signal : signals_) {
        signal.emit(boost::asio::cancellation_type::all);
      }
    }
    Coroutine<void> Join() {
      while (running() != 0) {
        if constexpr (Loop::kOneAtATime) {
          co_await ended_.async_wait(
              boost::asio::as_tuple(boost::asio::use_awaitable));
        } else {
          // The last task may end before a wait for `ended_` begins.
          co_await Checkpoint();
        }
      }
      if (error_) std::rethrow_exception(error_);
    }

   private:
    boost::asio::cancellation_signal& Add() {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++running_;
      return signals_.emplace_back();
    }
    void Ended(std::exception_ptr error) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (error && !error_) error_ = error;
      if (--running_ == 0) ended_.cancel();
    }
    int running() {
      const std::lock_guard<std::mutex> lock(mutex_);
      return running_;
    }
    // A task that is cancelled sees that in the result of its wait.
    template <class Fn>
    static Coroutine<void> Body(Fn fn) {
      co_await boost::asio::this_coro::throw_if_cancelled(false);
      co_await boost::asio::this_coro::reset_cancellation_state(
          boost::asio::enable_total_cancellation());
      co_await Checkpoint();  // a task begins after its spawner's step
      co_await fn();
    }

    const boost::asio::any_io_executor executor_;
    std::mutex mutex_;
    boost::asio::steady_timer ended_;
    std::list<boost::asio::cancellation_signal> signals_;
    int running_ = 0;
    std::exception_ptr error_;
  };

  template <class Body>
  static Coroutine<void> InGroup(Body body) {
    Group group(co_await boost::asio::this_coro::executor);
    std::exception_ptr error;
    try {
      co_await body(group);
    } catch (...) {
      error = std::current_exception();
    }
    if (error) group.Cancel();
    co_await group.Join();
    if (error) std::rethrow_exception(error);
  }

  static PortalTask& CurrentTask() { return asio::CurrentTask(); }
  static void PostCallback(std::function<void()> fn) {
    boost::asio::post(current_->executor(), std::move(fn));
  }

  class Gate {
   public:
    Coroutine<int> Wait() {
      timer_.emplace(co_await boost::asio::this_coro::executor,
                     boost::asio::steady_timer::time_point::max());
      co_await timer_->async_wait(
          boost::asio::as_tuple(boost::asio::use_awaitable));
      if (error_) std::rethrow_exception(error_);
      co_return value_;
    }
    bool waited_for() const { return timer_.has_value(); }
    void Open(int value) {
      value_ = value;
      timer_->cancel();
    }
    void Fail(std::exception_ptr error) {
      error_ = error;
      timer_->cancel();
    }

   private:
    std::optional<boost::asio::steady_timer> timer_;
    int value_ = 0;
    std::exception_ptr error_;
  };

  static auto EnsurePortal() { return asio::EnsurePortal(); }
  template <class Fn, class... Args>
  static auto WithPortalRun(Fn fn, Args... args) {
    return asio::WithPortalRun(std::move(fn), std::move(args)...);
  }
  template <class Fn, class... Args>
  static auto WithPortalRunSync(Fn fn, Args... args) {
    return asio::WithPortalRunSync(std::move(fn), std::move(args)...);
  }

 private:
  static inline Loop* current_ = nullptr;
  static inline AsioTestClock clock_;
};

// One thread.
class IoContextLoop {
 public:
  // Whether only one task runs at a time.
  static constexpr bool kOneAtATime = true;

  boost::asio::any_io_executor executor() { return io_.get_executor(); }
  template <class Fn>
  void Stop(Fn fn) {
    fn();
    stopped_ = true;
  }
  void Run(AsioTestClock& clock) {
    while (!stopped_) {
      if (io_.poll() == 0 && !stopped_ && !clock.Advance()) io_.run_one();
    }
    io_.poll();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_{io_.get_executor()};
  bool stopped_ = false;
};

// Four threads. With `kStrand`, only one coroutine runs at a time.
template <bool kStrand>
class ThreadPoolLoop {
 public:
  static constexpr bool kOneAtATime = kStrand;

  ~ThreadPoolLoop() {
    pool_.stop();
    pool_.join();
  }

  boost::asio::any_io_executor executor() { return executor_; }
  template <class Fn>
  void Stop(Fn fn) {
    fn();
    stopped_.set_value();
  }
  void Run(AsioTestClock& clock) {
    // Whatever needs no timer has ended after this many posts, each of which
    // runs after all that was ready before it.
    std::future<void> stopped = stopped_.get_future();
    while (stopped.wait_for(std::chrono::seconds(0)) !=
           std::future_status::ready) {
      for (int i = 0; i < 100; ++i) {
        std::promise<void> looked;
        boost::asio::post(executor_, [&looked] { looked.set_value(); });
        looked.get_future().wait();
      }
      clock.Advance();
    }
  }

 private:
  static boost::asio::any_io_executor On(boost::asio::thread_pool& pool) {
    if constexpr (kStrand) {
      return boost::asio::make_strand(pool);
    } else {
      return pool.get_executor();
    }
  }

  boost::asio::thread_pool pool_{4};
  const boost::asio::any_io_executor executor_ = On(pool_);
  std::promise<void> stopped_;
};

using AsioHost = AsioHostOn<IoContextLoop>;
using AsioStrandHost = AsioHostOn<ThreadPoolLoop<true>>;
using AsioPoolHost = AsioHostOn<ThreadPoolLoop<false>>;

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_ASIO_HOSTS_H_
