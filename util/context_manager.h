// AsyncContextManager: what AsyncContext (async_context.h) and
// WithAsyncContext() (with_async_context.h) take: something to do before other
// work and something to do after it, both asynchronous.
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
// Enter() returns an awaitable of the value to work with, or of nothing. If it
// fails there is no Exit(). It fails by throwing, or, if the awaitable's result
// is an absl::Status or an absl::StatusOr<T>, with that status; the value is
// then the T.
//
// Exit() takes an ExitReason (exit_reason.h), or nothing, or a
// std::exception_ptr, which is null after success and a FailureInFlight after a
// failure without an exception that can be seen. It returns an awaitable of
// nothing, or of
//   bool                   whether it has handled the failure of the work,
//                          which then does not propagate; ignored after success
//   absl::Status           how Exit() itself has failed
//   absl::StatusOr<bool>   both
// It is called at most once for each Enter(). What it takes by reference lives
// until it is done.
//
// Any type that has the two functions will do; there is no base class. Nothing
// in this header suspends; AsyncContext and WithAsyncContext() do, where they
// await the two functions.
#ifndef GREENBACK_UTIL_CONTEXT_MANAGER_H_
#define GREENBACK_UTIL_CONTEXT_MANAGER_H_

#include "util/exit_reason.h"  // IWYU pragma: export
#include "util/internal/context_manager_traits.h"

namespace greenback {

template <class M>
concept AsyncContextManager = internal::HasEnter<M> && internal::HasExit<M>;

}  // namespace greenback

#endif  // GREENBACK_UTIL_CONTEXT_MANAGER_H_
