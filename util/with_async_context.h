// WithAsyncContext(manager, body): synchronous code inside an asynchronous
// context manager (context_manager.h); exactly Python's `async with`.
//
//   int CountUsers(Pool& pool) {   // a plain function
//     return greenback::WithAsyncContext(
//         Lease(pool), [](Connection* c) { return c->Count("users"); });
//   }
//
// Awaits manager.Enter(), calls body(value) (or body(), if it takes nothing),
// awaits manager.Exit(), on whatever path the body ends, and gives the body's
// result.
//
// - Exit() sees the exception that the body throws, or the status that is not
//   OK which it gives (as absl::Status or absl::StatusOr). When Exit() gives
//   true, that failure goes no further.
// - A failure of Enter() comes out; neither the body nor Exit() runs.
// - A failure of Exit() comes out instead of the body's result or failure. A
//   status takes the text of the body's failure along. An exception comes out
//   as it is: Exit(), which has the body's, may nest it
//   (std::throw_with_nested); else, what has been replaced goes to the handler
//   of lost_failure.h.
//
// Gives, for a body that gives a T:
//   T                      by itself
//   std::optional<T>       if Exit() may suppress: empty if it has
//   absl::StatusOr<...>    of either, if Enter(), Exit() or the body gives
//                          absl::Status or absl::StatusOr; T is then what is in
//                          the body's StatusOr
// For a body that gives nothing, or absl::Status: nothing, or absl::Status, and
// what is suppressed is simply not there any more. In an optional or a StatusOr
// a reference is a std::reference_wrapper.
//
// Use it where Exit() has to know about failures, or to fail itself; where it
// need not, AsyncContext (async_context.h) fits into the scope that is there.
//
// Suspends: when Enter() and Exit() do, and the body. All await through the
// portal of the running task, like Await().
// Cancellation: in a cancelled task what Exit() waits for is cancelled like
// anything else; an Exit() that must wait nonetheless shields itself
// (CancelScope::set_shield).
// Ownership: manager, value and body live until Exit() is done. The value is
// handed to the body as an lvalue, or as an rvalue if the body wants that. What
// the body gives as an rvalue reference is moved out of the value before
// Exit(). Errors: see above; and those of Await(), which name the place of the
// call. One that is refused where Exit() is due (the body has taken the portal
// away) is a failure of Exit(), which does not run then.
#ifndef GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_
#define GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_

#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/awaitable.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/in_place.h"
#include "util/context_manager.h"  // IWYU pragma: export
#include "util/exit_reason.h"      // IWYU pragma: export

namespace greenback {

namespace internal {

// How the body is called: with the value, with the value moved, or without.
template <class M, class Body>
constexpr bool BodyTakesValue() {
  using Value = typename EnteredValue<M>::Value;
  if constexpr (std::is_void_v<Value>) {
    return false;
  } else {
    return std::invocable<Body, std::remove_reference_t<Value>&>;
  }
}

template <class M, class Body>
constexpr bool BodyTakesMoved() {
  using Value = typename EnteredValue<M>::Value;
  if constexpr (std::is_void_v<Value>) {
    return false;
  } else {
    return std::invocable<Body, Value>;
  }
}

template <class M, class Body>
constexpr bool CheckBody() {
  constexpr bool kCallable = BodyTakesValue<M, Body>() ||
                             BodyTakesMoved<M, Body>() || std::invocable<Body>;
  static_assert(kCallable,
                "greenback::WithAsyncContext(manager, body): body is called "
                "with what Enter() gave, or without arguments");
  return kCallable;
}

template <class M, class Body>
decltype(auto) CallBody(Body&& body, EnteredValue<M>& entered) {
  if constexpr (BodyTakesValue<M, Body>()) {
    return std::invoke(std::forward<Body>(body), entered.get());
  } else if constexpr (BodyTakesMoved<M, Body>()) {
    return std::invoke(
        std::forward<Body>(body),
        std::forward<typename EnteredValue<M>::Value>(entered.get()));
  } else {
    return std::invoke(std::forward<Body>(body));
  }
}

// A value inside of something else.
template <class T>
struct Kept {
  using type = T;
};
template <class T>
struct Kept<T&> {
  using type = std::reference_wrapper<T>;
};

// What WithAsyncContext() gives where the body gives an R.
template <class M, class R>
struct WithResult {
  using Value = typename StatusForm<R>::Value;
  static constexpr bool kByStatus = StatusForm<R>::kCarries ||
                                    StatusForm<EnterGives<M>>::kCarries ||
                                    StatusForm<ExitGives<M>>::kCarries;
  static constexpr bool kMayBeEmpty = kMaySuppress<M> && !std::is_void_v<Value>;
  using KeptValue = typename Kept<Value>::type;
  using Inner =
      std::conditional_t<kMayBeEmpty, std::optional<KeptValue>,
                         std::conditional_t<kByStatus, KeptValue, Value>>;
  using type =
      std::conditional_t<kByStatus,
                         std::conditional_t<std::is_void_v<Inner>, absl::Status,
                                            absl::StatusOr<Inner>>,
                         Inner>;
};

// The body's failure, if there is one, has been replaced by an exception of
// Exit(). Says so if that does not carry it along.
void ReportReplaced(const ExitReason& reason,
                    const std::exception_ptr& replacement,
                    const std::source_location& where);
// By a status of Exit(): which that is, with the text of the body's.
absl::Status Replace(const ExitReason& reason, const absl::Status& replacement);

// What the body gives; a value in place of an rvalue reference, which may refer
// to what Exit() ends.
template <class M, class Body>
using BodyGives = typename KeptResult<decltype(CallBody<M>(
    std::declval<Body>(), std::declval<EnteredValue<M>&>()))>::type;

template <class M, class Body>
typename WithResult<M, BodyGives<M, Body>>::type RunWith(
    M& manager, Body&& body, const std::source_location& where) {
  using R = BodyGives<M, Body>;
  using With = WithResult<M, R>;
  using Result = typename With::type;
  using Inner = typename With::Inner;
  static_assert(kExitSeesStatus<M> || !StatusForm<R>::kCarries,
                "greenback::WithAsyncContext(manager, body): without "
                "exceptions an Exit(std::exception_ptr) cannot see the status "
                "that body gives; let it take a greenback::ExitReason");

  EnteredValue<M> entered(manager, where);
  if constexpr (EnteredValue<M>::kMayFail) {
    absl::Status status = entered.status();
    if (!status.ok()) return status;
  }

  InPlace<std::conditional_t<std::is_void_v<R>, std::monostate, R>> result;
  ExitReason reason;
  GREENBACK_TRY {
    if constexpr (std::is_void_v<R>) {
      CallBody<M>(std::forward<Body>(body), entered);
    } else {
      result.Emplace([&]() -> R {
        return CallBody<M>(std::forward<Body>(body), entered);
      });
    }
    if constexpr (StatusForm<R>::kCarries) {
      reason = ExitReason(StatusIn(*result));
    }
  }
  GREENBACK_CATCH_ALL { reason = ExitReason(std::current_exception()); }

  ExitOutcome exited;
  std::exception_ptr failure;
  GREENBACK_TRY { exited = AwaitExit(manager, reason, where); }
  GREENBACK_CATCH_ALL { failure = std::current_exception(); }
  if (failure) {
    ReportReplaced(reason, failure, where);
    std::rethrow_exception(std::move(failure));
  }
  if constexpr (With::kByStatus) {
    if (!exited.status.ok()) {
      return Replace(reason, exited.status);
    }
  }
  if (!reason.ok() && !exited.suppress) {
    if (reason.exception()) std::rethrow_exception(reason.exception());
    if constexpr (With::kByStatus) return reason.status();
  }
  if constexpr (std::is_void_v<Result>) {
    return;
  } else if constexpr (std::is_void_v<Inner>) {
    return absl::OkStatus();
  } else {
    if constexpr (With::kMayBeEmpty) {
      if (!reason.ok()) return Result(Inner(std::nullopt));
    }
    if constexpr (std::is_same_v<Result, R>) {
      return std::forward<R>(*result);
    } else if constexpr (StatusForm<R>::kCarries) {
      return Result(Inner(*std::move(*result)));
    } else {
      return Result(Inner(std::forward<R>(*result)));
    }
  }
}

}  // namespace internal

// Whatever the body does, Exit() is awaited after it, and sees how it has
// ended.
template <class M, class Body>
decltype(auto) WithAsyncContext(
    M&& manager, Body&& body,
    std::source_location where = std::source_location::current()) {
  using Manager = std::remove_reference_t<M>;
  if constexpr (AsyncContextManager<Manager>) {
    if constexpr (internal::CheckBody<Manager, Body>()) {
      return internal::RunWith<Manager>(manager, std::forward<Body>(body),
                                        where);
    } else {
      return internal::NotAwaitable<Body>();
    }
  } else {
    internal::RefuseContextManager<Manager>();
    return internal::NotAwaitable<M>();
  }
}

}  // namespace greenback

#endif  // GREENBACK_UTIL_WITH_ASYNC_CONTEXT_H_
