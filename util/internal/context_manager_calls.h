// Awaits Enter() and Exit() of an asynchronous context manager. Internal to
// util/async_context.h and util/with_async_context.h.
#ifndef GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_CALLS_H_
#define GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_CALLS_H_

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <variant>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/in_place.h"
#include "util/exit_reason.h"
#include "util/internal/context_manager_traits.h"
#include "util/internal/report_lost_failure.h"
#include "util/lost_failure.h"

namespace greenback::internal {

// Awaits Enter() and keeps its result.
template <class M>
class EnteredValue {
  using Result = EnterResult<M>;
  using Form = StatusForm<Result>;

 public:
  static constexpr bool kMayFail = Form::kCarries;
  using Value = typename Form::Value;

  EnteredValue(M& manager, const std::source_location& where) {
    if constexpr (std::is_void_v<Result>) {
      Await(manager.Enter(), where);
    } else {
      result_.Emplace(
          [&]() -> Result { return Await(manager.Enter(), where); });
    }
  }

  absl::Status status() {
    if constexpr (kMayFail) {
      return StatusIn(*result_);
    } else {
      return absl::OkStatus();
    }
  }
  auto& get()
    requires(!std::is_void_v<Value>)
  {
    if constexpr (kMayFail) {
      return result_->value();
    } else {
      return *result_;
    }
  }

 private:
  InPlace<std::conditional_t<std::is_void_v<Result>, std::monostate, Result>>
      result_;
};

// How Exit() ended: its own failure, and whether that of the work is
// suppressed.
struct ExitOutcome {
  absl::Status status;
  bool suppress = false;
};

template <class M>
ExitOutcome AwaitExit(M& manager, const ExitReason& reason,
                      const std::source_location& where) {
  using Result = ExitResult<M>;
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

// For the destructor of an AsyncContext. `unwinding`: it runs because of an
// exception. A failure of Exit() that cannot propagate goes to the handler of
// lost_failure.h.
template <class M>
void AwaitExitInDestructor(M& manager, bool unwinding,
                           const std::source_location& where) {
  if (!unwinding) {
    const absl::Status status = AwaitExit(manager, ExitReason(), where).status;
    if (!status.ok()) {
      ReportLostFailure({"AsyncContext", where, "Exit() failed in a destructor",
                         nullptr, status});
    }
    return;
  }
  constexpr char kUnwinding[] =
      "Exit() failed while an exception was in flight";
  GREENBACK_TRY {
    const absl::Status status =
        AwaitExit(manager, ExitReason::Unwinding(), where).status;
    if (!status.ok()) {
      ReportLostFailure({"AsyncContext", where, kUnwinding, nullptr, status});
    }
  }
  GREENBACK_CATCH_ALL {
    ReportLostFailure({"AsyncContext", where, kUnwinding,
                       std::current_exception(), absl::OkStatus()});
  }
}

}  // namespace greenback::internal

#endif  // GREENBACK_UTIL_INTERNAL_CONTEXT_MANAGER_CALLS_H_
