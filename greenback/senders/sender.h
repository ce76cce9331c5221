// Senders of P2300 (std::execution, stdexec and others) as awaitables.
//
//   #include "greenback/senders/sender.h"
//
//   // A function that returns a sender:
//   auto Load(Pool& pool, Key key) {
//     return stdexec::schedule(pool.get_scheduler())
//          | stdexec::then([=] { return ReadPage(key); });
//   }
//   ...
//   Page page = co_await Load(pool, key);          // in a greenback::Co
//   ...
//   Page page = greenback::Await(Load(pool, key)); // in a function
//
// Including this header is all there is to do for senders that are written by
// hand: they are recognised by their structure, and no library of senders is
// included here. A library that constrains its receivers, as stdexec does, is
// described once, by a SenderLibrary, which is below. The opposite direction, a
// plain function as a sender, is AsSender() in as_sender.h.
//
// The result depends on the values with which the sender may complete:
//
//   set_value(v)                          v
//   set_value(v, w)                       std::tuple(v, w)
//   set_value(), or no set_value at all   void
//   different sets of values              a std::variant of std::tuples
//
// Values are kept as they are by std::decay.
//
// Suspends: until the sender completes; not at all if it completes while it
// starts, which costs no stack either.
// Cancellation: the sender has a stop token, which requests a stop when the
// task is cancelled while it waits, or at once if the task was cancelled
// before. The wait still ends when the sender completes. The stop callbacks are
// called on the task's thread, perhaps in another task's step, and Await() is
// refused in them.
// Resumed by: the task's host, on the task's thread, whatever thread the sender
// completes on. Under WithPortalRunSync() in a coroutine of another library, by
// the completion itself, on its thread.
// Ownership: two allocations for each await, for the operation and the state of
// its stop token. The operation is destroyed when the await ends. If the
// waiting frames are destroyed or unwound before that, a stop is requested, and
// the operation lives on until it completes: what the sender refers to has to
// live as long. A waiting coroutine must not be destroyed while another thread
// completes the sender.
// Errors: a std::exception_ptr is rethrown, a std::error_code is thrown in a
// std::system_error, and any other error is thrown as it is. If the sender is
// stopped, the result is kCancelled where it can carry a status (the only value
// of the sender is an absl::Status or absl::StatusOr), and elsewhere the await
// throws SenderStopped. Without exceptions it prints the text and aborts. An
// exception of connect() propagates.
#ifndef GREENBACK_SENDERS_SENDER_H_
#define GREENBACK_SENDERS_SENDER_H_

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include "greenback/awaitable.h"
#include "greenback/senders/internal/sender_awaiter.h"
#include "greenback/senders/internal/sender_traits.h"

namespace greenback {

// An awaited sender has completed with set_stopped(), because the task was
// cancelled, or for a reason of the sender's own. Let it propagate: AsSender()
// turns it into set_stopped() again.
class SenderStopped : public std::exception {
 public:
  const char* what() const noexcept override;
};

// What greenback has to know about a library of senders. Specialise it where
// every file that awaits such senders includes it, for the `sender_concept` of
// the library's senders (for a sender that has none, for the sender itself):
//
//   template <>
//   struct greenback::SenderLibrary<stdexec::sender_tag> {
//     using receiver_concept = stdexec::receiver_tag;
//     using operation_state_concept = stdexec::operation_state_tag;
//     using set_value_t = stdexec::set_value_t;
//     using set_error_t = stdexec::set_error_t;
//     using set_stopped_t = stdexec::set_stopped_t;
//     template <class... S>
//     using completion_signatures = stdexec::completion_signatures<S...>;
//     template <class S, class Env>
//     using completion_signatures_of_t =
//         stdexec::completion_signatures_of_t<S, Env>;
//     static constexpr auto& connect = stdexec::connect;
//     static constexpr auto& start = stdexec::start;
//     static constexpr auto& get_env = stdexec::get_env;
//     static constexpr auto& get_stop_token = stdexec::get_stop_token;
//   };
//
// For another library, replace the namespace, and write sender_t, receiver_t
// and operation_state_t where it has those. Any member may be left out:
//
//   receiver_concept, operation_state_concept
//       Of greenback's receiver, and of an operation of AsSender(). Without
//       them, tags of greenback's.
//   set_value_t, set_error_t, set_stopped_t
//       The tags of completion signatures. Without them, a tag is recognised by
//       the function of a receiver that it calls. AsSender() needs them.
//   completion_signatures
//       The list of signatures. AsSender() needs it.
//   completion_signatures_of_t
//       How a sender may complete. Without it, its get_completion_signatures()
//       or nested completion_signatures say so.
//   connect, start
//       Without them, a sender's member connect() and an operation's member
//       start(), or functions of these names in a namespace of theirs. A
//       library that transforms senders when they are connected needs
//       `connect`, and one whose operations have a private start() needs
//       `start`.
//   get_env, get_stop_token
//       The queries for a receiver's environment, and for the stop token of
//       that: objects. Without them, AsSender() calls receiver.get_env() and
//       env.get_stop_token() where they exist, and a query that a sender makes
//       is recognised by its result where there is no stop token.
template <class SenderConcept>
struct SenderLibrary {};

// A type that says that it is a sender, by a nested sender_concept, is_sender
// or completion_signatures, and that cannot be awaited by itself. S is not a
// reference.
template <class S>
concept Sender =
    internal::DeclaresSender<S> && !internal::NativelyAwaitable<S> &&
    !internal::NativelyAwaitable<S&>;

template <Sender S>
struct AwaitableAdapter<S> {
  template <class T>
    requires std::same_as<std::remove_cvref_t<T>, S>
  static typename internal::AwaiterOfSender<T>::type Adapt(T&& sender) {
    internal::CheckSender<T>();
    return internal::AwaiterOfSender<T>::Make(std::forward<T>(sender));
  }
};

}  // namespace greenback

#endif  // GREENBACK_SENDERS_SENDER_H_
