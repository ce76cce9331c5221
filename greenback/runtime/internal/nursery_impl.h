// The definitions of the templates in nursery.h. Internal: nursery.h includes
// this header at its end, and this header includes nursery.h, so that a program
// may include either first.
#ifndef GREENBACK_RUNTIME_INTERNAL_NURSERY_IMPL_H_
#define GREENBACK_RUNTIME_INTERNAL_NURSERY_IMPL_H_

#include <concepts>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/internal/child_task.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/task.h"

namespace greenback {

namespace internal {

// The outermost coroutine of a task under Start().
template <class T, class Fn, class... Args>
Co<absl::Status> RunStarted(Nursery& target, Outcome<T>& value, Fn fn,
                            Args... args) {
  StartedChild child(target);
  auto&& awaitable = std::invoke(std::move(fn), TaskStatus<T>(child, value),
                                 std::move(args)...);
  using A = decltype(awaitable);
  if constexpr (kGivesStatus<A>) {
    co_return co_await std::forward<A>(awaitable);
  } else {
    co_await std::forward<A>(awaitable);
    co_return absl::OkStatus();
  }
}

}  // namespace internal

template <class Fn, class... Args>
Task& Nursery::StartSoon(Fn&& fn, Args&&... args) {
  constexpr bool kCallable =
      std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>;
  constexpr bool kFits =
      internal::TaskFunction<std::decay_t<Fn>, std::decay_t<Args>...>;
  static_assert(kCallable,
                "greenback::Nursery::StartSoon(fn, args...): fn cannot be "
                "called with these arguments");
  static_assert(kFits || !kCallable,
                "greenback::Nursery::StartSoon(fn, args...): fn returns "
                "something that co_await turns into an absl::Status or "
                "nothing; store other results in a variable of the parent");
  if constexpr (kFits) {
    return Adopt(internal::RunChild<std::decay_t<Fn>, std::decay_t<Args>...>(
        PlaceForChild("StartSoon"), std::forward<Fn>(fn),
        std::forward<Args>(args)...));
  } else {
    return parent_;
  }
}

template <class T, class Fn, class... Args>
Co<std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>>
Nursery::Start(Fn fn, Args... args) {
  constexpr bool kCallable = std::invocable<Fn, TaskStatus<T>, Args...>;
  constexpr bool kFits = internal::TaskFunction<Fn, TaskStatus<T>, Args...>;
  static_assert(kCallable,
                "greenback::Nursery::Start<T>(fn, args...): fn cannot be "
                "called with a TaskStatus<T> and these arguments");
  static_assert(kFits || !kCallable,
                "greenback::Nursery::Start(fn, args...): fn returns something "
                "that co_await turns into an absl::Status or nothing; pass "
                "other results to TaskStatus::Started()");
  const internal::PendingStart pending(*this);
  internal::Outcome<T> value;
  absl::Status status =
      co_await OpenNursery([&](Nursery& starting) -> Co<void> {
        if constexpr (kFits) {
          starting.StartSoon(internal::RunStarted<T, Fn, Args...>,
                             std::ref(*this), std::ref(value), std::move(fn),
                             std::move(args)...);
        }
        co_return;
      });
  // A failure of another task in `starting` is a failure, too.
  if (!value.has_value() || !status.ok()) {
    co_return internal::ExplainNotStarted(std::move(status));
  }
  if constexpr (std::is_void_v<T>) {
    co_return absl::OkStatus();
  } else {
    co_return value.Take();
  }
}

template <class Body>
Co<absl::Status> OpenNursery(Body body) {
  constexpr bool kCallable = std::invocable<Body&, Nursery&>;
  constexpr bool kFits = internal::TaskFunction<Body&, Nursery&>;
  static_assert(kCallable,
                "greenback::OpenNursery(body): body takes a Nursery&");
  static_assert(kFits || !kCallable,
                "greenback::OpenNursery(body): body returns something that "
                "co_await turns into an absl::Status or nothing");
  Nursery nursery;
  if constexpr (kFits) {
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
  }
  co_await internal::NurseryAccess::AllChildren(nursery);
  co_return internal::NurseryAccess::Result(nursery);
}

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_INTERNAL_NURSERY_IMPL_H_
