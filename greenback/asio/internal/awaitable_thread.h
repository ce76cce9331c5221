// What greenback uses of the inside of boost::asio::awaitable. Internal.
//
// A coroutine that was spawned with Asio's own co_spawn() becomes a task when
// its executor is exchanged while it runs, and Asio has no function for that.
// What goes beyond Asio's documentation is in this file and in those that it
// names:
//
//  - a coroutine may co_await a function of its frame, which is called when the
//    coroutine is suspended (Asio's completion tokens do that);
//  - detach_thread(), attach_thread(), entry_point() and awaitable_thread are
//    public, in namespace detail;
//  - frame.h: private members that are the same in all versions;
//  - launch_*.h: what differs, in a file for each range of versions.
#ifndef GREENBACK_ASIO_INTERNAL_AWAITABLE_THREAD_H_
#define GREENBACK_ASIO_INTERNAL_AWAITABLE_THREAD_H_

#include <boost/version.hpp>

#if BOOST_VERSION < 108100
#error "greenback/asio/portal.h needs Boost 1.81 or newer"
#elif BOOST_VERSION < 108900
#include "greenback/asio/internal/launch_1_81.h"
#else
#include "greenback/asio/internal/launch_1_89.h"
#endif

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/asio/internal/frame.h"
#include "greenback/asio/internal/newest_boost.h"
#include "greenback/asio/portal_executor.h"
#include "greenback/host/portal_access.h"
#include "greenback/host/portal_task.h"
#include "greenback/task_local.h"

namespace greenback::asio::internal {

using ::greenback::internal::CurrentLocals;
using ::greenback::internal::Locals;

// A template, so that only who uses it learns that it is false.
template <class Executor>
inline constexpr bool kBoostIsTested = GREENBACK_ASIO_BOOST_IS_TESTED;

// Its address stands for the type.
template <class Executor>
inline constexpr char kExecutorType = 0;

template <class Executor>
bool IsCoroutineOf(const CoroutineTask& task) {
  return task.coroutine().type == &kExecutorType<Executor>;
}

template <class Executor>
CoroutineTask::Coroutine DescribeCoroutine(EntryFrame<Executor>& entry) {
  return {
      .switched = LaunchPrivate<Executor>::Flag(entry),
      .entry = &entry,
      .type = &kExecutorType<Executor>,
      .runs =
          [](void* its_entry) {
            return FramePrivate<Executor>::Runs(
                *static_cast<EntryFrame<Executor>*>(its_entry));
          },
      .cancellation = [](void* its_entry) -> boost::asio::cancellation_state& {
        return FramePrivate<Executor>::CancellationOf(
            *static_cast<EntryFrame<Executor>*>(its_entry));
      },
  };
}

// An any_io_executor on the heap, with all its properties. A PortalExecutor of
// one fits inside an any_io_executor, which then copies it whenever it is
// copied itself.
class BoxedExecutor {
  using AnyExecutor = boost::asio::any_io_executor;

 public:
  // A template, so that nothing is converted to an any_io_executor for it.
  template <std::same_as<AnyExecutor> Executor>
  explicit BoxedExecutor(const Executor& executor) : box_(new Box(executor)) {}
  BoxedExecutor(const BoxedExecutor&) noexcept = default;
  BoxedExecutor& operator=(const BoxedExecutor&) noexcept = default;

  friend bool operator==(const BoxedExecutor& a,
                         const BoxedExecutor& b) noexcept {
    return a.box_ == b.box_ || a.executor() == b.executor();
  }
  friend bool operator!=(const BoxedExecutor& a,
                         const BoxedExecutor& b) noexcept {
    return !(a == b);
  }

  template <class Fn>
  void execute(Fn&& fn) const {
    executor().execute(std::forward<Fn>(fn));
  }
  // All properties, because Asio relies on them: a pool's join() does not wait
  // for an executor that cannot track outstanding work.
  template <class Property>
    requires(boost::asio::can_query_v<const AnyExecutor&, Property>)  //
  decltype(auto) query(const Property& property) const {
    return boost::asio::query(executor(), property);
  }
  template <class Property>
    requires(boost::asio::can_require_v<const AnyExecutor&, Property>)  //
  auto require(const Property& property) const {
    return BoxedExecutor(
        AnyExecutor(boost::asio::require(executor(), property)));
  }
  template <class Property>
    requires(boost::asio::can_prefer_v<const AnyExecutor&, Property>)  //
  auto prefer(const Property& property) const {
    return BoxedExecutor(
        AnyExecutor(boost::asio::prefer(executor(), property)));
  }

  const AnyExecutor& executor() const noexcept { return box_->executor; }

 private:
  struct Box : boost::intrusive_ref_counter<Box> {
    explicit Box(const AnyExecutor& boxed) : executor(boxed) {}
    const AnyExecutor executor;
  };
  boost::intrusive_ptr<const Box> box_;
};

template <class Executor>
inline constexpr bool kIsPortalExecutor = false;
template <class Inner>
inline constexpr bool kIsPortalExecutor<PortalExecutor<Inner>> = true;

// Makes executors of the type `Executor` for coroutines: Of() for one that is a
// task, Below() for one that a task awaits, Without() for one in no task.
template <class Executor>
class TaskExecutors {
  static_assert(
      kIsPortalExecutor<Executor>,
      "greenback: the Executor of boost::asio::awaitable<T, Executor> "
      "must be any_io_executor (the default) or a "
      "greenback::asio::PortalExecutor, to hold a portal");

 public:
  static CoroutineTaskPtr MakeTask(const char* name, const Executor& executor) {
    using Inner = typename Executor::inner_executor_type;
    return CoroutineTaskPtr(
        new CoroutineTaskOn<Inner>(name, executor.inner_executor()));
  }
  static Executor Of(CoroutineTask& task, const Executor& executor) {
    return Executor(executor.inner_executor(), CoroutineTaskPtr(&task));
  }
  static Executor Below(CoroutineTask& task, const Executor& executor) {
    return Executor::Below(executor.inner_executor(), task);
  }
  static Executor Without(const Executor& executor) {
    return Executor(executor.inner_executor());
  }
};

template <>
class TaskExecutors<boost::asio::any_io_executor> {
  using Executor = boost::asio::any_io_executor;
  using OfIoContext = boost::asio::io_context::executor_type;
  using OfThreadPool = boost::asio::thread_pool::executor_type;

  template <class Inner>
  static const Inner* Find(const Executor& executor) {
    using Portal = PortalExecutor<Inner>;
    if (const auto* portal = executor.target<Portal>()) {
      return &portal->inner_executor();
    }
    return executor.target<Inner>();
  }
  // Calls use() with the executor that is inside, if its type is a known one,
  // and with a BoxedExecutor otherwise.
  template <class Use>
  static auto With(const Executor& executor, Use use) {
    if (const auto* io = Find<OfIoContext>(executor)) return use(*io);
    if (const auto* pool = Find<OfThreadPool>(executor)) return use(*pool);
    if (const auto* boxed = Find<BoxedExecutor>(executor)) return use(*boxed);
    return use(BoxedExecutor(executor));
  }

 public:
  static CoroutineTaskPtr MakeTask(const char* name, const Executor& executor) {
    return With(executor, [name]<class Inner>(const Inner& inner) {
      return CoroutineTaskPtr(new CoroutineTaskOn<Inner>(name, inner));
    });
  }
  static Executor Of(CoroutineTask& task, const Executor& executor) {
    return With(executor, [&task]<class Inner>(const Inner& inner) {
      using Portal = PortalExecutor<Inner>;
      // Otherwise an any_io_executor would not copy it when it is copied.
      static_assert(sizeof(Portal) <= 3 * sizeof(void*));
      return Executor(Portal(inner, CoroutineTaskPtr(&task)));
    });
  }
  static Executor Below(CoroutineTask& task, const Executor& executor) {
    return With(executor, [&task]<class Inner>(const Inner& inner) {
      return Executor(PortalExecutor<Inner>::Below(inner, task));
    });
  }
  static Executor Without(const Executor& executor) {
    return With(executor, []<class Inner>(const Inner& inner) {
      return Executor(PortalExecutor<Inner>(inner));
    });
  }
};

// The running task, if it runs the coroutine to which co_await FrameIdentity()
// has returned `identity`; otherwise null.
inline CoroutineTask* RunningTaskOf(const bool& identity) {
  CoroutineTask* const task = CoroutineTask::Current();
  return task != nullptr && task->coroutine().switched == &identity ? task
                                                                    : nullptr;
}

// co_await BecomeTask(...): makes the coroutine a task, if it is none. The
// coroutine continues in a step of the task: at once, or, with `post`, after a
// post(), which is a schedule point.
template <class Executor>
class BecomeTask {
 public:
  // `locals`: the values of task-local variables that the task inherits.
  BecomeTask(const char* name, bool post,
             std::shared_ptr<Locals> locals = CurrentLocals())
      : name_(name), post_(post), locals_(std::move(locals)) {}

  FrameThread<Executor>* operator()(BaseFrame<Executor>* frame) const {
    using Private = FramePrivate<Executor>;
    FrameThread<Executor>* const thread = frame->detach_thread();
    EntryFrame<Executor>& entry = *thread->entry_point();
    Executor& executor = Private::ExecutorOf(entry);
    const CoroutineTask* const running = CoroutineTask::Current();
    const bool is_task =
        running != nullptr && running->coroutine().entry == &entry;
    if (is_task && !post_) {
      // As if the coroutine had never been suspended: the code that resumed it
      // continues to do so.
      frame->attach_thread(thread);
      return nullptr;
    }
    if (!is_task) {
      const CoroutineTaskPtr task =
          TaskExecutors<Executor>::MakeTask(name_, executor);
      task->set_coroutine(DescribeCoroutine<Executor>(entry));
      PortalAccess::Locals(*task) = locals_;
      executor = TaskExecutors<Executor>::Of(*task, executor);
    }
    Executor where = executor;
    typename Resumer<Executor>::result_type none;
    Resumer<Executor> resumer(thread, none);
    if (post_) {
      boost::asio::require(std::move(where),
                           boost::asio::execution::blocking.never)
          .execute(std::move(resumer));
    } else {
      // The coroutine has only moved to a fiber, which makes no difference to
      // co_spawn().
      if (bool* const flag = LaunchPrivate<Executor>::Flag(entry))
        *flag = switched_;
      std::move(where).execute(std::move(resumer));
    }
    return nullptr;
  }

  BecomeTask& KeepSwitched(bool switched) {
    switched_ = switched;
    return *this;
  }

 private:
  const char* const name_;
  const bool post_;
  const std::shared_ptr<Locals> locals_;
  bool switched_ = true;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_AWAITABLE_THREAD_H_
