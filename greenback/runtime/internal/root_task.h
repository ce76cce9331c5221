// RootTask: the outermost coroutine of a task. Internal.
//
// The promise in its frame holds the Task, and the frame is destroyed when the
// coroutine ends.
#ifndef GREENBACK_RUNTIME_INTERNAL_ROOT_TASK_H_
#define GREENBACK_RUNTIME_INTERNAL_ROOT_TASK_H_

#include <coroutine>
#include <exception>
#include <utility>

#include "greenback/host/home_awaiter.h"
#include "greenback/host/transfer.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/task.h"

namespace greenback::internal {

class RootTask {
 public:
  class promise_type : public TransferringPromise {
   public:
    // Every RootTask coroutine has a TaskPlace as its first parameter.
    template <class... Rest>
    explicit promise_type(const TaskPlace& place, Rest&&...) : task_(place) {}

    RootTask get_return_object() { return RootTask(*this); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct End {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
          Task& task = ended.promise().task_;
          TaskOwner& owner = TaskAccess::Owner(task);
          LoopObserver* const observer =
              TaskAccess::Cancellation(task).loop->observer();
          ThisThread().current_task = nullptr;  // destroyed below
          if (observer != nullptr) [[unlikely]] {
            observer->Exited(task);
            observer->StepEnds(task);
          }
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
    decltype(auto) await_transform(A&& awaitable) {
      return ComeHome(std::forward<A>(awaitable));
    }

   private:
    friend class RootTask;
    Task task_;
    Waiter start_{Waiter::Kind::kCoroutine};
  };

  // Puts the task into the ready queue.
  Task& Start(Loop& loop) {
    promise_.start_.task = &promise_.task_;
    promise_.start_.handle = handle();
    if (loop.observer() != nullptr) [[unlikely]]
      loop.observer()->Spawned(promise_.task_);
    loop.Schedule(promise_.start_);
    return promise_.task_;
  }

  // Destroys a task that has not been started.
  void Destroy() { handle().destroy(); }

  Task& task() const { return promise_.task_; }

 private:
  explicit RootTask(promise_type& promise) : promise_(promise) {}
  std::coroutine_handle<promise_type> handle() const {
    return std::coroutine_handle<promise_type>::from_promise(promise_);
  }

  promise_type& promise_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_ROOT_TASK_H_
