// What Await() accepts, and the one place to teach it a foreign type.
//
// An awaitable is what a coroutine may `co_await`: an awaiter, or something
// with a member or free `operator co_await`. A type that has neither (a future
// of another library, an operation that wants a callback) becomes awaitable by
// specialising AwaitableAdapter beside it:
//
//   template <class T>
//   struct greenback::AwaitableAdapter<other::Future<T>> {
//     static auto Adapt(other::Future<T>&& future) {
//       return FutureAwaiter<T>{std::move(future)};   // any awaitable
//     }
//   };
//   ...
//   int answer = greenback::Await(other::Ask());
//
// Nothing here suspends or allocates.
#ifndef GREENBACK_AWAITABLE_H_
#define GREENBACK_AWAITABLE_H_

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace greenback {

// Specialise for a foreign type (unqualified: no reference, no const), with a
// static function Adapt that takes it by the reference that is awaited and
// gives an awaitable. Looked up before the standard's own forms.
template <class T>
struct AwaitableAdapter;

namespace internal {

template <class T>
inline constexpr bool kIsCoroutineHandle = false;
template <class Promise>
inline constexpr bool kIsCoroutineHandle<std::coroutine_handle<Promise>> = true;

// What await_suspend may return.
template <class T>
concept SuspendResult =
    std::is_void_v<T> || std::same_as<T, bool> || kIsCoroutineHandle<T>;

template <class T>
concept HasAdapter = requires(T&& value) {
  AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(std::forward<T>(value));
};
template <class T>
concept HasMemberCoAwait = requires(T&& value) {
  std::forward<T>(value).operator co_await();
};
template <class T>
concept HasFreeCoAwait = requires(T&& value) {
  operator co_await(std::forward<T>(value));
};

}  // namespace internal

// Something with the three functions that the compiler calls. T may be a
// reference.
template <class T>
concept Awaiter = requires(std::remove_reference_t<T>& awaiter,
                           std::coroutine_handle<> waker) {
  { awaiter.await_ready() } -> std::convertible_to<bool>;
  { awaiter.await_suspend(waker) } -> internal::SuspendResult;
  awaiter.await_resume();
};

namespace internal {
template <class T>
class AdaptedAwaiter;
}

// The awaiter of an awaitable, as `co_await` would get it: a value, or an
// lvalue reference to the awaitable itself. Anything else comes back as it is,
// and is no Awaiter.
template <class T>
decltype(auto) GetAwaiter(T&& awaitable) {
  if constexpr (internal::HasAdapter<T>) {
    return internal::AdaptedAwaiter<T>(std::forward<T>(awaitable));
  } else if constexpr (internal::HasMemberCoAwait<T>) {
    return std::forward<T>(awaitable).operator co_await();
  } else if constexpr (internal::HasFreeCoAwait<T>) {
    return operator co_await(std::forward<T>(awaitable));
  } else {
    return (awaitable);
  }
}

namespace internal {

// Keeps what an adapter made for as long as it is awaited.
template <class T>
class AdaptedAwaiter {
  using Made = decltype(AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(
      std::declval<T>()));
  using Inner = decltype(GetAwaiter(std::declval<Made>()));
  static_assert(Awaiter<Inner>,
                "AwaitableAdapter<T>::Adapt() must give an awaitable");

 public:
  explicit AdaptedAwaiter(T&& awaitable)
      : made_(AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(
            std::forward<T>(awaitable))),
        inner_(GetAwaiter(std::forward<Made>(made_))) {}
  AdaptedAwaiter(const AdaptedAwaiter&) = delete;
  AdaptedAwaiter& operator=(const AdaptedAwaiter&) = delete;

  bool await_ready() { return static_cast<bool>(inner_.await_ready()); }
  auto await_suspend(std::coroutine_handle<> waker) {
    return inner_.await_suspend(waker);
  }
  decltype(auto) await_resume() { return inner_.await_resume(); }

 private:
  Made made_;
  Inner inner_;
};

}  // namespace internal

template <class T>
concept Awaitable = Awaiter<decltype(GetAwaiter(std::declval<T>()))>;

namespace internal {

// `void` for what is no awaitable, so that Await() can say so in one sentence
// instead of being no candidate.
template <class T>
struct AwaitResultOf {
  using type = void;
};
template <Awaitable T>
struct AwaitResultOf<T> {
  using type =
      decltype(std::declval<std::remove_reference_t<decltype(GetAwaiter(
                   std::declval<T>()))>&>()
                   .await_resume());
};

}  // namespace internal

// What `co_await std::declval<T>()` gives.
template <class T>
using AwaitResult = typename internal::AwaitResultOf<T>::type;

}  // namespace greenback

#endif  // GREENBACK_AWAITABLE_H_
