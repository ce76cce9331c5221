// CoroutineAwaiter: awaits a boost::asio::awaitable. Internal to awaitable.h.
//
// In a task of Asio's this is not co_spawn(): the frames of the awaitable are
// put on a thread of frames that the task keeps for this (AwaitServer), and the
// awaitable runs as part of the task (CoroutineWait). In a run it is
// co_spawn()ed, and awaited as an operation.
#ifndef GREENBACK_ASIO_INTERNAL_COROUTINE_WAIT_H_
#define GREENBACK_ASIO_INTERNAL_COROUTINE_WAIT_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/operation_awaiter.h"
#include "greenback/asio/internal/operation_wait.h"
#include "greenback/asio/run_executor.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/in_place.h"

namespace greenback::asio::internal {

using ::greenback::internal::InPlace;

// The part of a wait for an awaitable, in a task of Asio's, that is the same
// for all types. It is tied to the frame that awaits the awaitable for it;
// either may be destroyed first.
class CoroutineWait : private CancelHook {
 public:
  class Tie;

 protected:
  CoroutineWait(CoroutineTask& task, std::coroutine_handle<> coroutine,
                FiberWaiter* waiter)
      : task_(&task),
        outer_(task.coroutine()),
        operation_waiter_(coroutine, waiter),
        waiter_(waiter) {}
  ~CoroutineWait();

  void* outer_entry() const { return outer_.entry; }
  Tie* tie() const { return tie_; }

  // False: the task is cancelled already, and `error_` says so.
  bool Begin(bool throws_if_cancelled);
  // Whether the awaitable runs as part of the task. Call it before anything is
  // made that has an executor: that must happen while the task has no
  // coroutine.
  bool BecomePartOfTask();
  // Whether the awaitable can be cancelled at all. If so, give it slot() in a
  // cancellation_state, and call Started() after that.
  bool is_cancellable() const;
  boost::asio::cancellation_slot slot() { return signal_.slot(); }
  void Started();
  // After the awaitable was started. False: it has ended already.
  bool Suspend() { return operation_waiter_.Suspend(); }
  void Finish() { CancelHooks::Remove(*this); }

  CoroutineTask* const task_;
  std::exception_ptr error_;

 private:
  void OnCancel() override;
  void LeaveTask();
  void End();

  const CoroutineTask::Coroutine outer_;
  OperationWaiter operation_waiter_;
  FiberWaiter* const waiter_;
  FiberWaiter* outer_step_waiter_ = nullptr;
  boost::asio::cancellation_signal signal_;
  Tie* tie_ = nullptr;
  bool cancelled_ = false;
  bool is_part_ = false;
};

class CoroutineWait::Tie {
 public:
  Tie() = default;
  Tie(const Tie&) = delete;
  Tie& operator=(const Tie&) = delete;
  // If the awaitable has not ended by then, its frames have been dropped.
  ~Tie();

  void Begin(CoroutineWait& wait) {
    wait_ = &wait;
    wait.tie_ = this;
  }
  // The awaitable has ended: the waiter, if there is one, resumes.
  void End();
  // The waiter is destroyed first: this keeps the awaitable, and a reference to
  // the task, which may end before the awaitable does.
  void Keep(std::shared_ptr<void> awaited, CoroutineTaskPtr task) {
    task_ = std::move(task);
    kept_ = std::move(awaited);
  }

 private:
  friend class CoroutineWait;
  CoroutineWait* wait_ = nullptr;
  CoroutineTaskPtr task_;
  std::shared_ptr<void> kept_;
};

// Awaits awaitables for a task, one after the other, so that they share a
// thread of frames, an executor and an entry point. Lives in the frame at the
// bottom of its thread.
template <class Executor>
class AwaitServer final : public CoroutineTask::Server {
  using Frame = BaseFrame<Executor>;
  using Handle = std::coroutine_handle<EntryFrame<Executor>>;
  using Private = FramePrivate<Executor>;

 public:
  // Puts the frame of an awaitable on top of the frame of its awaiter.
  using Push = void (*)(void* awaitable, Handle awaiter);

  // Returns an idle server. It belongs to `task`; if that is null, it serves
  // once.
  static AwaitServer& Get(CoroutineTask* task, const Executor& around) {
    if (CoroutineTask::Server* const idle =
            task != nullptr ? task->TakeServer() : nullptr) {
      return static_cast<AwaitServer&>(*idle);
    }
    AwaitServer* made = nullptr;
    FrameThread<Executor>(
        Serve(task, made),
        task != nullptr ? TaskExecutors<Executor>::Below(*task, around)
                        : TaskExecutors<Executor>::Without(around),
        boost::asio::cancellation_slot(), boost::asio::cancellation_state())
        .launch();
    return *made;
  }
  AwaitServer(const AwaitServer&) = delete;
  AwaitServer& operator=(const AwaitServer&) = delete;

  EntryFrame<Executor>& entry() { return *entry_; }
  CoroutineWait::Tie& tie() { return tie_; }
  // Lets `slot` cancel the awaitable.
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
  // Awaits `awaitable` for the wait that was passed to tie().Begin().
  void Await(void* awaitable, Push push) {
    awaitable_ = awaitable;
    push_ = push;
    Launch();
  }

 private:
  explicit AwaitServer(CoroutineTask* task) : task_(task) {
    end = [](Server& server) { static_cast<AwaitServer&>(server).Launch(); };
  }

  // Resumes the thread of frames, which may destroy this object.
  void Launch() {
    FrameThread<Executor> thread(*std::exchange(thread_, std::nullopt));
    LaunchPrivate<Executor>::Launch(thread);
  }

  static boost::asio::awaitable<EntryPoint, Executor> Serve(
      CoroutineTask* task, AwaitServer*& made) {
    AwaitServer self(task);
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

  // Called at the beginning, and when an awaitable has ended.
  FrameThread<Executor>* Wait(Frame* frame) {
    entry_ = static_cast<EntryFrame<Executor>*>(frame);
    thread_.emplace(std::move(*frame->detach_thread()));
    ResetSlot();
    Private::ThrowsIfCancelled(*entry_) = true;
    if (awaitable_ != nullptr) task_->Recycle(*this);
    awaitable_ = nullptr;
    // Must come last: the waiter may use this server again, on another thread,
    // or the task may end and destroy it.
    tie_.End();
    return nullptr;
  }
  FrameThread<Executor>* PushOn(Frame*) {
    push_(awaitable_, Handle::from_promise(*entry_));
    return nullptr;
  }

  CoroutineTask* const task_;
  EntryFrame<Executor>* entry_ = nullptr;
  std::optional<FrameThread<Executor>> thread_;  // while it is idle
  void* awaitable_ = nullptr;
  Push push_ = nullptr;
  CoroutineWait::Tie tie_;
};

template <class T, class Executor>
class CoroutineWaitFor final : public CoroutineWait {
  using Awaitable = boost::asio::awaitable<T, Executor>;

 public:
  CoroutineWaitFor(Awaitable awaitable, CoroutineTask& task,
                   std::coroutine_handle<> coroutine, FiberWaiter* waiter)
      : CoroutineWait(task, coroutine, waiter),
        awaitable_(std::move(awaitable)) {}
  ~CoroutineWaitFor() {
    if (tie() == nullptr) return;
    server_->ResetSlot();
    tie()->Keep(std::make_shared<Awaitable>(std::move(awaitable_)), task_);
  }

  // False: the awaitable has ended already. Not inlined, because Asio reads
  // thread-locals in it.
  __attribute__((noinline)) bool Await() {
    auto& entry = *static_cast<EntryFrame<Executor>*>(outer_entry());
    if (!Begin(FramePrivate<Executor>::ThrowsIfCancelled(entry))) return false;
    const bool part = BecomePartOfTask();
    server_ = &AwaitServer<Executor>::Get(
        part ? task_ : nullptr, FramePrivate<Executor>::ExecutorOf(entry));
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
  AwaitServer<Executor>* server_ = nullptr;
};

// Whether coroutines with such an executor can be spawned in a run.
template <class Executor>
inline constexpr bool kRunsInRuns =
    std::is_convertible_v<boost::asio::io_context::executor_type, Executor>;

template <class T, class Executor>
auto SpawnInRun(boost::asio::awaitable<T, Executor> awaitable) {
  return boost::asio::co_spawn(Executor(RunExecutor()), std::move(awaitable),
                               boost::asio::deferred);
}
template <class T, class Executor>
struct SpawnedInRun {
  using type = OperationAwaiter<decltype(SpawnInRun(
      std::declval<boost::asio::awaitable<T, Executor>>()))>;
};

// Whether the running task is a run's.
bool InRun() noexcept;
[[noreturn]] void ReportNoHost();

template <class T, class Executor>
class CoroutineAwaiter {
  struct Never {
    bool await_suspend(std::coroutine_handle<>) { return false; }
    bool await_park(FiberWaiter&) { return false; }
    T await_resume() { std::terminate(); }
  };
  using Spawned = typename std::conditional_t<kRunsInRuns<Executor>,
                                              SpawnedInRun<T, Executor>,
                                              std::type_identity<Never>>::type;

 public:
  explicit CoroutineAwaiter(boost::asio::awaitable<T, Executor>&& awaitable)
      : awaitable_(std::move(awaitable)) {}
  CoroutineAwaiter(const CoroutineAwaiter&) = delete;
  CoroutineAwaiter& operator=(const CoroutineAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> coroutine) {
    if (const auto suspends = StartInTask(coroutine, nullptr)) return *suspends;
    SpawnOrDie();
    return spawned_->await_suspend(coroutine);
  }
  bool await_park(FiberWaiter& waiter) {
    if (const auto suspends = StartInTask(nullptr, &waiter)) return *suspends;
    SpawnOrDie();
    return spawned_->await_park(waiter);
  }
  T await_resume() {
    return spawned_ ? spawned_->await_resume() : wait_->Result();
  }

 private:
  // Returns nothing if the running task is not one of Asio's with executors of
  // this type; otherwise whether the waiter suspends. The waiter may have
  // resumed by then, and destroyed this object.
  std::optional<bool> StartInTask(std::coroutine_handle<> coroutine,
                                  FiberWaiter* waiter) {
    CoroutineTask* const task = CoroutineTask::Current();
    if (task == nullptr || !IsCoroutineOf<Executor>(*task)) return std::nullopt;
    return wait_
        .Emplace([&] {
          return CoroutineWaitFor<T, Executor>(std::move(awaitable_), *task,
                                               coroutine, waiter);
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
    ReportNoHost();
  }

  boost::asio::awaitable<T, Executor> awaitable_;
  InPlace<CoroutineWaitFor<T, Executor>> wait_;  // in a task of Asio's
  InPlace<Spawned> spawned_;                     // in a run
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_COROUTINE_WAIT_H_
