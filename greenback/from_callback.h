// FromCallback<Result>(start): an operation of a callback API, as an awaitable.
//
//   // Somebody's library:
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
// library that has a type for its operations (a future, say), specialise
// AwaitableAdapter for the type instead: its Adapt() may give a FromCallback().
//
// `start(done)` is called when the awaitable is awaited, which may happen once;
// again is an AwaitableError.
// done(args...) makes the Result: Result(args...), a std::pair of two arguments
// for instance; void takes none. `done` can be copied, even if Result cannot,
// so that a std::function holds it, and be called on any thread, during `start`
// or later. The first call counts. Later ones, and those that come when nobody
// waits any more, do nothing: an error would come out in the library, which
// cannot know what to do with it.
//
// Suspends: until `done` is called, and not at all when `start` calls it.
// Cancellation: without `cancel`, the wait cannot be called off. `cancel` is
// called once at most, when the task is cancelled while it waits; right after
// `start` when it was cancelled before. The wait still ends with `done`, called
// with what the library gives then. `cancel` is called on the task's thread,
// perhaps in another task's step, and perhaps when another thread is calling
// `done` already. It must not throw, and Await() is refused in it. It is for Co
// and Await(): a coroutine type of another library is not called off.
// Resumed by: the task's host, on the task's thread. A coroutine of another
// library is resumed inside `done`.
// Ownership: `start` and `cancel`, and what they have captured, are kept until
// the wait ends. Copies of `done` may outlive it. A coroutine that waits may be
// destroyed, but not while another thread is calling `done`. g++ 12 destroys
// twice what a lambda owns that is written inside a co_await: write it in a
// function, as above, or give it a name first.
// Errors: what `start`, or making the Result, throws comes out of the await.
// When all copies of `done` have been destroyed and none was called, the await
// ends with kAborted if Result can carry a status (kCancelled, if `cancel` was
// called), and else with CallbackDropped; without exceptions its text is
// printed and the program aborted. A copy in what `start` itself has captured
// keeps that from being noticed.
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

// co_await -> Result. `start` and `cancel` are moved or copied (std::ref for
// references); what they return is ignored.
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
