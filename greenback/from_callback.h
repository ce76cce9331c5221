// FromCallback<Result>(start): an operation of a callback API, as an awaitable.
//
//   // Another library has:
//   //   int fetch(int id, std::function<void(int error, Page page)> done);
//   //   void cancel_fetch(int ticket);
//   auto Fetch(int id) {
//     auto ticket = std::make_shared<int>();
//     return greenback::FromCallback<absl::StatusOr<Page>>(
//         [=](auto done) {
//           *ticket = fetch(id, [done](int error, Page page) {
//             if (error != 0) return done(absl::UnavailableError("fetch"));
//             done(std::move(page));
//           });
//         },
//         [=] { cancel_fetch(*ticket); });  // may be left out
//   }
//   ...
//   absl::StatusOr<Page> page = co_await Fetch(7);           // in a coroutine
//   ...
//   absl::StatusOr<Page> page = greenback::Await(Fetch(7));  // in a function
//
// Use it for an operation that calls a function once, when it is done. For a
// library that has a type for its operations, such as a future, specialise
// AwaitableAdapter for that type instead; its Adapt() may return a
// FromCallback().
//
// `start(done)` is called when the awaitable is awaited. That may happen once;
// a second time is an AwaitableError.
// done(args...) makes the Result, as Result(args...): a std::pair of two
// arguments, for instance. If Result is void, `done` takes no arguments. `done`
// can be copied, even if Result cannot, so that a std::function can hold it. It
// can be called on any thread, during `start` or later. The first call counts.
// Later calls do nothing, nor do calls after the waiter was destroyed: an error
// would propagate into the library, which cannot know what to do with it.
//
// Suspends: until `done` is called; not at all if `start` calls it.
// Cancellation: without `cancel`, the wait cannot be cancelled. `cancel` is
// called at most once: when the task is cancelled while it waits, or right
// after `start` if the task was cancelled before. The wait still ends when
// `done` is called, with what the library passes to it then. `cancel` is called
// on the task's thread, perhaps in another task's step, and perhaps while
// another thread is calling `done`. It must not throw, and Await() is refused
// in it. Only Co and Await() support cancellation; in other coroutine types
// `cancel` is never called. Below a portal in such a coroutine, `cancel` is
// called on the thread that cancels the coroutine (coroutine_library.h).
// Resumed by: the task's host, on the task's thread. A coroutine of another
// library is resumed inside the call of `done`. Below a portal in such a
// coroutine, `start` is called once the task has parked: no task is running in
// it, so it can neither Await() nor read the task's locals.
// Ownership: `start` and `cancel`, with all that they have captured, are kept
// until the wait ends. Copies of `done` may outlive it. A waiting coroutine may
// be destroyed, but not while another thread is calling `done`. g++ 12 destroys
// what a lambda has captured twice if the lambda is written inside a co_await:
// write it in a function, as above, or give it a name first.
// Errors: an exception of `start`, or of making the Result, propagates from the
// await. If all copies of `done` are destroyed and none was called, the result
// is kAborted (kCancelled, if `cancel` was called) where Result can carry a
// status. Elsewhere the await throws CallbackDropped; without exceptions it
// prints the text and aborts. Such a loss goes unnoticed while something that
// `start` has captured keeps a copy of `done`.
#ifndef GREENBACK_FROM_CALLBACK_H_
#define GREENBACK_FROM_CALLBACK_H_

#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "greenback/internal/callback_awaiter.h"

namespace greenback {

// All copies of FromCallback()'s `done` were destroyed, and none was called.
class CallbackDropped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Returns an awaitable whose result is a Result. `start` and `cancel` are moved
// or copied into it (std::ref for references); what they return is ignored.
template <class Result = void, class Start>
auto FromCallback(Start&& start, std::source_location where =
                                     std::source_location::current()) {
  return internal::MakeFromCallback<Result, std::decay_t<Start>,
                                    internal::NoCancel>(
      {std::forward<Start>(start), {}, where});
}
template <class Result = void, class Start, class Cancel>
auto FromCallback(
    Start&& start, Cancel&& cancel,
    std::source_location where = std::source_location::current()) {
  return internal::MakeFromCallback<Result, std::decay_t<Start>,
                                    std::decay_t<Cancel>>(
      {std::forward<Start>(start), std::forward<Cancel>(cancel), where});
}

}  // namespace greenback

#endif  // GREENBACK_FROM_CALLBACK_H_
