// The steps of WithAsyncContext(). Internal to util/with_async_context.h.
#ifndef GREENBACK_UTIL_INTERNAL_RUN_WITH_CONTEXT_H_
#define GREENBACK_UTIL_INTERNAL_RUN_WITH_CONTEXT_H_

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
#include "util/exit_reason.h"
#include "util/internal/context_manager_calls.h"
#include "util/internal/context_manager_traits.h"

namespace greenback::internal {

// How the body is called: with the value as an lvalue, with the value as an
// rvalue, or without it.
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
                "with the value of Enter(), or without arguments");
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

// T as the value of a std::optional or an absl::StatusOr.
template <class T>
struct Kept {
  using type = T;
};
template <class T>
struct Kept<T&> {
  using type = std::reference_wrapper<T>;
};

// What WithAsyncContext() returns if the body returns an R.
template <class M, class R>
struct WithResult {
  using Value = typename StatusForm<R>::Value;
  static constexpr bool kByStatus = StatusForm<R>::kCarries ||
                                    StatusForm<EnterResult<M>>::kCarries ||
                                    StatusForm<ExitResult<M>>::kCarries;
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

// Reports the body's failure, if there is one, as lost, unless `replacement`,
// an exception of Exit(), is the same exception or has it nested.
void ReportReplaced(const ExitReason& reason,
                    const std::exception_ptr& replacement,
                    const std::source_location& where);
// Returns `replacement`, a status of Exit(), with the text of the body's
// failure added, if there is one.
absl::Status Replace(const ExitReason& reason, const absl::Status& replacement);

// What the body returns. In place of an rvalue reference, a value: the
// reference may refer to something that Exit() ends.
template <class M, class Body>
using BodyResult = typename KeptResult<decltype(CallBody<M>(
    std::declval<Body>(), std::declval<EnteredValue<M>&>()))>::type;

// How the body ended.
template <class R>
struct BodyOutcome {
  InPlace<std::conditional_t<std::is_void_v<R>, std::monostate, R>> result;
  ExitReason reason;
};

template <class M, class R, class Body>
void RunBody(Body&& body, EnteredValue<M>& entered, BodyOutcome<R>& outcome) {
  GREENBACK_TRY {
    if constexpr (std::is_void_v<R>) {
      CallBody<M>(std::forward<Body>(body), entered);
    } else {
      outcome.result.Emplace([&]() -> R {
        return CallBody<M>(std::forward<Body>(body), entered);
      });
    }
    if constexpr (StatusForm<R>::kCarries) {
      outcome.reason = ExitReason(StatusIn(*outcome.result));
    }
  }
  GREENBACK_CATCH_ALL { outcome.reason = ExitReason(std::current_exception()); }
}

// An exception of Exit() propagates, and replaces the body's failure.
template <class M>
ExitOutcome ExitAfterBody(M& manager, const ExitReason& reason,
                          const std::source_location& where) {
  ExitOutcome exited;
  std::exception_ptr failure;
  GREENBACK_TRY { exited = AwaitExit(manager, reason, where); }
  GREENBACK_CATCH_ALL { failure = std::current_exception(); }
  if (failure) {
    ReportReplaced(reason, failure, where);
    std::rethrow_exception(std::move(failure));
  }
  return exited;
}

// Returns the body's result, or returns or throws the failure that is left.
template <class With, class R>
typename With::type TakeResult(BodyOutcome<R>& body,
                               const ExitOutcome& exited) {
  using Result = typename With::type;
  using Inner = typename With::Inner;
  const ExitReason& reason = body.reason;
  if constexpr (With::kByStatus) {
    if (!exited.status.ok()) return Replace(reason, exited.status);
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
      return std::forward<R>(*body.result);
    } else if constexpr (StatusForm<R>::kCarries) {
      return Result(Inner(*std::move(*body.result)));
    } else {
      return Result(Inner(std::forward<R>(*body.result)));
    }
  }
}

// Enter(), the body, Exit(), the result.
template <class M, class Body>
typename WithResult<M, BodyResult<M, Body>>::type RunWith(
    M& manager, Body&& body, const std::source_location& where) {
  using R = BodyResult<M, Body>;
  static_assert(kExitSeesStatus<M> || !StatusForm<R>::kCarries,
                "greenback::WithAsyncContext(manager, body): without "
                "exceptions an Exit(std::exception_ptr) cannot see the status "
                "that body returns; let it take a greenback::ExitReason");

  EnteredValue<M> entered(manager, where);
  if constexpr (EnteredValue<M>::kMayFail) {
    absl::Status status = entered.status();
    if (!status.ok()) return status;
  }
  BodyOutcome<R> outcome;
  RunBody(std::forward<Body>(body), entered, outcome);
  const ExitOutcome exited = ExitAfterBody(manager, outcome.reason, where);
  return TakeResult<WithResult<M, R>>(outcome, exited);
}

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_RUN_WITH_CONTEXT_H_
