// PortalExecutor<Executor>: the executor of coroutines with portals.
//
//   using Session = boost::asio::awaitable<
//       void, greenback::asio::PortalExecutor<Io::executor_type>>;
//
// An executor of Boost.Asio's that forwards everything to another one, and by
// which greenback knows the task: when a coroutine has become a task (by
// CoSpawn(), or by one of the portal functions of portal.h), the executor of
// its handlers is a PortalExecutor that belongs to that task. Functions that it
// executes run as steps of the task, on a fiber.
//
// When to use it: never for `awaitable<T>`, whose any_io_executor holds one as
// soon as that is needed. As the Executor of `awaitable<T, Executor>` when the
// type erasure of any_io_executor costs too much; other executor types cannot
// hold a portal. One that is made from an Executor, or read from
// this_coro::executor, belongs to no task and costs nothing: what is spawned on
// it is a coroutine of its own, without a portal.
//
// Threads, blocking, work tracking: those of Executor. dispatch() inside a step
// of the task is a plain call; elsewhere, and for post(), it begins a step.
#ifndef GREENBACK_ASIO_PORTAL_EXECUTOR_H_
#define GREENBACK_ASIO_PORTAL_EXECUTOR_H_

#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/task_step.h"
#include "greenback/host/portal_task.h"

namespace greenback::asio {

template <class Executor>
class PortalExecutor {
 public:
  using inner_executor_type = Executor;

  // Belongs to no task.
  template <std::same_as<Executor> Inner>
  PortalExecutor(Inner executor) noexcept  // NOLINT: as co_spawn() wants it
      : executor_(std::move(executor)) {}
  // For greenback: the executor that owns the task.
  PortalExecutor(Executor executor, internal::CoroutineTaskPtr task) noexcept
      : executor_(std::move(executor)),
        task_(reinterpret_cast<uintptr_t>(task.detach()) | kOwns) {}

  // For greenback: the executor of an awaitable that the task awaits. It does
  // not own the task.
  static PortalExecutor Below(Executor executor,
                              internal::CoroutineTask& task) {
    return PortalExecutor(std::move(executor),
                          reinterpret_cast<uintptr_t>(&task) | kBelow);
  }

  // A copy that the coroutine's own code makes, by this_coro::executor, is for
  // other coroutines and belongs to no task. (The task is not accessed before
  // it is known to run.)
  PortalExecutor(const PortalExecutor& other) noexcept
      : PortalExecutor(other.executor_, other.CopyTask()) {}
  PortalExecutor(PortalExecutor&& other) noexcept
      : executor_(std::move(other.executor_)), task_(Apart(other.task_)) {
    other.task_ &= ~kOwns;
  }
  PortalExecutor& operator=(PortalExecutor other) noexcept {
    std::swap(executor_, other.executor_);
    std::swap(task_, other.task_);
    return *this;
  }
  ~PortalExecutor() {
    if ((task_ & kOwns) != 0) intrusive_ptr_release(task());
  }

  friend bool operator==(const PortalExecutor& a,
                         const PortalExecutor& b) noexcept {
    return a.executor_ == b.executor_ && a.task() == b.task();
  }
  friend bool operator!=(const PortalExecutor& a,
                         const PortalExecutor& b) noexcept {
    return !(a == b);
  }

  const Executor& inner_executor() const noexcept { return executor_; }

  template <class Fn>
  void execute(Fn&& fn) const {
    if ((task_ & kBelow) != 0) {
      executor_.execute(internal::NestedTaskStep<std::decay_t<Fn>>{
          task(), std::forward<Fn>(fn)});
    } else if (task() != nullptr) {
      executor_.execute(
          internal::TaskStep<std::decay_t<Fn>>{task(), std::forward<Fn>(fn)});
    } else if (greenback::internal::ThisThread().current_task != nullptr) {
      executor_.execute(
          internal::OutsideTasks<std::decay_t<Fn>>{std::forward<Fn>(fn)});
    } else {
      executor_.execute(std::forward<Fn>(fn));
    }
  }

  template <class Property>
    requires(boost::asio::can_query_v<const Executor&, Property>)  //
  decltype(auto) query(const Property& property) const noexcept {
    return boost::asio::query(executor_, property);
  }
  template <class Property>
    requires(boost::asio::can_require_v<const Executor&, Property>)  //
  auto require(const Property& property) const {
    return Wrap(boost::asio::require(executor_, property));
  }
  // For executors that act on the property; Asio tries require() first.
  template <class Property>
    requires(boost::asio::can_prefer_v<const Executor&, Property>)  //
  auto prefer(const Property& property) const {
    return Wrap(boost::asio::prefer(executor_, property));
  }

 private:
  template <class Other>
  friend class PortalExecutor;

  static constexpr uintptr_t kOwns = 1;   // this one owns its task
  static constexpr uintptr_t kBelow = 2;  // made by Below()

  PortalExecutor(Executor executor, uintptr_t task) noexcept
      : executor_(std::move(executor)), task_(Apart(task)) {}

  // Keeps the compiler from moving both members with one instruction. A read of
  // both that follows separate writes has to wait until the writes are done.
  static uintptr_t Apart(uintptr_t task) {
#if defined(__GNUC__)
    asm("" : "+r"(task));
#endif
    return task;
  }

  internal::CoroutineTask* task() const noexcept {
    return reinterpret_cast<internal::CoroutineTask*>(task_ &
                                                      ~(kOwns | kBelow));
  }
  uintptr_t CopyTask() const noexcept {
    internal::CoroutineTask* const task = this->task();
    return task != nullptr &&
                   task == greenback::internal::ThisThread().current_task &&
                   task->RunsCoroutine()
               ? 0
               : task_ & ~kOwns;
  }
  template <class Other>
  PortalExecutor<Other> Wrap(Other executor) const {
    return PortalExecutor<Other>(std::move(executor), task_ & ~kOwns);
  }

  Executor executor_;
  uintptr_t task_ = 0;  // the task, with kOwns and kBelow
};

}  // namespace greenback::asio

#endif  // GREENBACK_ASIO_PORTAL_EXECUTOR_H_
