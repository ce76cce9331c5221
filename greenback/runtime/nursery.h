// Nursery: where tasks are spawned, and where they are waited for.
//
//   absl::Status status = co_await greenback::OpenNursery(
//       [&](greenback::Nursery& nursery) -> greenback::Co<absl::Status> {
//         nursery.StartSoon(Serve, std::move(socket));
//         nursery.StartSoon(LogProgress);
//         co_return absl::OkStatus();
//       });
//
// OpenNursery() gives a result when the body and every task spawned into the
// nursery have ended: a task never outlives its nursery. When one of them fails
// (a status that is not OK, or an exception) the others are cancelled, and the
// failure comes out of OpenNursery() once all have ended. kCancelled that the
// nursery's own cancel scope has caused is no failure.
//
// Suspends: leaving is always a schedule point; waiting for the children is not
// cancelled itself, but what cancels the surrounding scope cancels them.
// Threads: the run's.
#ifndef GREENBACK_RUNTIME_NURSERY_H_
#define GREENBACK_RUNTIME_NURSERY_H_

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "greenback/awaitable.h"
#include "greenback/context/exceptions.h"
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/root_task.h"
#include "greenback/runtime/task.h"

namespace greenback {

namespace internal {
struct NurseryAccess;
}

#if defined(__cpp_exceptions)
// What comes out of a nursery in which more than one exception was thrown: all
// of them, in order. Failures that were statuses are among them as StatusError.
class ExceptionGroup : public std::exception {
 public:
  explicit ExceptionGroup(std::vector<std::exception_ptr> exceptions);

  const std::vector<std::exception_ptr>& exceptions() const {
    return exceptions_;
  }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::vector<std::exception_ptr> exceptions_;
  std::string what_;
};

class StatusError : public std::exception {
 public:
  explicit StatusError(absl::Status status)
      : status_(std::move(status)), what_(status_.ToString()) {}
  const absl::Status& status() const { return status_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  absl::Status status_;
  std::string what_;
};
#endif

class Nursery final : private internal::TaskOwner {
 public:
  // Internal: see OpenNursery().
  Nursery() : parent_(CurrentTask()) {}
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  // Spawns a task that runs `co_await fn(args...)`, after what is ready now.
  // `fn` and `args` are moved or copied into the task (std::ref for
  // references). The new task begins inside this nursery's cancel scope,
  // without a portal. Never suspends. The reference is good until the task
  // ends, and it does not run before the caller suspends.
  template <class Fn, class... Args>
  Task& StartSoon(Fn&& fn, Args&&... args);

  // Around the body and all children.
  CancelScope& cancel_scope() { return scope_; }

  Task& parent_task() const { return parent_; }
  // Tasks of this nursery that have not ended.
  size_t child_count() const { return child_count_; }

 private:
  friend struct internal::NurseryAccess;

  // How the body or a child ended. A failure cancels the rest.
  void Note(absl::Status status);
  void Note(std::exception_ptr error);
  void TaskEnded() override;
  // What comes out; throws if exceptions do.
  absl::Status Result();

  Task& parent_;
  CancelScope scope_;
  size_t child_count_ = 0;
  internal::ReadyNode parent_node_;  // while it waits for the children
  bool parent_waits_ = false;
  std::vector<std::exception_ptr> errors_;
  absl::Status status_;
};

namespace internal {

// Until all children have ended. A schedule point in any case.
class AllChildrenAwaiter {
 public:
  static constexpr bool kGreenbackHomeAwaiter = true;

  explicit AllChildrenAwaiter(Nursery& nursery) : nursery_(nursery) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}

 private:
  Nursery& nursery_;
};

struct NurseryAccess {
  template <class Outcome>
  static void Note(Nursery& nursery, Outcome outcome) {
    nursery.Note(std::move(outcome));
  }
  static AllChildrenAwaiter AllChildren(Nursery& nursery) {
    return AllChildrenAwaiter(nursery);
  }
  static void WhenEmpty(Nursery& nursery, std::coroutine_handle<> handle);
  static absl::Status Result(Nursery& nursery) { return nursery.Result(); }
};

// What a task or a nursery's body may give.
template <class A>
inline constexpr bool kGivesStatus =
    std::is_same_v<std::decay_t<AwaitResult<A>>, absl::Status>;
template <class A>
concept TaskAwaitable = Awaitable<A> &&
    (kGivesStatus<A> || std::is_void_v<AwaitResult<A>>);

// A child task: awaits what fn(args...) gives, and notes how it failed.
template <class Fn, class... Args>
RootTask RunChild(TaskPlace place, Fn fn, Args... args) {
  Nursery& nursery = *place.nursery;
  GREENBACK_TRY {
    // Parameters go after the promise, and the Task with it; what the task owns
    // goes while it still is one.
    Fn function = std::move(fn);
    std::tuple<Args...> arguments(std::move(args)...);
    if constexpr (kGivesStatus<std::invoke_result_t<Fn, Args...>>) {
      NurseryAccess::Note(nursery, co_await std::apply(std::move(function),
                                                       std::move(arguments)));
    } else {
      co_await std::apply(std::move(function), std::move(arguments));
    }
  }
  GREENBACK_CATCH_ALL {
    NurseryAccess::Note(nursery, std::current_exception());
  }
}

}  // namespace internal

template <class Fn, class... Args>
Task& Nursery::StartSoon(Fn&& fn, Args&&... args) {
  static_assert(
      std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>,
      "greenback::Nursery::StartSoon(fn, args...): fn cannot be called "
      "with these arguments");
  static_assert(
      internal::TaskAwaitable<
          std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>>,
      "greenback::Nursery::StartSoon(fn, args...): fn gives something "
      "that co_await turns into an absl::Status or nothing; hand other "
      "results to a variable of the parent");
  internal::Loop& loop = *internal::Loop::Current();
  internal::RootTask child =
      internal::RunChild<std::decay_t<Fn>, std::decay_t<Args>...>(
          {loop, *this, this, scope_.state_}, std::forward<Fn>(fn),
          std::forward<Args>(args)...);
  ++child_count_;  // nothing throws from here on
  return child.Start(loop);
}

// co_await -> absl::Status: what `body` gave, or the first failure of a child
// (the texts of further ones are appended); kCancelled when the scope around it
// is cancelled. Exceptions come out as they are, several as one ExceptionGroup.
// `body` is kept until the end.
template <class Body>
Co<absl::Status> OpenNursery(Body body) {
  static_assert(std::invocable<Body&, Nursery&>,
                "greenback::OpenNursery(body): body takes a Nursery&");
  static_assert(
      internal::TaskAwaitable<std::invoke_result_t<Body&, Nursery&>>,
      "greenback::OpenNursery(body): body gives something that co_await "
      "turns into an absl::Status or nothing");
  Nursery nursery;
  GREENBACK_TRY {
    if constexpr (internal::kGivesStatus<
                      std::invoke_result_t<Body&, Nursery&>>) {
      internal::NurseryAccess::Note(nursery,
                                    co_await std::invoke(body, nursery));
    } else {
      co_await std::invoke(body, nursery);
    }
  }
  GREENBACK_CATCH_ALL {
    internal::NurseryAccess::Note(nursery, std::current_exception());
  }
  // Somebody may spawn one more before this task goes on.
  do {
    co_await internal::NurseryAccess::AllChildren(nursery);
  } while (nursery.child_count() != 0);
  co_return internal::NurseryAccess::Result(nursery);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_NURSERY_H_
