// Runs an awaitable of greenback's on behalf of a suspended coroutine of
// Asio's. Internal to AsAwaitable().
#ifndef GREENBACK_ASIO_INTERNAL_DRIVER_H_
#define GREENBACK_ASIO_INTERNAL_DRIVER_H_

#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/host/home_awaiter.h"
#include "greenback/host/suspend_race.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/outcome.h"

namespace greenback::asio::internal {

using ::greenback::internal::Outcome;
using ::greenback::internal::SuspendRace;

// The coroutine that awaits the awaitable.
class Driver {
 public:
  struct promise_type : greenback::internal::TransferringPromise {
    Driver get_return_object() {
      return Driver(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct End {
        bool await_ready() const noexcept { return false; }
        // ended() may destroy the driver.
        void await_suspend(
            std::coroutine_handle<promise_type> driver) noexcept {
          driver.promise().ended(driver.promise().argument);
        }
        void await_resume() const noexcept {}
      };
      return End{};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
    template <class A>
    decltype(auto) await_transform(A&& awaitable) {
      return greenback::internal::ComeHome(std::forward<A>(awaitable));
    }

    void (*ended)(void*) = nullptr;
    void* argument = nullptr;
  };

  Driver(Driver&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Driver() {
    if (handle_) handle_.destroy();
  }

  // Calls ended(argument) when the awaitable has ended.
  void Run(void (*ended)(void*), void* argument) {
    handle_.promise().ended = ended;
    handle_.promise().argument = argument;
    greenback::internal::ResumeAndTransfer(handle_);
  }

 private:
  explicit Driver(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// The T of the boost::asio::awaitable<T> that stands for something that yields
// a Result: a boost::asio::awaitable cannot yield a reference.
template <class Result>
struct YieldsInAsio {
  using T = Result;
};
template <class Result>
struct YieldsInAsio<Result&> {
  using T = std::reference_wrapper<Result>;
};
template <class Result>
struct YieldsInAsio<Result&&> {
  using T = Result;
};

template <class A, class Result>
Driver Drive(A& awaitable, Outcome<Result>& outcome) {
  try {
    if constexpr (std::is_void_v<Result>) {
      co_await std::move(awaitable);
      outcome.SetValue();
    } else {
      // Not awaited in the lambda, which is no coroutine.
      Result value = co_await std::move(awaitable);
      outcome.SetValue([&]() -> Result { return std::forward<Result>(value); });
    }
  } catch (...) {
    outcome.SetCurrentException();
  }
}

// While it exists, a driver runs for the coroutine, whose own code therefore
// counts as running.
class DrivingScope {
 public:
  explicit DrivingScope(CoroutineTask& task)
      : task_(task), outer_(task.coroutine()) {
    CoroutineTask::Coroutine driving = outer_;
    driving.runs = [](void*) { return true; };
    task_.set_coroutine(driving);
  }
  DrivingScope(const DrivingScope&) = delete;
  DrivingScope& operator=(const DrivingScope&) = delete;
  ~DrivingScope() { task_.set_coroutine(outer_); }

 private:
  CoroutineTask& task_;
  const CoroutineTask::Coroutine outer_;
};

// Runs a driver while the coroutine is suspended, in a function that the
// coroutine co_awaits and that calls Start().
template <class Executor>
class DriverRun {
 public:
  DriverRun(CoroutineTask& task, Driver& driver, const bool& switched)
      : task_(task), driver_(driver), switched_(switched) {}
  DriverRun(const DriverRun&) = delete;
  DriverRun& operator=(const DriverRun&) = delete;

  FrameThread<Executor>* Start(BaseFrame<Executor>* frame) {
    const bool switched = switched_;
    FrameThread<Executor>* const thread = frame->detach_thread();
    bool* const has_switched =
        LaunchPrivate<Executor>::Flag(*thread->entry_point());
    if (has_switched != nullptr) *has_switched = switched;
    driver_.Run([](void* self) { static_cast<DriverRun*>(self)->End(); }, this);
    if (race_.state() == SuspendRace::State::kCompleted) {
      // As if the coroutine had never been suspended: the code that resumed it
      // continues to do so.
      frame->attach_thread(thread);
      return nullptr;
    }
    if (has_switched != nullptr) *has_switched = true;
    typename Resumer<Executor>::result_type none;
    resumer_.emplace(thread, none);
    task_.set_detached(
        [](void* self) {
          // This object is in the frames that the resumer owns.
          Resumer<Executor>(
              std::move(*static_cast<DriverRun*>(self)->resumer_));
        },
        this);
    if (!race_.Suspend()) Resume();
    return nullptr;
  }

 private:
  void End() {
    if (race_.Complete() == SuspendRace::State::kSuspended) Resume();
  }
  void Resume() {
    task_.set_detached(nullptr, nullptr);
    // The coroutine may end when it is resumed, and destroy this object.
    Resumer<Executor> resumer(std::move(*resumer_));
    resumer();
  }

  CoroutineTask& task_;
  Driver& driver_;
  const bool& switched_;
  std::optional<Resumer<Executor>> resumer_;
  SuspendRace race_;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_DRIVER_H_
