// CoroutineTask: a coroutine of Boost.Asio's, as greenback sees it. Internal.
//
// Its steps are the functions that PortalExecutor executes, each on a fiber. A
// fiber that is woken continues through the executor that the coroutine had
// before it became a task: at once if this thread is one of the executor's and
// is in no step, otherwise by a post().
//
// Lifetime: that of the coroutine, whose executor owns the task. The executors
// of its handlers, which own the coroutine, are copies that do not. References
// are counted for everything else. When the execution context shuts down, the
// frames that still wait are unwound.
#ifndef GREENBACK_ASIO_INTERNAL_COROUTINE_TASK_H_
#define GREENBACK_ASIO_INTERNAL_COROUTINE_TASK_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/version.hpp>
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/asio/internal/launch_records.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/intrusive_list.h"

namespace greenback::asio::internal {

using ::greenback::internal::CancelHook;
using ::greenback::internal::CancelHooks;
using ::greenback::internal::FiberWaiter;
using ::greenback::internal::ListItem;
using ::greenback::internal::PortalAccess;
using ::greenback::internal::StepTask;
using ::greenback::internal::ThisThread;
using ::greenback::internal::Waiter;

class TaskService;

class CoroutineTask : public StepTask, public ListItem<CoroutineTask> {
 public:
  // The coroutine that runs: the innermost of those that Await() each other.
  // Only awaitable_thread.h knows what is inside.
  struct Coroutine {
    // Whether control has returned to the code that spawned the coroutine. Each
    // entry point has one such flag in its frame; its address identifies it.
    bool* switched = nullptr;
    void* entry = nullptr;
    const void* type = nullptr;  // stands for that of its executor
    // Whether the coroutine's own code runs, and not an operation that it has
    // started.
    bool (*runs)(void* entry) = nullptr;
    boost::asio::cancellation_state& (*cancellation)(void* entry) = nullptr;
  };

  // A thread of Asio's coroutines on which the task awaits one awaitable after
  // the other. Lives in its own frame, which only coroutine_wait.h knows.
  struct Server {
    Server* next = nullptr;
    void (*end)(Server& server) = nullptr;  // ends it, while it is idle
  };

  // The running task, if it is one of Asio's.
  static CoroutineTask* Current() noexcept;
  static CoroutineTask* From(PortalTask* task) noexcept;

  absl::string_view name() const override { return name_; }
  // Posts the continuation of `waiter`.
  virtual void PostContinuation(Waiter& waiter) = 0;
  // The executor on which the steps run. A function that is passed to it is not
  // a step.
  virtual boost::asio::any_io_executor executor() const = 0;

  // The tasks of the execution context, or null if it has shut down.
  const TaskService* service() const { return service_; }
  const Coroutine& coroutine() const { return coroutine_; }
  void set_coroutine(const Coroutine& coroutine) {
    coroutine_ = coroutine;
    set_has_parked(coroutine.switched);
  }
  // The type of the latest cancellation.
  boost::asio::cancellation_type cancellation_type() const {
    return cancellation_type_;
  }
  bool is_cancelled() const;
  // In a step of this task: whether its coroutine's own code runs.
  bool RunsCoroutine() const {
    return coroutine_.runs != nullptr && coroutine_.runs(coroutine_.entry);
  }

  // Keeps an idle server, for the next awaitable.
  void Recycle(Server& server) {
    server.next = std::exchange(idle_servers_, &server);
  }
  // Removes an idle server and returns it, or null if there is none.
  Server* TakeServer() {
    Server* const server = idle_servers_;
    if (server != nullptr) idle_servers_ = server->next;
    return server;
  }

  // The innermost Await() of a boost::asio::awaitable. The steps of that run on
  // the waiting stack.
  FiberWaiter* step_waiter() const { return step_waiter_; }
  void set_step_waiter(FiberWaiter* waiter) { step_waiter_ = waiter; }

  // A coroutine of Asio's that awaits a coroutine of greenback's owns itself
  // meanwhile. `drop(coroutine)` destroys it if the task is abandoned; null:
  // it has resumed. There is at most one.
  void set_detached(void (*drop)(void*), void* coroutine) {
    drop_detached_ = drop;
    detached_ = coroutine;
  }

  // Nothing will be executed any more: unwinds the stacks that wait, and drops
  // the detached coroutine. The coroutine may be destroyed before the operation
  // that it awaited has ended.
  void AbandonCoroutine() noexcept {
    Abandon();
    set_coroutine({});
    step_waiter_ = nullptr;
    if (drop_detached_ != nullptr) {
      std::exchange(drop_detached_, nullptr)(detached_);
    }
  }

  friend void intrusive_ptr_add_ref(const CoroutineTask* task) noexcept {
    task->references_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(const CoroutineTask* task) noexcept {
    if (task->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete task;
    }
  }

  // Public, so that code that knows this type needs no PortalAccess.
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(CancelHook& hook) override;

 protected:
  CoroutineTask(const char* name, boost::asio::execution_context& context);
  ~CoroutineTask() override;

 private:
  friend class TaskService;

#if BOOST_VERSION >= 108900
  absl::Status ReserveFiber(FiberWaiter* waiter) final;
  LaunchRecords launch_records_;
#endif
  mutable std::atomic<int> references_{0};
  const char* const name_;
  TaskService* service_;
  Coroutine coroutine_;
  Server* idle_servers_ = nullptr;
  FiberWaiter* step_waiter_ = nullptr;
  CancelHooks hooks_;
  void (*drop_detached_)(void*) = nullptr;
  void* detached_ = nullptr;
  boost::asio::cancellation_type cancellation_type_ =
      boost::asio::cancellation_type::none;
};

using CoroutineTaskPtr = boost::intrusive_ptr<CoroutineTask>;

// A function with which a task continues, in its executor's queue. If the
// executor drops it instead of calling it, the task is abandoned. If the
// context is shutting down, the task has been abandoned already and may be
// destroyed.
class QueuedStep {
 public:
  explicit QueuedStep(CoroutineTask& task)
      : task_(&task), service_(task.service()) {}
  QueuedStep(QueuedStep&& other) noexcept
      : task_(other.Take()), service_(other.service_) {}
  ~QueuedStep() {
    if (task_ != nullptr) Drop();
  }

 protected:
  CoroutineTask* Take() { return std::exchange(task_, nullptr); }

 private:
  void Drop();

  CoroutineTask* task_;
  const TaskService* service_;
};

// Continues `waiter`.
class ContinueStep : public QueuedStep {
 public:
  ContinueStep(CoroutineTask& task, Waiter& waiter)
      : QueuedStep(task), waiter_(&waiter) {}

  void operator()() { Take()->Continue(*waiter_); }

 private:
  Waiter* waiter_;
};

// Resumes a coroutine for the second half of its checkpoint.
class CheckpointStep : public QueuedStep {
 public:
  CheckpointStep(CoroutineTask& task, Waiter& waiter)
      : QueuedStep(task), waiter_(&waiter) {}

  void operator()();

 private:
  Waiter* waiter_;
};

// A task whose coroutine had an executor of type `Executor`.
template <class Executor>
class CoroutineTaskOn final : public CoroutineTask {
 public:
  CoroutineTaskOn(const char* name, const Executor& executor)
      : CoroutineTask(name, boost::asio::query(
                                executor, boost::asio::execution::context)),
        executor_(executor),
        posting_(NeverBlocking(executor)) {}

  boost::asio::any_io_executor executor() const override { return executor_; }
  void PostContinuation(Waiter& waiter) override {
    Post(posting_, ContinueStep(*this, waiter));
  }

 private:
  static auto NeverBlocking(const Executor& executor) {
    return boost::asio::require(executor,
                                boost::asio::execution::blocking.never);
  }
  using Posting = decltype(NeverBlocking(std::declval<const Executor&>()));

  // By value, here and in ContinueOrPost(): the function may end the task, and
  // the executors with it, before execute() returns.
  template <class Fn>
  static void Post(Posting posting, Fn fn) {
    posting.execute(std::move(fn));
  }

  void ScheduleContinue(Waiter& waiter) noexcept override {
    const Posting posting = posting_;
    // An exception of the step propagates from the function that runs the
    // executor.
    GREENBACK_TRY { ContinueOrPost(waiter); }
    GREENBACK_CATCH_ALL {
      Post(posting, [error = std::current_exception()] {
        std::rethrow_exception(error);
      });
    }
  }
  void ContinueOrPost(Waiter& waiter) {
    // Inside a step, of whatever task, the rest of that step comes first.
    const bool post = IsInStep();
    // A shorter way to do what execute() would do.
    if constexpr (requires { executor_.running_in_this_thread(); }) {
      if (executor_.running_in_this_thread()) {
        return post ? PostContinuation(waiter) : Continue(waiter);
      }
    }
    // The executor's threads may be others. Then the coroutine may end, and its
    // context be joined and destroyed, before execute() returns.
    [[maybe_unused]] const auto work = boost::asio::prefer(
        executor_, boost::asio::execution::outstanding_work.tracked);
    if (post) {
      PostContinuation(waiter);
    } else {
      const Executor executor = executor_;
      executor.execute(ContinueStep(*this, waiter));
    }
  }
  void ScheduleCheckpoint(Waiter& waiter) override {
    // An abandoned task is not continued. Its waiter may be destroyed, and a
    // posted step would outlive it.
    if (PortalAccess::Get(*this) == PortalAccess::Portal::kAbandoned) return;
    Post(posting_, CheckpointStep(*this, waiter));
  }

  const Executor executor_;
  const Posting posting_;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_COROUTINE_TASK_H_
