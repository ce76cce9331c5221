// RootTask: the outermost coroutine of a task. Internal.
//
// Its frame is the task: the promise holds the Task, and both go when the
// coroutine ends.
#ifndef GREENBACK_RUNTIME_ROOT_TASK_H_
#define GREENBACK_RUNTIME_ROOT_TASK_H_

#include <coroutine>
#include <exception>
#include <utility>

#include "greenback/home_awaiter.h"
#include "greenback/runtime/loop.h"
#include "greenback/runtime/task.h"
#include "greenback/transfer.h"

namespace greenback::internal {

// Who waits for a task to end.
class TaskOwner {
 public:
  virtual void TaskEnded() = 0;

 protected:
  ~TaskOwner() = default;
};

// Where a task is born: its nursery (null for the main task) and its first
// scope.
struct TaskPlace {
  Loop& loop;
  TaskOwner& owner;
  Nursery* nursery;
  CancelState& scope;
};

class RootTask {
 public:
  class promise_type : public TransferringPromise {
   public:
    // Every coroutine that is a RootTask has a TaskPlace as first parameter.
    template <class... Rest>
    explicit promise_type(const TaskPlace& place, Rest&&...)
        : owner_(place.owner), task_(place.loop, place.nursery, place.scope) {}

    RootTask get_return_object() { return RootTask(*this); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct End {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
          TaskOwner& owner = ended.promise().owner_;
          ThisThread().current_task = nullptr;  // the task goes here
          ended.destroy();
          owner.TaskEnded();
        }
        void await_resume() const noexcept {}
      };
      return End{};
    }
    void return_void() const noexcept {}
    // The bodies of root tasks catch everything.
    void unhandled_exception() noexcept { std::terminate(); }
    template <class A>
    auto await_transform(A&& awaitable) {
      return ComeHome(std::forward<A>(awaitable));
    }

   private:
    friend class RootTask;
    TaskOwner& owner_;
    Task task_;
    ReadyNode start_;
  };

  // Puts the task into the ready queue.
  Task& Start(Loop& loop) {
    promise_.start_.task = &promise_.task_;
    promise_.start_.handle = handle();
    loop.Schedule(promise_.start_);
    return promise_.task_;
  }

  // Of a task that never runs.
  void Destroy() { handle().destroy(); }

 private:
  explicit RootTask(promise_type& promise) : promise_(promise) {}
  std::coroutine_handle<promise_type> handle() const {
    return std::coroutine_handle<promise_type>::from_promise(promise_);
  }

  promise_type& promise_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_ROOT_TASK_H_
