// AsSender(fn, args...): a plain function that may Await(), as a sender of
// P2300 (std::execution, stdexec and others).
//
//   // Synchronous code, which awaits inside a callback.
//   int Import(const std::string& path) {
//     return ForEachRow(path, [](const Row& row) {
//       greenback::Await(Store(row));
//     });
//   }
//   ...
//   // Both at once, in a program whose tasks are senders:
//   auto [rows, page] = stdexec::sync_wait(stdexec::when_all(
//       greenback::AsSender<stdexec::sender_tag>(Import, "rows.csv"),
//       Load(pool, key))).value();
//
// Use it where a library of senders runs the program; where greenback does, the
// function runs in a task already. The template argument is the sender_concept
// of the library, which needs a greenback::SenderLibrary: see sender.h. Without
// it the sender belongs to no library: it can be connected to any receiver, and
// awaited with Await() and co_await, but algorithms may refuse it.
//
// The function is called in start(), on a fiber, as a task of its own with a
// portal, as it is by WithPortalRunSync() in a coroutine of another library: it
// cannot await what needs a run. The sender completes with set_value(result),
// where a status is a value as others are; with set_stopped() if the function
// ends by a SenderStopped, or because the handle that was to resume it was
// destroyed (abandoned.h); and with set_error(std::exception_ptr) if it ends by
// another exception.
//
// Suspends: start() returns when the function waits for the first time. If it
// never does, the sender completes in start().
// Cancellation: a stop that the receiver's token requests cancels the task,
// even before start(): what the function awaits is cancelled if it can be, on
// the thread that requests the stop, and the function decides how it ends.
// Resumed by: the completer of what the function awaits, on its thread. The
// receiver is completed on the thread where the function ends, outside the
// fiber.
// Ownership: `fn` and `args` are kept by value (std::ref for references) and
// are moved from by the call; a sender whose `fn` and `args` can be copied may
// be connected as an lvalue. Beside the fiber, the link to the stop token is
// allocated, when something first waits that can be cancelled. As with every
// sender, the operation has to outlive its completion.
// Errors: see above. If there is no stack for a fiber, the function runs, and
// its Await() says so.
#ifndef GREENBACK_SENDERS_AS_SENDER_H_
#define GREENBACK_SENDERS_AS_SENDER_H_

#include <concepts>
#include <type_traits>
#include <utility>

#include "greenback/senders/internal/fn_sender.h"
#include "greenback/senders/internal/sender_traits.h"
#include "greenback/senders/sender.h"

namespace greenback {

template <>
struct SenderLibrary<internal::OwnSenderTag> {
  using set_value_t = internal::OwnSetValue;
  using set_error_t = internal::OwnSetError;
  using set_stopped_t = internal::OwnSetStopped;
  template <class... Signatures>
  using completion_signatures = internal::OwnSignatures<Signatures...>;
};

// Returns the sender; see above.
template <class SenderConcept = internal::OwnSenderTag, class Fn, class... Args>
auto AsSender(Fn&& fn, Args&&... args) {
  using Library = SenderLibrary<SenderConcept>;
  constexpr bool kCallable =
      std::invocable<std::decay_t<Fn>, std::decay_t<Args>...>;
  constexpr bool kHasTags =
      internal::NamesTags<Library> && internal::NamesSignatures<Library>;
  static_assert(kCallable,
                "greenback::AsSender(fn, args...): fn cannot be called with "
                "these arguments");
  static_assert(kHasTags,
                "greenback::AsSender<SenderConcept>(fn): there is no "
                "greenback::SenderLibrary<SenderConcept> with set_value_t, "
                "set_error_t, set_stopped_t and completion_signatures");
  if constexpr (kCallable && kHasTags) {
    return internal::FnSender<SenderConcept, std::decay_t<Fn>,
                              std::decay_t<Args>...>(
        std::forward<Fn>(fn), std::forward<Args>(args)...);
  } else {
    return internal::NoAwaiter<Fn>();
  }
}

}  // namespace greenback

#endif  // GREENBACK_SENDERS_AS_SENDER_H_
