// AsyncContext: Enter() and Exit() of an asynchronous context manager
// (context_manager.h) as constructor and destructor, in synchronous code.
//
//   class Lease {   // a context manager
//    public:
//     explicit Lease(Pool& pool) : pool_(pool) {}
//     greenback::Co<Connection*> Enter() {
//       connection_ = co_await pool_.Take();
//       co_return connection_;
//     }
//     greenback::Co<void> Exit(greenback::ExitReason reason) {
//       if (!reason.ok()) co_await connection_->Reset();
//       co_await pool_.GiveBack(connection_);
//     }
//
//    private:
//     Pool& pool_;
//     Connection* connection_ = nullptr;
//   };
//
//   int CountUsers(Pool& pool) {                     // a plain function
//     greenback::AsyncContext lease{Lease(pool)};    // awaits Enter()
//     return lease.get()->Count("users");
//   }                                                // awaits Exit()
//
// Use it for a scope, or an object, that is there anyway. A destructor can do
// less than a `with` statement: where Exit() has to know which failure there
// was, or to suppress it, or to fail itself, use WithAsyncContext()
// (with_async_context.h). Use neither where nothing waits: a plain destructor
// is simpler. In a coroutine, awaiting Enter() and Exit() natively is cheaper.
//
// Suspends: the constructor when Enter() does; the destructor and Close() when
// Exit() does. They await through the portal of the running task, like Await().
// Cancellation: in a cancelled task what Exit() waits for is cancelled like
// anything else; an Exit() that must wait nonetheless shields itself
// (CancelScope::set_shield).
// Ownership: the manager is moved in if it is an rvalue; an lvalue is kept as a
// reference and must outlive the context. It and the value live until Exit() is
// done.
// Threads: ends on a thread and in a task that may Await(); not necessarily
// those where it began.
// Errors: a failure of Enter() comes out of the constructor, or of status() if
// it is a status; there is no Exit() then. Failures of Exit(): see below.
#ifndef GREENBACK_UTIL_ASYNC_CONTEXT_H_
#define GREENBACK_UTIL_ASYNC_CONTEXT_H_

#include <concepts>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/internal/exceptions.h"
#include "util/context_manager.h"     // IWYU pragma: export
#include "util/exit_reason.h"         // IWYU pragma: export
#include "util/internal/report_lost_failure.h"
#include "util/lost_failure.h"        // IWYU pragma: export
#include "util/with_async_context.h"  // IWYU pragma: export

namespace greenback {

// Exit() runs on every path out of the scope: at its end, at a return, and
// while an exception unwinds.
//
// - While one unwinds, Exit() gets ExitReason::Unwinding(): that there is an
//   exception can be known, but not which one. Exit() cannot suppress it: the
//   bool is ignored. If Exit() fails, its failure goes to the handler of
//   lost_failure.h, and the exception that is in flight goes on.
// - Otherwise an exception of Exit() comes out of the destructor, at the end of
//   the scope. A status cannot: it goes to the handler. And where a noexcept
//   function runs the destructor (that of a container, std::unique_ptr's), an
//   exception ends the program. In both cases end it with Close() first.
// - An Await() that is refused is a failure of Exit(), which has not run then
//   and does not later: end the context in a task with a portal, as it began.
//   Without exceptions that prints the PortalError's text and aborts.
//
// "While one unwinds": there are more of std::uncaught_exceptions() than when
// the context began. Neither copied nor moved.
template <class M>
class [[nodiscard]] AsyncContext {
  using Manager = std::remove_reference_t<M>;
  using Entered = internal::EnteredValue<Manager>;

 public:
  // Awaits Enter(). `M` is a reference for a manager that is kept as one, as it
  // is deduced for an lvalue.
  explicit AsyncContext(
      M&& manager, std::source_location where = std::source_location::current())
      : manager_(std::forward<M>(manager)),
        where_(where),
        entered_(manager_, where),
        open_(entered_.status().ok()) {}
  AsyncContext(const AsyncContext&) = delete;
  AsyncContext& operator=(const AsyncContext&) = delete;
  // Awaits Exit(), unless Close() has.
  ~AsyncContext() noexcept(false) {
    if (!open_) return;
    open_ = false;
    if (std::uncaught_exceptions() <= uncaught_) {
      const absl::Status status =
          internal::AwaitExit(manager_, ExitReason(), where_).status;
      if (!status.ok()) Report("Exit() failed in a destructor", status);
      return;
    }
    constexpr char kUnwinding[] =
        "Exit() failed while an exception was in flight";
    GREENBACK_TRY {
      const absl::Status status =
          internal::AwaitExit(manager_, ExitReason::Unwinding(), where_).status;
      if (!status.ok()) Report(kUnwinding, status);
    }
    GREENBACK_CATCH_ALL {
      Report(kUnwinding, absl::OkStatus(), std::current_exception());
    }
  }

  // How Enter() has failed, if it gives a status. There is no value then, and
  // will be no Exit().
  absl::Status status() { return entered_.status(); }
  bool ok() { return status().ok(); }

  // What Enter() gave. Where it may have failed with a status and has: as
  // absl::StatusOr::value().
  auto& get() requires(!std::is_void_v<typename Entered::Value>) {
    return entered_.get();
  }
  auto& operator*() requires(!std::is_void_v<typename Entered::Value>) {
    return get();
  }
  auto* operator->() requires(!std::is_void_v<typename Entered::Value>) {
    return std::addressof(get());
  }

  // Awaits Exit() now, with success or with `reason`, and gives what it gives
  // or throws. Nothing is left for the destructor then, also when Exit() has
  // failed. Where Exit() is not due any more, or never was: does nothing.
  internal::ExitGives<Manager> Close() { return CloseBecause(ExitReason()); }
  internal::ExitGives<Manager> Close(const ExitReason& reason) {
    static_assert(internal::kExitSeesStatus<Manager>,
                  "greenback::AsyncContext::Close(reason): without exceptions "
                  "an Exit(std::exception_ptr) cannot see the reason; let it "
                  "take a greenback::ExitReason");
    return CloseBecause(reason);
  }

 private:
  internal::ExitGives<Manager> CloseBecause(const ExitReason& reason) {
    using Gives = internal::ExitGives<Manager>;
    if (!std::exchange(open_, false)) {
      if constexpr (std::is_void_v<Gives>) {
        return;
      } else {
        return Gives(std::conditional_t<std::same_as<Gives, absl::Status>,
                                        absl::Status, bool>());
      }
    }
    return Await(internal::ExitCall<Manager>(manager_, reason)(), where_);
  }

  void Report(const char* how, const absl::Status& status,
              std::exception_ptr exception = nullptr) {
    internal::ReportLostFailure(
        {"AsyncContext", where_, how, std::move(exception), status});
  }

  M manager_;
  const std::source_location where_;
  Entered entered_;
  bool open_;
  const int uncaught_ = std::uncaught_exceptions();
};

// Refuses what is no context manager, in one sentence.
template <class M>
requires(!AsyncContextManager<std::remove_reference_t<M>>)  //
    class [[nodiscard]] AsyncContext<M> {
 public:
  explicit AsyncContext(
      M&&, std::source_location = std::source_location::current()) {
    internal::RefuseContextManager<std::remove_reference_t<M>>();
  }
  absl::Status status() { return absl::OkStatus(); }
  bool ok() { return true; }
  internal::NotAwaitable<M> get() { return {}; }
  internal::NotAwaitable<M> operator*() { return {}; }
  internal::NotAwaitable<M> Close(const ExitReason& = ExitReason()) {
    return {};
  }
};

template <class M>
AsyncContext(M&& manager) -> AsyncContext<M>;
template <class M>
AsyncContext(M&& manager, std::source_location where) -> AsyncContext<M>;

}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_CONTEXT_H_
