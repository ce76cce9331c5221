// How the functions of portal.h make a coroutine a task. Internal to portal.h.
#ifndef GREENBACK_ASIO_INTERNAL_RUN_AS_TASK_H_
#define GREENBACK_ASIO_INTERNAL_RUN_AS_TASK_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <utility>

#include "greenback/asio/internal/awaitable_thread.h"
#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/driver.h"
#include "greenback/awaitable.h"
#include "greenback/task_local.h"

namespace greenback::asio::internal {

template <class T>
inline constexpr bool kIsBoostAwaitable = false;
template <class T, class Executor>
inline constexpr bool kIsBoostAwaitable<boost::asio::awaitable<T, Executor>> =
    true;

// What co_await yields for an awaitable of type `Made`, and the executor of the
// coroutines of Asio's that may await it.
template <class Made>
struct MadeAwaitable {
  using Result = typename YieldsInAsio<AwaitResult<Made>>::T;
  using Executor = boost::asio::any_io_executor;
};
template <class T, class AwaitableExecutor>
struct MadeAwaitable<boost::asio::awaitable<T, AwaitableExecutor>> {
  using Result = T;
  using Executor = AwaitableExecutor;
};

// Ends the task. Code that runs later in this step no longer belongs to it.
class TaskEnd {
 public:
  explicit TaskEnd(CoroutineTask& task) : task_(task) {}
  TaskEnd(const TaskEnd&) = delete;
  TaskEnd& operator=(const TaskEnd&) = delete;
  ~TaskEnd();

 private:
  CoroutineTask& task_;
};

template <class T, class Executor, class Make>
boost::asio::awaitable<T, Executor> RunAsTask(Make make, const char* name,
                                              std::shared_ptr<Locals> locals) {
  co_await BecomeTask<Executor>(name, /*post=*/false, std::move(locals))
      .KeepSwitched(co_await FrameIdentity());
  TaskEnd end(*CoroutineTask::Current());
  co_return co_await std::move(make)();
}

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_RUN_AS_TASK_H_
