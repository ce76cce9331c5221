// What makes a type a sender, and how it may complete: found by structure, or
// in the sender's SenderLibrary. Internal to sender.h and as_sender.h.
#ifndef GREENBACK_SENDERS_INTERNAL_SENDER_TRAITS_H_
#define GREENBACK_SENDERS_INTERNAL_SENDER_TRAITS_H_

#include <concepts>
#include <coroutine>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "greenback/awaitable.h"
#include "greenback/internal/awaitable_traits.h"

namespace greenback {

template <class SenderConcept>
struct SenderLibrary;

namespace internal {

// The description of the library of a sender S.
template <class S>
struct LibraryOfSender {
  using type = SenderLibrary<S>;
};
template <class S>
  requires requires { typename S::sender_concept; }
struct LibraryOfSender<S> {
  using type = SenderLibrary<typename S::sender_concept>;
};
template <class T>
using LibraryOf = typename LibraryOfSender<std::remove_cvref_t<T>>::type;

// The tag by which a receiver, or an operation, says what it is.
struct ReceiverTag {};
template <class Library>
struct ReceiverConcept {
  using type = ReceiverTag;
};
template <class Library>
  requires requires { typename Library::receiver_concept; }
struct ReceiverConcept<Library> {
  using type = typename Library::receiver_concept;
};
struct OperationTag {};
template <class Library>
struct OperationConcept {
  using type = OperationTag;
};
template <class Library>
  requires requires { typename Library::operation_state_concept; }
struct OperationConcept<Library> {
  using type = typename Library::operation_state_concept;
};

// What GetAwaiter() returns where there is no AwaitableAdapter. That of a
// sender must not ask whether there is one.
template <class T>
decltype(auto) NativeAwaiter(T&& awaitable) {
  if constexpr (HasMemberCoAwait<T>) {
    return std::forward<T>(awaitable).operator co_await();
  } else if constexpr (HasFreeCoAwait<T>) {
    return operator co_await(std::forward<T>(awaitable));
  } else {
    return static_cast<T&&>(awaitable);
  }
}
template <class T>
concept NativelyAwaitable = Awaiter<decltype(NativeAwaiter(std::declval<T>()))>;

template <class S>
concept DeclaresSender = requires { typename S::sender_concept; } || requires {
  typename S::is_sender;
} || requires { typename S::completion_signatures; };

// connect() and start(): those of the library, members, or functions that are
// found by their arguments.
namespace found {

// Hide the functions of the same names that are not for senders: connect() of
// sockets.
void connect() = delete;
void start() = delete;

template <class T, class Receiver>
concept FreeConnect = requires(T&& sender, Receiver receiver) {
  connect(std::forward<T>(sender), std::move(receiver));
};
template <class T, class Receiver>
decltype(auto) Connect(T&& sender, Receiver receiver) {
  return connect(std::forward<T>(sender), std::move(receiver));
}
template <class Operation>
concept FreeStart = requires(Operation& operation) { start(operation); };
template <class Operation>
void Start(Operation& operation) {
  start(operation);
}

}  // namespace found

template <class Library, class T, class Receiver>
concept LibraryConnects = requires(T&& sender, Receiver receiver) {
  Library::connect(std::forward<T>(sender), std::move(receiver));
};
template <class T, class Receiver>
concept MemberConnects = requires(T&& sender, Receiver receiver) {
  std::forward<T>(sender).connect(std::move(receiver));
};
template <class T, class Receiver>
concept Connectable =
    LibraryConnects<LibraryOf<T>, T, Receiver> || MemberConnects<T, Receiver> ||
    found::FreeConnect<T, Receiver>;

// Returns the operation itself, which cannot be moved.
template <class T, class Receiver>
decltype(auto) ConnectSender(T&& sender, Receiver receiver) {
  if constexpr (LibraryConnects<LibraryOf<T>, T, Receiver>) {
    return LibraryOf<T>::connect(std::forward<T>(sender), std::move(receiver));
  } else if constexpr (MemberConnects<T, Receiver>) {
    return std::forward<T>(sender).connect(std::move(receiver));
  } else {
    return found::Connect(std::forward<T>(sender), std::move(receiver));
  }
}
template <class T, class Receiver>
using OperationOf =
    decltype(ConnectSender(std::declval<T>(), std::declval<Receiver>()));

template <class Library, class Operation>
concept LibraryStarts =
    requires(Operation& operation) { Library::start(operation); };
template <class Operation>
concept MemberStarts = requires(Operation& operation) { operation.start(); };
template <class Library, class Operation>
concept Startable = LibraryStarts<Library, Operation> ||
                    MemberStarts<Operation> || found::FreeStart<Operation>;

template <class Library, class Operation>
void StartOperation(Operation& operation) {
  if constexpr (LibraryStarts<Library, Operation>) {
    Library::start(operation);
  } else if constexpr (MemberStarts<Operation>) {
    operation.start();
  } else {
    found::Start(operation);
  }
}

// How a sender completes: by a call of one of a receiver's functions.
enum class Channel { kValue, kError, kStopped, kUnknown };

// Receivers with one function each, to see which of them a tag calls.
struct NoEnv {};
template <class Library>
struct ProbeBase {
  using receiver_concept = typename ReceiverConcept<Library>::type;
  NoEnv get_env() const noexcept { return {}; }
};
template <class Library>
struct ValueProbe : ProbeBase<Library> {
  template <class... Args>
  void set_value(Args&&...) noexcept;
};
template <class Library>
struct ErrorProbe : ProbeBase<Library> {
  template <class E>
  void set_error(E&&) noexcept;
};
template <class Library>
struct StoppedProbe : ProbeBase<Library> {
  void set_stopped() noexcept;
};
template <class Probe, class Tag, class... Args>
concept Calls = requires(const Tag& tag) {
  tag(std::declval<Probe>(), std::declval<Args>()...);
};

template <class Library>
concept NamesTags = requires {
  typename Library::set_value_t;
  typename Library::set_error_t;
  typename Library::set_stopped_t;
};

template <class Library>
concept NamesSignatures = requires {
  typename Library::template completion_signatures<
      typename Library::set_stopped_t()>;
};

// The channel of the completion signature Tag(Args...).
template <class Library, class Tag, class... Args>
constexpr Channel ChannelOf() {
  if constexpr (NamesTags<Library>) {
    if (std::same_as<Tag, typename Library::set_value_t>)
      return Channel::kValue;
    if (std::same_as<Tag, typename Library::set_error_t>)
      return Channel::kError;
    if (std::same_as<Tag, typename Library::set_stopped_t>)
      return Channel::kStopped;
    return Channel::kUnknown;
  } else {
    constexpr bool kValue = Calls<ValueProbe<Library>, Tag, Args...>;
    constexpr bool kError = Calls<ErrorProbe<Library>, Tag, Args...>;
    constexpr bool kStopped = Calls<StoppedProbe<Library>, Tag, Args...>;
    // A tag that can be called with any receiver could be either.
    if (kValue + kError + kStopped != 1) return Channel::kUnknown;
    return kValue   ? Channel::kValue
           : kError ? Channel::kError
                    : Channel::kStopped;
  }
}

// The values of a sender: a std::tuple for each different signature that has
// the channel kValue.
template <class... Tuples>
struct ValueTuples {
  template <class Tuple>
  using With = std::conditional_t<(std::same_as<Tuple, Tuples> || ...),
                                  ValueTuples, ValueTuples<Tuples..., Tuple>>;

  // More than one, or several values: a std::variant of them.
  using Result = std::variant<Tuples...>;
  template <class... Args>
  static Result Make(Args&&... args) {
    return Result(std::in_place_type<std::tuple<std::decay_t<Args>...>>,
                  std::forward<Args>(args)...);
  }
};
template <>
struct ValueTuples<> {
  template <class Tuple>
  using With = ValueTuples<Tuple>;

  using Result = void;
  static void Make() {}
};
template <>
struct ValueTuples<std::tuple<>> {
  template <class Tuple>
  using With =
      std::conditional_t<std::same_as<Tuple, std::tuple<>>, ValueTuples,
                         ValueTuples<std::tuple<>, Tuple>>;

  using Result = void;
  static void Make() {}
};
template <class Value>
struct ValueTuples<std::tuple<Value>> {
  template <class Tuple>
  using With =
      std::conditional_t<std::same_as<Tuple, std::tuple<Value>>, ValueTuples,
                         ValueTuples<std::tuple<Value>, Tuple>>;

  using Result = Value;
  template <class Arg>
  static Result Make(Arg&& arg) {
    return Result(std::forward<Arg>(arg));
  }
};
template <class... Values>
  requires(sizeof...(Values) > 1)
struct ValueTuples<std::tuple<Values...>> {
  template <class Tuple>
  using With = std::conditional_t<std::same_as<Tuple, std::tuple<Values...>>,
                                  ValueTuples,
                                  ValueTuples<std::tuple<Values...>, Tuple>>;

  using Result = std::tuple<Values...>;
  template <class... Args>
  static Result Make(Args&&... args) {
    return Result(std::forward<Args>(args)...);
  }
};

// One signature more than in `Tuples`.
template <class Library, class Tuples, class Signature>
struct AddSignature {
  static constexpr bool kKnown = false;  // no function type
  using type = Tuples;
};
template <class Library, class Tuples, class Tag, class... Args>
struct AddSignature<Library, Tuples, Tag(Args...)> {
  static constexpr Channel kChannel = ChannelOf<Library, Tag, Args...>();
  static constexpr bool kKnown = kChannel != Channel::kUnknown;
  using type = typename std::conditional_t<
      kChannel == Channel::kValue,
      std::type_identity<
          typename Tuples::template With<std::tuple<std::decay_t<Args>...>>>,
      std::type_identity<Tuples>>::type;
};
template <class Library, class Tuples, class... Signatures>
struct AddSignatures {
  static constexpr bool kKnown = true;
  using type = Tuples;
};
template <class Library, class Tuples, class First, class... Rest>
struct AddSignatures<Library, Tuples, First, Rest...> {
  using Added = AddSignature<Library, Tuples, First>;
  using Others = AddSignatures<Library, typename Added::type, Rest...>;
  static constexpr bool kKnown = Added::kKnown && Others::kKnown;
  using type = typename Others::type;
};

// All that completion signatures, some List<Tag(Args...), ...>, say.
template <class Library, class Signatures>
struct ReadSignatures {
  static constexpr bool kFound = false;
  static constexpr bool kKnown = false;
  using Values = ValueTuples<>;
};
template <class Library, template <class...> class List, class... Signatures>
struct ReadSignatures<Library, List<Signatures...>> {
  using All = AddSignatures<Library, ValueTuples<>, Signatures...>;
  static constexpr bool kFound = true;
  static constexpr bool kKnown = All::kKnown;
  using Values = typename All::type;
};

struct NoSignatures {};

// The completion signatures of a sender that is awaited as a T. Called for the
// type of its result.
template <class T, class Env>
auto FindSignatures() {
  using S = std::remove_cvref_t<T>;
  using Library = LibraryOf<T>;
  if constexpr (requires {
                  typename Library::template completion_signatures_of_t<T, Env>;
                }) {
    return std::type_identity<
        typename Library::template completion_signatures_of_t<T, Env>>();
  } else if constexpr (requires {
                         S::template get_completion_signatures<T, Env>();
                       }) {
    return std::type_identity<
        decltype(S::template get_completion_signatures<T, Env>())>();
  } else if constexpr (requires {
                         S::template get_completion_signatures<T>();
                       }) {
    return std::type_identity<
        decltype(S::template get_completion_signatures<T>())>();
  } else if constexpr (requires {
                         S::get_completion_signatures(std::declval<T>(),
                                                      std::declval<Env>());
                       }) {
    return std::type_identity<decltype(S::get_completion_signatures(
        std::declval<T>(), std::declval<Env>()))>();
  } else if constexpr (requires {
                         std::declval<T>().get_completion_signatures(
                             std::declval<Env>());
                       }) {
    return std::type_identity<
        decltype(std::declval<T>().get_completion_signatures(
            std::declval<Env>()))>();
  } else if constexpr (requires { typename S::completion_signatures; }) {
    return std::type_identity<typename S::completion_signatures>();
  } else {
    return std::type_identity<NoSignatures>();
  }
}
template <class T, class Env>
using SignaturesOf = ReadSignatures<
    LibraryOf<T>,
    std::remove_cvref_t<typename decltype(FindSignatures<T, Env>())::type>>;

// A stop token, of any library.
template <class Token>
concept StopTokenLike =
    std::copy_constructible<Token> && std::equality_comparable<Token> &&
    requires(const Token& token) {
      { token.stop_requested() } -> std::convertible_to<bool>;
      { token.stop_possible() } -> std::convertible_to<bool>;
    };

// Whether env.query(Query()) asks a receiver for its stop token. Every library
// has a token that is never stopped, for the receivers that have none.
template <class Library, class Query>
inline constexpr bool kAsksForStopToken = requires(const Query& query) {
  { query(NoEnv()) } -> StopTokenLike;
};
template <class Library, class Query>
  requires requires { Library::get_stop_token; }
inline constexpr bool kAsksForStopToken<Library, Query> =
    std::same_as<std::remove_cvref_t<decltype(Library::get_stop_token)>, Query>;

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_SENDERS_INTERNAL_SENDER_TRAITS_H_
