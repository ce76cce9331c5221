// AsyncContext: awaits Enter() and Exit() of an asynchronous context manager
// (context_manager.h) in a constructor and a destructor, in synchronous code.
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
// less than a `with` statement: if Exit() has to see which failure there was,
// or to suppress it, or to fail itself, use WithAsyncContext()
// (with_async_context.h). If nothing has to wait, use neither: a plain
// destructor is simpler. In a coroutine, awaiting Enter() and Exit() natively
// is cheaper.
//
// Suspends: the constructor when Enter() does; the destructor and Close() when
// Exit() does. They await through the portal of the running task, like Await().
// Cancellation: in a cancelled task, an operation that Exit() awaits is
// cancelled like any other; an Exit() that must wait nonetheless shields itself
// (CancelScope::set_shield).
// Ownership: the manager is moved in if it is an rvalue; an lvalue is referred
// to, and must outlive the context. The manager and the value live until Exit()
// is done.
// Threads: must be destroyed, or closed, where Await() is allowed, not
// necessarily on the thread and in the task where it began.
// Errors: if Enter() throws, the exception propagates from the constructor; if
// it fails with a status, status() returns that. Exit() is called after
// neither. For failures of Exit() see below.
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
#include "util/context_manager.h"  // IWYU pragma: export
#include "util/exit_reason.h"      // IWYU pragma: export
#include "util/internal/context_manager_calls.h"
#include "util/internal/context_manager_traits.h"
#include "util/lost_failure.h"        // IWYU pragma: export
#include "util/with_async_context.h"  // IWYU pragma: export

namespace greenback {

// Exit() runs on every path out of the scope: at its end, at a return, and
// while an exception unwinds it.
//
// - While an exception unwinds, Exit() receives ExitReason::Unwinding(): it
//   sees that there is an exception, but not which. Exit() cannot suppress
//   it: a bool that it returns is ignored. If Exit() fails, its failure goes to
//   the handler of lost_failure.h, and the exception in flight continues.
// - Otherwise an exception of Exit() propagates from the destructor, at the end
//   of the scope. A status cannot: it goes to the handler. And if a noexcept
//   function runs the destructor (a container's destructor, or that of
//   std::unique_ptr), the exception ends the program. Call Close() first to
//   avoid both.
// - If Await() is refused, Exit() has failed, and does not run, then or later:
//   end the context in a task with a portal, as it began. Without exceptions,
//   this prints the PortalError's text and aborts.
//
// "While an exception unwinds": std::uncaught_exceptions() is higher than when
// the context began. An AsyncContext can be neither copied nor moved.
template <class M>
class [[nodiscard]] AsyncContext {
  using Manager = std::remove_reference_t<M>;
  using Entered = internal::EnteredValue<Manager>;
  using ExitResult = internal::ExitResult<Manager>;
  static constexpr bool kHasValue = !std::is_void_v<typename Entered::Value>;

 public:
  // Awaits Enter(). `M` is a reference if the manager is referred to, as it is
  // deduced for an lvalue.
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
    if (!std::exchange(open_, false)) return;
    internal::AwaitExitInDestructor(
        manager_, std::uncaught_exceptions() > uncaught_, where_);
  }

  // The status by which Enter() has failed, or OK. After a failure there is no
  // value, and no Exit().
  absl::Status status() { return entered_.status(); }
  bool ok() { return status().ok(); }

  // The value of Enter(). If it has failed with a status: fails as
  // absl::StatusOr::value() does.
  auto& get()
    requires(kHasValue)
  {
    return entered_.get();
  }
  auto& operator*()
    requires(kHasValue)
  {
    return get();
  }
  auto* operator->()
    requires(kHasValue)
  {
    return std::addressof(get());
  }

  // Awaits Exit() now, with success or with `reason`, and returns or throws
  // what it does. Then the destructor has nothing left to do, also if Exit()
  // has failed. If Exit() has run before, or Enter() has failed, does nothing.
  ExitResult Close() { return CloseBecause(ExitReason()); }
  ExitResult Close(const ExitReason& reason) {
    static_assert(internal::kExitSeesStatus<Manager>,
                  "greenback::AsyncContext::Close(reason): without exceptions "
                  "an Exit(std::exception_ptr) cannot see the reason; let it "
                  "take a greenback::ExitReason");
    return CloseBecause(reason);
  }

 private:
  ExitResult CloseBecause(const ExitReason& reason);

  M manager_;
  const std::source_location where_;
  Entered entered_;
  bool open_;  // Exit() is due
  const int uncaught_ = std::uncaught_exceptions();
};

template <class M>
AsyncContext(M&& manager) -> AsyncContext<M>;
template <class M>
AsyncContext(M&& manager, std::source_location where) -> AsyncContext<M>;

template <class M>
auto AsyncContext<M>::CloseBecause(const ExitReason& reason) -> ExitResult {
  if (!std::exchange(open_, false)) {
    if constexpr (std::is_void_v<ExitResult>) {
      return;
    } else {
      return ExitResult(
          std::conditional_t<std::same_as<ExitResult, absl::Status>,
                             absl::Status, bool>());
    }
  }
  return Await(internal::ExitCall<Manager>(manager_, reason)(), where_);
}

// Refuses an M that is not a context manager, in one sentence.
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

}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_CONTEXT_H_
