// AsyncContextManager: what AsyncContext and WithAsyncContext()
// (async_context.h) take: something to do before and after other work, both
// asynchronous.
//
//   class Transaction {
//    public:
//     explicit Transaction(Database& db) : db_(db) {}
//     greenback::Co<Rows*> Enter();                            // begins
//     greenback::Co<void> Exit(greenback::ExitReason reason);  // ends
//
//    private:
//     Database& db_;
//   };
//
// Enter() gives an awaitable of the value to work with, or of nothing. If it
// fails there is no Exit(). It fails by throwing; or, if the awaitable gives
// absl::Status or absl::StatusOr<T>, with that, and the value is the T.
//
// Exit() gives an awaitable of nothing, or of
//   bool                   whether the failure of the work is taken care of,
//                          and goes no further; ignored when there was none
//   absl::Status           how Exit() itself has failed
//   absl::StatusOr<bool>   both
// and takes an ExitReason (exit_reason.h), or nothing, or a std::exception_ptr:
// null after success, and a FailureInFlight where there is no such exception.
// It is called at most once for each Enter(). What it takes by reference lives
// until it is done.
//
// Any type that has the two functions will do; there is no base class. Nothing
// in this header suspends: who calls them does.
#ifndef GREENBACK_UTIL_CONTEXT_MANAGER_H_
#define GREENBACK_UTIL_CONTEXT_MANAGER_H_

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/internal/in_place.h"
#include "util/exit_reason.h"

namespace greenback {

namespace internal {

// A result that may be a failure: that, and the value in it.
template <class T>
struct StatusForm {
  static constexpr bool kCarries = false;
  using Value = T;
};
template <>
struct StatusForm<absl::Status> {
  static constexpr bool kCarries = true;
  using Value = void;
};
template <class T>
struct StatusForm<absl::StatusOr<T>> {
  static constexpr bool kCarries = true;
  using Value = T;
};

inline const absl::Status& StatusIn(const absl::Status& status) {
  return status;
}
template <class T>
const absl::Status& StatusIn(const absl::StatusOr<T>& value) {
  return value.status();
}

template <class M>
concept HasEnter = requires(M& manager) {
  { manager.Enter() } -> Awaitable;
};
template <class M>
concept ExitTakesReason = requires(M& manager, const ExitReason& reason) {
  manager.Exit(reason);
};
template <class M>
concept ExitTakesException =
    !ExitTakesReason<M> && requires(M & manager, std::exception_ptr exception) {
  manager.Exit(exception);
};

#if defined(__cpp_exceptions)
inline constexpr bool kExceptions = true;
inline std::exception_ptr AsException(const ExitReason& reason) {
  if (reason.ok() || reason.exception()) return reason.exception();
  return std::make_exception_ptr(FailureInFlight(reason));
}
#else
inline constexpr bool kExceptions = false;
inline std::exception_ptr AsException(const ExitReason&) { return nullptr; }
#endif

// Calls Exit() in the form that there is. Must outlive the await: what it is
// called with is kept here.
template <class M>
class ExitCall {
 public:
  ExitCall(M& manager, const ExitReason& reason)
      : manager_(manager), reason_(reason) {
    if constexpr (ExitTakesException<M>) exception_ = AsException(reason);
  }

  decltype(auto) operator()() {
    if constexpr (ExitTakesReason<M>) {
      return manager_.Exit(reason_);
    } else if constexpr (ExitTakesException<M>) {
      return manager_.Exit(exception_);
    } else if constexpr (requires { manager_.Exit(); }) {
      return manager_.Exit();
    }
  }

 private:
  M& manager_;
  const ExitReason& reason_;
  std::exception_ptr exception_;
};

template <class M>
using Exited = decltype(std::declval<ExitCall<M>&>()());

template <class T>
concept ExitResult = std::is_void_v<T> || std::same_as<T, bool> ||
    std::same_as<T, absl::Status> || std::same_as<T, absl::StatusOr<bool>>;

template <class M>
concept HasExit = Awaitable<Exited<M>> && ExitResult<AwaitResult<Exited<M>>>;

// What Enter() and Exit() come to when awaited.
template <class M>
using EnterGives = AwaitResult<decltype(std::declval<M&>().Enter())>;
template <class M>
using ExitGives = AwaitResult<Exited<M>>;

template <class M>
inline constexpr bool kMaySuppress =
    std::same_as<ExitGives<M>, bool> ||
    std::same_as<ExitGives<M>, absl::StatusOr<bool>>;

// Whether a status that is not OK gets through to Exit(), if it wants to know.
template <class M>
inline constexpr bool kExitSeesStatus = kExceptions || !ExitTakesException<M>;

}  // namespace internal

template <class M>
concept AsyncContextManager = internal::HasEnter<M> && internal::HasExit<M>;

namespace internal {

// For an M that is no AsyncContextManager: a compiler's error that says why
// not.
template <class M>
void RefuseContextManager() {
  constexpr bool kHasEnter = HasEnter<M>;
  constexpr bool kHasExit = HasExit<M>;
  static_assert(kHasEnter,
                "an asynchronous context manager has an Enter() that gives an "
                "awaitable");
  static_assert(kHasExit || !kHasEnter,
                "an asynchronous context manager has an Exit() that takes a "
                "greenback::ExitReason, a std::exception_ptr or nothing, and "
                "gives an awaitable of nothing, bool, absl::Status or "
                "absl::StatusOr<bool>");
}

// What Enter() gave, kept for a while.
template <class M>
class EnteredValue {
  using Gives = EnterGives<M>;
  using Form = StatusForm<Gives>;

 public:
  static constexpr bool kMayFail = Form::kCarries;
  using Value = typename Form::Value;

  EnteredValue(M& manager, const std::source_location& where) {
    if constexpr (std::is_void_v<Gives>) {
      Await(manager.Enter(), where);
    } else {
      gives_.Emplace([&]() -> Gives { return Await(manager.Enter(), where); });
    }
  }

  absl::Status status() {
    if constexpr (kMayFail) {
      return StatusIn(*gives_);
    } else {
      return absl::OkStatus();
    }
  }
  auto& get() requires(!std::is_void_v<Value>) {
    if constexpr (kMayFail) {
      return gives_->value();
    } else {
      return *gives_;
    }
  }

 private:
  InPlace<std::conditional_t<std::is_void_v<Gives>, std::monostate, Gives>>
      gives_;
};

struct ExitOutcome {
  absl::Status status;
  bool suppress = false;
};

template <class M>
ExitOutcome AwaitExit(M& manager, const ExitReason& reason,
                      const std::source_location& where) {
  using Result = ExitGives<M>;
  if constexpr (std::is_void_v<Result>) {
    Await(ExitCall<M>(manager, reason)(), where);
    return {};
  } else if constexpr (std::same_as<Result, bool>) {
    return {absl::OkStatus(), Await(ExitCall<M>(manager, reason)(), where)};
  } else {
    const Result result = Await(ExitCall<M>(manager, reason)(), where);
    if constexpr (kMaySuppress<M>) {
      return {result.status(), result.ok() && *result};
    } else {
      return {result, false};
    }
  }
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_CONTEXT_MANAGER_H_
