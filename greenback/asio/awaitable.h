// Between boost::asio::awaitable and everything else, in both directions.
//
//   // Await() of one, in synchronous code of a coroutine with a portal:
//   Row row = greenback::Await(FetchRow(id));   // asio::awaitable<Row>
//   ...
//   // co_await of one, in a greenback::Co, on either host:
//   greenback::Co<Row> Cached(int id) { co_return co_await FetchRow(id); }
//
//   // Of a Co (or any awaitable of greenback's) in a boost::asio::awaitable,
//   // whose co_await takes nothing but Asio's own: by way of AsAwaitable().
//   boost::asio::awaitable<Row> Get(int id) {
//     co_return co_await greenback::asio::AsAwaitable(Cached(id));
//   }
//
// In a task of Asio's (portal.h), an awaitable that is awaited runs as part of
// the task: it has its portal, its executor, and its cancellation, as if it was
// awaited natively; it starts at once, on the stack that waits for it. (When
// two are awaited at the same time, by a combinator, the second runs beside the
// task, without its portal.) In a task of a run it is spawned with co_spawn()
// on the run's RunExecutor(); there a cancelled scope is
// cancellation_type::all, and it comes out as operation_aborted. In other
// coroutines it is a PortalError: nobody knows where it could run.
//
// AsAwaitable(x) makes the coroutine that awaits it a task, without a portal;
// in it, x comes home to the coroutine's executor and takes part in its
// cancellation. What needs a run is refused, as in portal.h.
//
// Result, errors: those of what is awaited, unchanged; AsAwaitable(), for a
// reference, gives a std::reference_wrapper, as Asio's cannot give one. An
// awaitable that is dropped by its context counts as operation_aborted.
// Suspends: when what is awaited does. Ownership: an awaitable is awaited once,
// as an rvalue; AsAwaitable() keeps what it is given.
#ifndef GREENBACK_ASIO_AWAITABLE_H_
#define GREENBACK_ASIO_AWAITABLE_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/asio_task.h"
#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/operation.h"
#include "greenback/asio/run_executor.h"
#include "greenback/awaitable.h"
#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/in_place.h"

namespace greenback {
namespace internal {

// ------------------------------------------- a boost::asio::awaitable, awaited

// In a task of Asio's: what is the same for all types. Tied to who awaits the
// awaitable on its behalf; either may go first.
class AsioCoroutineWait : private CancelHook {
 public:
  class Tie;

 protected:
  AsioCoroutineWait(AsioTask& task, std::coroutine_handle<> waiter,
                    ParkPoint* point)
      : task_(&task),
        outer_(task.coroutine()),
        waiter_(waiter, point),
        point_(point) {}
  ~AsioCoroutineWait();

  void* outer_entry() const { return outer_.entry; }
  Tie* tie() const { return tie_; }

  // False: cancelled already, and `error_` says so.
  bool Begin(bool throws_if_cancelled);
  // Whether the awaitable runs as part of the task. What has an executor is
  // made while no coroutine is that of the task.
  bool BecomePartOfTask();
  // Whether it can be cancelled at all, and how.
  bool is_cancellable() const;
  boost::asio::cancellation_slot slot() { return signal_.slot(); }
  // To call then, with the slot in a cancellation_state.
  void Started();
  // After it was started. False: it has ended already.
  bool Suspend() { return waiter_.Suspend(); }
  void Finish() { CancelHooks::Remove(*this); }

  AsioTask* const task_;
  std::exception_ptr error_;

 private:
  void OnCancel() override;
  void LeaveTask();
  void End();

  const AsioTask::Coroutine outer_;
  AsioWaiter waiter_;
  ParkPoint* const point_;
  ParkPoint* outer_below_ = nullptr;
  boost::asio::cancellation_signal signal_;
  Tie* tie_ = nullptr;
  bool cancelled_ = false;
  bool is_part_ = false;
};

class AsioCoroutineWait::Tie {
 public:
  Tie() = default;
  Tie(const Tie&) = delete;
  Tie& operator=(const Tie&) = delete;
  // Not ended before: the frame that it lives in was dropped.
  ~Tie();

  void Begin(AsioCoroutineWait& wait) {
    wait_ = &wait;
    wait.tie_ = this;
  }
  // What is awaited has ended: the waiter goes on, if there is one.
  void End();
  // The waiter goes first, and leaves this behind; the task, too, may go.
  void Keep(std::shared_ptr<void> awaited, AsioTaskPtr task) {
    task_ = std::move(task);
    kept_ = std::move(awaited);
  }

 private:
  friend class AsioCoroutineWait;
  AsioCoroutineWait* wait_ = nullptr;
  AsioTaskPtr task_;
  std::shared_ptr<void> kept_;
};

// Awaits awaitables for a task, one after the other, without a thread of
// coroutines, an executor and a frame for each. Lives in the frame at the
// bottom of its thread.
template <class Executor>
class AsioServer final : public AsioTask::Server {
  using Frame = AsioFrame<Executor>;
  using Handle = std::coroutine_handle<AsioEntry<Executor>>;
  using Private = AsioPrivate<Executor>;

 public:
  // Puts the frame of an awaitable on top of that of who awaits it.
  using Push = void (*)(void* awaitable, Handle awaiter);

  // One that has nothing to do. For the task, if `task` is not null; else for
  // once.
  static AsioServer& Get(AsioTask* task, const Executor& around) {
    if (AsioTask::Server* const idle =
            task != nullptr ? task->TakeServer() : nullptr) {
      return static_cast<AsioServer&>(*idle);
    }
    AsioServer* made = nullptr;
    AsioThread<Executor>(
        Serve(task, made),
        task != nullptr ? AsioExecutors<Executor>::Below(*task, around)
                        : AsioExecutors<Executor>::Without(around),
        boost::asio::cancellation_slot(), boost::asio::cancellation_state())
        .launch();
    return *made;
  }
  AsioServer(const AsioServer&) = delete;
  AsioServer& operator=(const AsioServer&) = delete;

  AsioEntry<Executor>& entry() { return *entry_; }
  AsioCoroutineWait::Tie& tie() { return tie_; }
  // What is awaited can be cancelled, by `slot`.
  void set_slot(boost::asio::cancellation_slot slot) {
    Private::ParentSlotOf(*entry_) = slot;
    Private::CancellationOf(*entry_) = boost::asio::cancellation_state(
        slot, boost::asio::enable_total_cancellation(),
        boost::asio::enable_total_cancellation());
  }
  void ResetSlot() {
    Private::ParentSlotOf(*entry_) = boost::asio::cancellation_slot();
    Private::CancellationOf(*entry_) = boost::asio::cancellation_state();
  }
  // Awaits it, for the wait that the tie was begun with.
  void Await(void* awaitable, Push push) {
    awaitable_ = awaitable;
    push_ = push;
    Launch();
  }

 private:
  explicit AsioServer(AsioTask* task) : task_(task) {
    end = [](Server& server) { static_cast<AsioServer&>(server).Launch(); };
  }

  // Goes on, and may be gone then.
  void Launch() {
    AsioThread<Executor> thread(*std::exchange(thread_, std::nullopt));
    thread.launch();
  }

  static boost::asio::awaitable<AsioEntryPoint, Executor> Serve(
      AsioTask* task, AsioServer*& made) {
    AsioServer self(task);
    made = &self;
    auto wait = [&self](Frame* frame) { return self.Wait(frame); };
    auto push = [&self](Frame* frame) { return self.PushOn(frame); };
    do {
      co_await wait;
      if (self.awaitable_ == nullptr) co_return;
      co_await push;
    } while (task != nullptr);
    self.tie_.End();
  }

  // At the end of what was awaited, and at first.
  AsioThread<Executor>* Wait(Frame* frame) {
    entry_ = static_cast<AsioEntry<Executor>*>(frame);
    thread_.emplace(std::move(*frame->detach_thread()));
    ResetSlot();
    Private::ThrowsIfCancelled(*entry_) = true;
    if (awaitable_ != nullptr) task_->PutBy(*this);
    awaitable_ = nullptr;
    // The last thing: the waiter may use it again, on another thread, or the
    // task may go, and this with it.
    tie_.End();
    return nullptr;
  }
  AsioThread<Executor>* PushOn(Frame*) {
    push_(awaitable_, Handle::from_promise(*entry_));
    return nullptr;
  }

  AsioTask* const task_;
  AsioEntry<Executor>* entry_ = nullptr;
  std::optional<AsioThread<Executor>> thread_;  // while it waits
  void* awaitable_ = nullptr;
  Push push_ = nullptr;
  AsioCoroutineWait::Tie tie_;
};

template <class T, class Executor>
class AsioCoroutineWaitFor final : public AsioCoroutineWait {
  using Awaitable = boost::asio::awaitable<T, Executor>;

 public:
  AsioCoroutineWaitFor(Awaitable awaitable, AsioTask& task,
                       std::coroutine_handle<> waiter, ParkPoint* point)
      : AsioCoroutineWait(task, waiter, point),
        awaitable_(std::move(awaitable)) {}
  ~AsioCoroutineWaitFor() {
    if (tie() == nullptr) return;
    server_->ResetSlot();
    tie()->Keep(std::make_shared<Awaitable>(std::move(awaitable_)), task_);
  }

  // False: has ended already. Not inlined, for Asio's thread-locals.
  __attribute__((noinline)) bool Await() {
    auto& entry = *static_cast<AsioEntry<Executor>*>(outer_entry());
    if (!Begin(AsioPrivate<Executor>::ThrowsIfCancelled(entry))) return false;
    const bool part = BecomePartOfTask();
    server_ = &AsioServer<Executor>::Get(
        part ? task_ : nullptr, AsioPrivate<Executor>::ExecutorOf(entry));
    server_->tie().Begin(*this);
    if (is_cancellable()) server_->set_slot(slot());
    Started();
    if (part) {
      task_->set_coroutine(DescribeCoroutine<Executor>(server_->entry()));
    }
    server_->Await(&awaitable_, [](void* awaitable, auto awaiter) {
      static_cast<Awaitable*>(awaitable)->await_suspend(awaiter);
    });
    return Suspend();
  }

  T Result() {
    Finish();
    if (error_) std::rethrow_exception(error_);
    return awaitable_.await_resume();
  }

 private:
  Awaitable awaitable_;
  AsioServer<Executor>* server_ = nullptr;
};

// In a run.
template <class Executor>
inline constexpr bool kRunsInRuns =
    std::is_convertible_v<boost::asio::io_context::executor_type, Executor>;

template <class T, class Executor>
auto SpawnInRun(boost::asio::awaitable<T, Executor> awaitable) {
  return boost::asio::co_spawn(Executor(asio::RunExecutor()),
                               std::move(awaitable), boost::asio::deferred);
}
template <class T, class Executor>
struct SpawnedInRun {
  using type = AsioOperationAwaiter<decltype(SpawnInRun(
      std::declval<boost::asio::awaitable<T, Executor>>()))>;
};

bool InRun() noexcept;
[[noreturn]] void ReportNoAsioHost();

template <class T, class Executor>
class AsioAwaitableAwaiter {
  struct Never {
    bool await_suspend(std::coroutine_handle<>) { return false; }
    bool await_park(ParkPoint&) { return false; }
    T await_resume() { std::terminate(); }
  };
  using Spawned = typename std::conditional_t<kRunsInRuns<Executor>,
                                              SpawnedInRun<T, Executor>,
                                              std::type_identity<Never>>::type;

 public:
  explicit AsioAwaitableAwaiter(boost::asio::awaitable<T, Executor>&& awaitable)
      : awaitable_(std::move(awaitable)) {}
  AsioAwaitableAwaiter(const AsioAwaitableAwaiter&) = delete;
  AsioAwaitableAwaiter& operator=(const AsioAwaitableAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    if (const auto suspends = StartInTask(waiter, nullptr)) return *suspends;
    SpawnOrDie();
    return spawned_->await_suspend(waiter);
  }
  bool await_park(ParkPoint& point) {
    if (const auto suspends = StartInTask(nullptr, &point)) return *suspends;
    SpawnOrDie();
    return spawned_->await_park(point);
  }
  T await_resume() {
    return spawned_ ? spawned_->await_resume() : wait_->Result();
  }

 private:
  // Nothing: not in a task of Asio's that could. Else whether it suspends; the
  // waiter may have gone on, and this be gone, by then.
  std::optional<bool> StartInTask(std::coroutine_handle<> waiter,
                                  ParkPoint* point) {
    AsioTask* const task = AsioTask::Current();
    if (task == nullptr || !IsCoroutineOf<Executor>(*task)) return std::nullopt;
    return wait_
        .Emplace([&] {
          return AsioCoroutineWaitFor<T, Executor>(std::move(awaitable_), *task,
                                                   waiter, point);
        })
        .Await();
  }
  void SpawnOrDie() {
    if constexpr (kRunsInRuns<Executor>) {
      if (InRun()) {
        spawned_.Emplace(
            [&] { return Spawned(SpawnInRun(std::move(awaitable_))); });
        return;
      }
    }
    ReportNoAsioHost();
  }

  boost::asio::awaitable<T, Executor> awaitable_;
  InPlace<AsioCoroutineWaitFor<T, Executor>> wait_;  // in a task of Asio's
  InPlace<Spawned> spawned_;                         // in a run
};

}  // namespace internal

template <class T, class Executor>
struct AwaitableAdapter<boost::asio::awaitable<T, Executor>> {
  static auto Adapt(boost::asio::awaitable<T, Executor>&& awaitable) {
    return internal::AsioAwaitableAwaiter<T, Executor>(std::move(awaitable));
  }
};

// ------------------------------------------- in a boost::asio::awaitable

namespace internal {

// Awaits on behalf of a suspended coroutine of Asio's.
class AsioDriver {
 public:
  struct promise_type : TransferringPromise {
    AsioDriver get_return_object() {
      return AsioDriver(
          std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct End {
        bool await_ready() const noexcept { return false; }
        // The driver may go in there.
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
      return ComeHome(std::forward<A>(awaitable));
    }

    void (*ended)(void*) = nullptr;
    void* argument = nullptr;
  };

  AsioDriver(AsioDriver&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  ~AsioDriver() {
    if (handle_) handle_.destroy();
  }

  void Run(void (*ended)(void*), void* argument) {
    handle_.promise().ended = ended;
    handle_.promise().argument = argument;
    ResumeAndTransfer(handle_);
  }

 private:
  explicit AsioDriver(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// The T that a boost::asio::awaitable can give in place of a Result.
template <class Result>
struct AsioGives {
  using T = Result;
};
template <class Result>
struct AsioGives<Result&> {
  using T = std::reference_wrapper<Result>;
};
template <class Result>
struct AsioGives<Result&&> {
  using T = Result;
};

template <class Result>
struct AsioOutcome {
  struct Nothing {};
  InPlace<std::conditional_t<std::is_void_v<Result>, Nothing, Result>> value;
  std::exception_ptr error;
};

template <class A, class Result>
AsioDriver DriveAsio(A& awaitable, AsioOutcome<Result>& outcome) {
  try {
    if constexpr (std::is_void_v<Result>) {
      co_await std::move(awaitable);
    } else {
      // Not in the lambda: it is no coroutine.
      Result value = co_await std::move(awaitable);
      outcome.value.Emplace(
          [&]() -> Result { return std::forward<Result>(value); });
    }
  } catch (...) {
    outcome.error = std::current_exception();
  }
}

// While the driver runs, it is the coroutine's code that does.
class AsioDriving {
 public:
  explicit AsioDriving(AsioTask& task) : task_(task), outer_(task.coroutine()) {
    AsioTask::Coroutine driving = outer_;
    driving.runs = [](void*) { return true; };
    task_.set_coroutine(driving);
  }
  AsioDriving(const AsioDriving&) = delete;
  AsioDriving& operator=(const AsioDriving&) = delete;
  ~AsioDriving() { task_.set_coroutine(outer_); }

 private:
  AsioTask& task_;
  const AsioTask::Coroutine outer_;
};

// co_await AsioDrive(...): runs the driver while the coroutine is suspended.
template <class Executor>
class AsioDrive {
 public:
  AsioDrive(AsioTask& task, AsioDriver& driver, const bool& switched)
      : task_(task), driver_(driver), switched_(switched) {}
  AsioDrive(const AsioDrive&) = delete;
  AsioDrive& operator=(const AsioDrive&) = delete;

  AsioThread<Executor>* Start(AsioFrame<Executor>* frame) {
    const bool switched = switched_;
    AsioThread<Executor>* const thread = frame->detach_thread();
    bool& has_switched =
        AsioPrivate<Executor>::ContextSwitched(*thread->entry_point());
    has_switched = switched;
    driver_.Run([](void* self) { static_cast<AsioDrive*>(self)->End(); }, this);
    if (phase_.load(std::memory_order_acquire) == Phase::kEnded) {
      // As if it had never been suspended: who resumed it goes on to do so.
      frame->attach_thread(thread);
      return nullptr;
    }
    has_switched = true;
    typename AsioResumer<Executor>::result_type none;
    resumer_.emplace(thread, none);
    task_.set_detached(
        [](void* self) {
          // It is in the frames that it owns.
          AsioResumer<Executor>(
              std::move(*static_cast<AsioDrive*>(self)->resumer_));
        },
        this);
    Phase running = Phase::kRunning;
    if (!phase_.compare_exchange_strong(running, Phase::kSuspended,
                                        std::memory_order_acq_rel)) {
      Resume();
    }
    return nullptr;
  }

 private:
  enum class Phase : uint8_t { kRunning, kSuspended, kEnded };

  void End() {
    if (phase_.exchange(Phase::kEnded, std::memory_order_acq_rel) ==
        Phase::kSuspended) {
      Resume();
    }
  }
  void Resume() {
    task_.set_detached(nullptr, nullptr);
    // The coroutine may end in there, and this go.
    AsioResumer<Executor> resumer(std::move(*resumer_));
    resumer();
  }

  AsioTask& task_;
  AsioDriver& driver_;
  const bool& switched_;
  std::optional<AsioResumer<Executor>> resumer_;
  std::atomic<Phase> phase_{Phase::kRunning};
};

}  // namespace internal

namespace asio {

template <class Executor = boost::asio::any_io_executor, class A>
auto AsAwaitable(A awaitable)
    -> boost::asio::awaitable<typename internal::AsioGives<AwaitResult<A>>::T,
                              Executor> {
  using Result = AwaitResult<A>;
  const bool& identity = co_await internal::AsioIdentity();
  if (internal::RunningTaskOf(identity) == nullptr) {
    co_await internal::BecomeTask<Executor>("AsAwaitable", /*post=*/false)
        .KeepSwitched(identity);
  }
  internal::AsioOutcome<Result> outcome;
  internal::AsioDriver driver =
      internal::DriveAsio<A, Result>(awaitable, outcome);
  internal::AsioTask& task = *internal::AsioTask::Current();
  internal::AsioDrive<Executor> drive(task, driver, identity);
  auto start = [&drive](internal::AsioFrame<Executor>* frame) {
    return drive.Start(frame);
  };
  {
    const internal::AsioDriving driving(task);
    co_await start;
  }
  if (outcome.error) std::rethrow_exception(outcome.error);
  if constexpr (!std::is_void_v<Result>) {
    co_return std::forward<Result>(*outcome.value);
  }
}

}  // namespace asio
}  // namespace greenback

#endif  // GREENBACK_ASIO_AWAITABLE_H_
