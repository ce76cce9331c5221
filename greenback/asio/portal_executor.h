// PortalExecutor<Executor>: the executor of coroutines with portals.
//
//   using Session = boost::asio::awaitable<
//       void, greenback::asio::PortalExecutor<Io::executor_type>>;
//
// An executor of Boost.Asio's that forwards everything to another one, and that
// greenback can follow: when a coroutine has become a task (by CoSpawn(), or by
// one of the portal functions of portal.h), the executor of its handlers is a
// PortalExecutor that belongs to that task, and what it executes runs as steps
// of the task, on a fiber.
//
// When to use it: never for `awaitable<T>`, whose any_io_executor holds one as
// soon as that is needed. As the Executor of `awaitable<T, Executor>` when the
// type erasure of any_io_executor costs too much; other executor types cannot
// hold a portal. Made from an Executor, or got from this_coro::executor, it
// belongs to no task and costs nothing: what is spawned on it is a coroutine of
// its own, without a portal.
//
// Threads, blocking, work tracking: as those of Executor. dispatch() inside a
// step of the task is a plain call; elsewhere, and for post(), a step.
#ifndef GREENBACK_ASIO_PORTAL_EXECUTOR_H_
#define GREENBACK_ASIO_PORTAL_EXECUTOR_H_

#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <concepts>
#include <type_traits>
#include <utility>

#include "greenback/asio/asio_task.h"
#include "greenback/portal_task.h"

namespace greenback {
namespace internal {

template <class Fn>
struct AsioStep {
  AsioTaskPtr task;
  Fn fn;
  void operator()() { task->Step(std::move(fn)); }
};

// What is executed inside a task's step, but is no part of it.
template <class Fn>
struct OutsideTasks {
  Fn fn;
  void operator()() {
    struct Restore {
      PortalTask* const task =
          std::exchange(ThisThread().current_task, nullptr);
      ~Restore() { ThisThread().current_task = task; }
    } restore;
    std::move(fn)();
  }
};

}  // namespace internal

namespace asio {

template <class Executor>
class PortalExecutor {
 public:
  using inner_executor_type = Executor;

  // Belongs to no task.
  template <std::same_as<Executor> Inner>
  PortalExecutor(Inner executor) noexcept  // NOLINT: as co_spawn() wants it
      : executor_(std::move(executor)) {}
  // For greenback.
  PortalExecutor(Executor executor, internal::AsioTaskPtr task)
      : executor_(std::move(executor)), task_(std::move(task)) {}

  // What the code of a coroutine gets for this_coro::executor, and hands to
  // other coroutines, belongs to no task.
  PortalExecutor(const PortalExecutor& other) noexcept
      : executor_(other.executor_),
        task_(other.task_ != nullptr && other.task_->CopiesForCoroutine()
                  ? nullptr
                  : other.task_) {}
  PortalExecutor(PortalExecutor&& other) noexcept = default;
  PortalExecutor& operator=(const PortalExecutor& other) noexcept {
    PortalExecutor copy(other);
    return *this = std::move(copy);
  }
  PortalExecutor& operator=(PortalExecutor&& other) noexcept = default;

  friend bool operator==(const PortalExecutor& a,
                         const PortalExecutor& b) noexcept {
    return a.executor_ == b.executor_ && a.task_ == b.task_;
  }
  friend bool operator!=(const PortalExecutor& a,
                         const PortalExecutor& b) noexcept {
    return !(a == b);
  }

  const Executor& inner_executor() const noexcept { return executor_; }

  template <class Fn>
  void execute(Fn&& fn) const {
    if (task_ != nullptr) {
      executor_.execute(internal::AsioStep<std::decay_t<Fn>>{
          task_, std::forward<Fn>(fn)});
    } else if (internal::ThisThread().current_task != nullptr) {
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

 private:
  template <class Other>
  friend class PortalExecutor;

  template <class Other>
  PortalExecutor<Other> Wrap(Other executor) const {
    return PortalExecutor<Other>(std::move(executor), task_);
  }

  Executor executor_;
  internal::AsioTaskPtr task_;
};

}  // namespace asio
}  // namespace greenback

#endif  // GREENBACK_ASIO_PORTAL_EXECUTOR_H_
