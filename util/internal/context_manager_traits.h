// What an asynchronous context manager's Enter() and Exit() take and return.
// Internal to util/context_manager.h and to the headers that use a manager.
#ifndef GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_TRAITS_H_
#define GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_TRAITS_H_

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenback/awaitable.h"
#include "util/exit_reason.h"

namespace greenback::internal {

// Whether a status and a value can be read back from a result of type T, and
// the type of the value. (kCarriesStatus is wider: a T that is made from a
// status.)
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
concept ExitTakesReason =
    requires(M& manager, const ExitReason& reason) { manager.Exit(reason); };
template <class M>
concept ExitTakesException =
    !ExitTakesReason<M> && requires(M& manager, std::exception_ptr exception) {
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

// Calls Exit() with what it takes. Keeps the arguments of the call, and so must
// outlive the await.
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
using ExitAwaitable = decltype(std::declval<ExitCall<M>&>()());

template <class T>
concept ValidExitResult =
    std::is_void_v<T> || std::same_as<T, bool> ||
    std::same_as<T, absl::Status> || std::same_as<T, absl::StatusOr<bool>>;

template <class M>
concept HasExit = Awaitable<ExitAwaitable<M>> &&
                  ValidExitResult<AwaitResult<ExitAwaitable<M>>>;

// The results of awaiting Enter() and Exit().
template <class M>
using EnterResult = AwaitResult<decltype(std::declval<M&>().Enter())>;
template <class M>
using ExitResult = AwaitResult<ExitAwaitable<M>>;

template <class M>
inline constexpr bool kMaySuppress =
    std::same_as<ExitResult<M>, bool> ||
    std::same_as<ExitResult<M>, absl::StatusOr<bool>>;

// Whether an Exit() that takes the reason can see a failure by status.
template <class M>
inline constexpr bool kExitSeesStatus = kExceptions || !ExitTakesException<M>;

// For an M that is not an AsyncContextManager: a compiler's error that says
// why.
template <class M>
void RefuseContextManager() {
  constexpr bool kHasEnter = HasEnter<M>;
  constexpr bool kHasExit = HasExit<M>;
  static_assert(kHasEnter,
                "an asynchronous context manager has an Enter() that returns "
                "an awaitable");
  static_assert(kHasExit || !kHasEnter,
                "an asynchronous context manager has an Exit() that takes a "
                "greenback::ExitReason, a std::exception_ptr or nothing, and "
                "returns an awaitable of nothing, bool, absl::Status or "
                "absl::StatusOr<bool>");
}

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_TRAITS_H_
