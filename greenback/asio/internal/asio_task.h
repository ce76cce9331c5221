// AsioTask: a coroutine of Boost.Asio's, as greenback sees it. Internal.
//
// Its steps are what PortalExecutor executes, each on a fiber. A fiber that is
// woken goes on through the executor that the coroutine had before: at once
// when this thread is there already and in nobody's step, else posted.
//
// Lifetime: that of the coroutine, whose executor owns it; the executors of its
// handlers, which own the coroutine, are copies that do not. Counted for
// others. When its execution context shuts down, what still waits is unwound.
#ifndef GREENBACK_ASIO_INTERNAL_ASIO_TASK_H_
#define GREENBACK_ASIO_INTERNAL_ASIO_TASK_H_

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
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/intrusive_list.h"

namespace greenback::internal {

class AsioTasks;

class AsioTask : public StepTask, public ListItem<AsioTask> {
 public:
  // The coroutine that runs, innermost of those that Await() each other. Only
  // awaitable_thread.h knows what is inside.
  struct Coroutine {
    // In the entry point's frame, which it tells from others: whether control
    // has gone back to who has spawned it.
    bool* switched = nullptr;
    void* entry = nullptr;
    const void* type = nullptr;  // of its executor
    // Whether its code runs, other than an operation that it has started.
    bool (*runs)(void* entry) = nullptr;
    boost::asio::cancellation_state& (*cancellation)(void* entry) = nullptr;
  };

  // A thread of Asio's coroutines on which the task awaits one awaitable after
  // the other. Lives in its own frame, which only awaitable.h knows.
  struct Server {
    Server* next = nullptr;
    void (*end)(Server& server) = nullptr;  // while it is idle
  };

  // The running task, if it is one of Asio's.
  static AsioTask* Current() noexcept;
  static AsioTask* From(PortalTask* task) noexcept;

  absl::string_view name() const override { return name_; }
  // Goes on at `point`, later.
  virtual void PostContinuation(ParkPoint& point) = 0;
  // Where its steps run, without making steps.
  virtual boost::asio::any_io_executor executor() const = 0;

  // Those of its execution context; null when that has shut down.
  const AsioTasks* tasks() const { return tasks_; }
  const Coroutine& coroutine() const { return coroutine_; }
  void set_coroutine(const Coroutine& coroutine) {
    coroutine_ = coroutine;
    set_has_parked(coroutine.switched);
  }
  // Of the latest cancellation.
  boost::asio::cancellation_type cancellation_type() const {
    return cancellation_type_;
  }
  bool is_cancelled() const;
  // In a step of this task: whether its coroutine's own code runs.
  bool RunsCoroutine() const {
    return coroutine_.runs != nullptr && coroutine_.runs(coroutine_.entry);
  }

  // Those that have nothing to do.
  void PutBy(Server& server) {
    server.next = std::exchange(idle_servers_, &server);
  }
  // Null: there is none.
  Server* TakeServer() {
    Server* const server = idle_servers_;
    if (server != nullptr) idle_servers_ = server->next;
    return server;
  }

  // Of the innermost Await() of an awaitable, whose steps run there.
  ParkPoint* below() const { return below_; }
  void set_below(ParkPoint* point) { below_ = point; }

  // A coroutine that waits in a coroutine of greenback's owns itself meanwhile.
  // `drop(coroutine)` destroys it, when the task is given up. One at a time;
  // null: it goes on.
  void set_detached(void (*drop)(void*), void* coroutine) {
    drop_detached_ = drop;
    detached_ = coroutine;
  }

  // The execution context is shutting down: unwinds and destroys what waits.
  // Its coroutine may go, and what it awaited go on without it.
  void GiveUp() noexcept {
    Abandon();
    set_coroutine({});
    below_ = nullptr;
    if (drop_detached_ != nullptr) {
      std::exchange(drop_detached_, nullptr)(detached_);
    }
  }

  friend void intrusive_ptr_add_ref(const AsioTask* task) noexcept {
    task->references_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(const AsioTask* task) noexcept {
    if (task->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete task;
    }
  }

  // Public for PortalAccess.
  absl::Status FinishCheckpoint() override;
  bool AddCancelHook(CancelHook& hook) override;

 protected:
  AsioTask(const char* name, boost::asio::execution_context& context);
  ~AsioTask() override;

 private:
  friend class AsioTasks;

  mutable std::atomic<int> references_{0};
  const char* const name_;
  AsioTasks* tasks_;
  Coroutine coroutine_;
  Server* idle_servers_ = nullptr;
  ParkPoint* below_ = nullptr;
  CancelHooks hooks_;
  void (*drop_detached_)(void*) = nullptr;
  void* detached_ = nullptr;
  boost::asio::cancellation_type cancellation_type_ =
      boost::asio::cancellation_type::none;
};

using AsioTaskPtr = boost::intrusive_ptr<AsioTask>;

// What an AsioTask has executed to go on. When it is dropped instead, the task
// is given up; if its context is shutting down, it has been already, and may be
// gone.
class AsioQueued {
 public:
  explicit AsioQueued(AsioTask& task) : task_(&task), tasks_(task.tasks()) {}
  AsioQueued(AsioQueued&& other) noexcept
      : task_(other.Take()), tasks_(other.tasks_) {}
  ~AsioQueued() {
    if (task_ != nullptr) Drop();
  }

 protected:
  AsioTask* Take() { return std::exchange(task_, nullptr); }

 private:
  void Drop();

  AsioTask* task_;
  const AsioTasks* tasks_;
};

// At `point`.
class AsioContinuation : public AsioQueued {
 public:
  AsioContinuation(AsioTask& task, ParkPoint& point)
      : AsioQueued(task), point_(&point) {}

  void operator()() { Take()->Continue(*point_); }

 private:
  ParkPoint* point_;
};

// With the second half of a coroutine's checkpoint.
class AsioCheckpoint : public AsioQueued {
 public:
  AsioCheckpoint(AsioTask& task, ReadyNode& node)
      : AsioQueued(task), node_(&node) {}

  void operator()();

 private:
  ReadyNode* node_;
};

template <class Executor>
class AsioTaskOn final : public AsioTask {
 public:
  AsioTaskOn(const char* name, const Executor& executor)
      : AsioTask(name,
                 boost::asio::query(executor, boost::asio::execution::context)),
        executor_(executor),
        posting_(NeverBlocking(executor)) {}

  boost::asio::any_io_executor executor() const override { return executor_; }
  void PostContinuation(ParkPoint& point) override {
    Post(posting_, AsioContinuation(*this, point));
  }

 private:
  static auto NeverBlocking(const Executor& executor) {
    return boost::asio::require(executor,
                                boost::asio::execution::blocking.never);
  }
  using Posting = decltype(NeverBlocking(std::declval<const Executor&>()));

  // By value, here and below: what is executed may end the task, and the
  // executors with it, before execute() returns.
  template <class Fn>
  static void Post(Posting posting, Fn fn) {
    posting.execute(std::move(fn));
  }

  void ScheduleContinue(ParkPoint& point) noexcept override {
    const Posting posting = posting_;
    // What the step throws belongs to whoever runs the executor.
    GREENBACK_TRY { ContinueOrPost(point); }
    GREENBACK_CATCH_ALL {
      Post(posting, [error = std::current_exception()] {
        std::rethrow_exception(error);
      });
    }
  }
  void ContinueOrPost(ParkPoint& point) {
    // In somebody's step, the rest of that comes first.
    const bool post = IsInStep();
    // The short way to what execute() would do.
    if constexpr (requires { executor_.running_in_this_thread(); }) {
      if (executor_.running_in_this_thread()) {
        return post ? PostContinuation(point) : Continue(point);
      }
    }
    // Another thread's, perhaps: the coroutine may end, and its context be
    // joined and destroyed, before execute() returns.
    [[maybe_unused]] const auto work = boost::asio::prefer(
        executor_, boost::asio::execution::outstanding_work.tracked);
    if (post) {
      PostContinuation(point);
    } else {
      const Executor executor = executor_;
      executor.execute(AsioContinuation(*this, point));
    }
  }
  void ScheduleCheckpoint(ReadyNode& node) override {
    Post(posting_, AsioCheckpoint(*this, node));
  }

  const Executor executor_;
  const Posting posting_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_ASIO_INTERNAL_ASIO_TASK_H_
