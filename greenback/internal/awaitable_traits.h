// What makes a type awaitable, and the text of the error for one that is not.
// Internal to awaitable.h.
#ifndef GREENBACK_INTERNAL_AWAITABLE_TRAITS_H_
#define GREENBACK_INTERNAL_AWAITABLE_TRAITS_H_

#include <concepts>
#include <coroutine>
#include <string_view>
#include <type_traits>
#include <utility>

namespace greenback {

template <class T>
struct AwaitableAdapter;

namespace internal {

template <class T>
inline constexpr bool kIsCoroutineHandle = false;
template <class Promise>
inline constexpr bool kIsCoroutineHandle<std::coroutine_handle<Promise>> = true;

// The types that await_suspend may return.
template <class T>
concept SuspendResult =
    std::is_void_v<T> || std::same_as<T, bool> || kIsCoroutineHandle<T>;

template <class T>
concept HasAdapter = requires(T&& value) {
  AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(std::forward<T>(value));
};
template <class T>
concept HasMemberCoAwait =
    requires(T&& value) { std::forward<T>(value).operator co_await(); };
template <class T>
concept HasFreeCoAwait =
    requires(T&& value) { operator co_await(std::forward<T>(value)); };

// The three functions of an awaiter of type T are called on an lvalue, as the
// compiler does ([expr.await]: "e is an lvalue"), whatever T is. Some libraries
// have coroutines that move their awaiters instead, and functions that are for
// rvalues alone; those are called on an rvalue, unless T is an lvalue
// reference.
template <class T>
using AwaiterLvalue = std::remove_reference_t<T>&;
template <class T>
using AwaiterRvalue = std::conditional_t<std::is_lvalue_reference_v<T>, T,
                                         std::remove_reference_t<T>&&>;

template <class T>
concept HasReady =
    requires(T&& awaiter) { static_cast<T&&>(awaiter).await_ready(); };
template <class T>
concept HasSuspend = requires(T&& awaiter, std::coroutine_handle<> waker) {
  static_cast<T&&>(awaiter).await_suspend(waker);
};
template <class T>
concept HasResume =
    requires(T&& awaiter) { static_cast<T&&>(awaiter).await_resume(); };
template <class T>
using ForReady = std::conditional_t<HasReady<AwaiterLvalue<T>>,
                                    AwaiterLvalue<T>, AwaiterRvalue<T>>;
template <class T>
using ForSuspend = std::conditional_t<HasSuspend<AwaiterLvalue<T>>,
                                      AwaiterLvalue<T>, AwaiterRvalue<T>>;
template <class T>
using ForResume = std::conditional_t<HasResume<AwaiterLvalue<T>>,
                                     AwaiterLvalue<T>, AwaiterRvalue<T>>;

// The calls, for an awaiter that GetAwaiter() has returned as a T.
template <class T>
inline __attribute__((always_inline)) constexpr bool
CallReady(AwaiterLvalue<T> awaiter) noexcept(noexcept(
    static_cast<bool>(static_cast<ForReady<T>>(awaiter).await_ready()))) {
  return static_cast<bool>(static_cast<ForReady<T>>(awaiter).await_ready());
}
template <class T>
inline constexpr bool kReadyIsNoexcept =
    noexcept(CallReady<T>(std::declval<AwaiterLvalue<T>>()));
template <class T, class Promise>
inline __attribute__((always_inline)) decltype(auto) CallSuspend(
    AwaiterLvalue<T> awaiter, std::coroutine_handle<Promise> waker) {
  return static_cast<ForSuspend<T>>(awaiter).await_suspend(waker);
}
// Calls suspend(), the await_suspend() of an awaiter that receives `handle`.
// Returns the coroutine to resume next: `handle` if it is not suspended after
// all, and one that does nothing if there is none.
template <class Suspend>
std::coroutine_handle<> NextAfter(Suspend suspend,
                                  std::coroutine_handle<> handle) {
  using Result = decltype(suspend());
  if constexpr (std::is_void_v<Result>) {
    suspend();
    return std::noop_coroutine();
  } else if constexpr (std::is_same_v<Result, bool>) {
    return suspend() ? std::noop_coroutine() : handle;
  } else {
    return suspend();
  }
}
template <class T>
inline __attribute__((always_inline)) decltype(auto) CallResume(
    AwaiterLvalue<T> awaiter) {
  return static_cast<ForResume<T>>(awaiter).await_resume();
}

template <class T>
concept ReadyReturnsBool = requires(AwaiterLvalue<T> awaiter) {
  static_cast<bool>(static_cast<ForReady<T>>(awaiter).await_ready());
};
template <class T>
concept SuspendReturnsSuspendResult =
    requires(AwaiterLvalue<T> awaiter, std::coroutine_handle<> waker) {
      {
        static_cast<ForSuspend<T>>(awaiter).await_suspend(waker)
      } -> SuspendResult;
    };

// An awaiter of corral's kind: its library's coroutines set an executor before
// they suspend on it.
struct AnyPointer {
  template <class T>
  // For any argument's type. NOLINTNEXTLINE(google-explicit-constructor)
  operator T*() const;
};
template <class T>
concept WantsExecutor = requires(std::remove_reference_t<T>& awaiter) {
  awaiter.await_set_executor(AnyPointer());
};
// An awaiter of Boost.Capy's kind, whose await_suspend() takes the environment
// of the coroutine as a second argument.
template <class T>
concept WantsEnvironment = requires(std::remove_reference_t<T>& awaiter,
                                    std::coroutine_handle<> waker) {
  { awaiter.await_suspend(waker, AnyPointer()) } -> SuspendResult;
};
// An awaiter that is cancelled by a function of its own, as corral's are.
template <class T>
concept CancelsByAwaiter = requires(std::remove_reference_t<T>& awaiter,
                                    std::coroutine_handle<> waker) {
  static_cast<bool>(awaiter.await_cancel(waker));
};
// Such an awaiter is awaited through a LibraryAwaiter, which does the same to
// it as the coroutines of its library do.
template <class T>
concept WantsMore =
    WantsExecutor<T> || WantsEnvironment<T> || CancelsByAwaiter<T>;

template <class T>
concept Awaiter = ReadyReturnsBool<T> && HasResume<ForResume<T>> &&
                  (SuspendReturnsSuspendResult<T> || WantsEnvironment<T>);

template <class T>
class AdaptedAwaiter;

}  // namespace internal

template <class T>
decltype(auto) GetAwaiter(T&& awaitable) {
  if constexpr (internal::HasAdapter<T>) {
    return internal::AdaptedAwaiter<T>(std::forward<T>(awaitable));
  } else if constexpr (internal::HasMemberCoAwait<T>) {
    return std::forward<T>(awaitable).operator co_await();
  } else if constexpr (internal::HasFreeCoAwait<T>) {
    return operator co_await(std::forward<T>(awaitable));
  } else {
    return static_cast<T&&>(awaitable);
  }
}

namespace internal {

template <class T>
class LibraryAwaiter;  // ../host/library_awaiter.h

// GetAwaiter() for an await that takes place in a task of greenback's. Differs
// for those of greenback's own awaiters that make a task of their own
// elsewhere, and for awaiters that want more than a handle. May refer to
// `awaitable`.
template <class T>
decltype(auto) GetAwaiterInTask(T&& awaitable) {
  if constexpr (requires { std::forward<T>(awaitable).GreenbackInTask(); }) {
    return std::forward<T>(awaitable).GreenbackInTask();
  } else if constexpr (WantsMore<decltype(GetAwaiter(std::declval<T>()))>) {
    return LibraryAwaiter<T>(std::forward<T>(awaitable));
  } else {
    return GetAwaiter(std::forward<T>(awaitable));
  }
}

template <class T>
using AdapterMakes = decltype(AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(
    std::declval<T>()));
template <class T>
concept AdapterReturnsAwaitable =
    Awaiter<decltype(GetAwaiter(std::declval<AdapterMakes<T>>()))>;

class FiberWaiter;

// Base class, private or not, of the awaiters that resume the task from its
// host's queue, or not at all. Others are taken for awaiters of another
// library; see home_awaiter.h.
struct ResumesAtHome {};
template <class T>
inline constexpr bool kResumesAtHome = std::is_base_of_v<ResumesAtHome, T>;
// An awaiter that resumes the task as the one inside it does declares
// GreenbackInner.
template <class T>
  requires requires { typename T::GreenbackInner; }
inline constexpr bool kResumesAtHome<T> =
    kResumesAtHome<std::remove_cvref_t<typename T::GreenbackInner>>;
template <class T>
concept HomeAwaiter = kResumesAtHome<std::remove_cvref_t<T>>;

// Awaiters of greenback's that hold no coroutine, and that no other code reads
// while an Await() waits, declare this: they are not hidden from the optimiser.
template <class T>
concept HoldsNoFrame = std::remove_cvref_t<T>::kGreenbackHoldsNoFrame;

// An awaiter of greenback's that needs no handle to resume: it puts `waiter`
// itself where its host, or PortalAccess::Wake(), finds it. await_park()
// returns false if there is nothing to wait for.
template <class A>
concept ParksItself = requires(A& awaiter, FiberWaiter& waiter) {
  { awaiter.await_park(waiter) } -> std::same_as<bool>;
};

// Keeps what an adapter has returned for as long as it is awaited.
// await_ready() is const, as in all awaiters of greenback's, since some
// libraries' coroutines require that. If that of the inner awaiter is not, the
// const is cast away; this object is never a constant.
template <class T>
class AdaptedAwaiter {
  using Made = AdapterMakes<T>;
  using Inner = decltype(GetAwaiter(std::declval<Made>()));

 public:
  using GreenbackInner = Inner;

  explicit AdaptedAwaiter(T&& awaitable)
      : made_(AwaitableAdapter<std::remove_cvref_t<T>>::Adapt(
            std::forward<T>(awaitable))),
        inner_(GetAwaiter(std::forward<Made>(made_))) {}
  AdaptedAwaiter(const AdaptedAwaiter&) = delete;
  AdaptedAwaiter& operator=(const AdaptedAwaiter&) = delete;

  bool await_ready() const noexcept(kReadyIsNoexcept<Inner>) {
    return CallReady<Inner>(const_cast<AwaiterLvalue<Inner>>(inner_));
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> waker) {
    return CallSuspend<Inner>(inner_, waker);
  }
  bool await_park(FiberWaiter& waiter)
    requires(ParksItself<Inner>)
  {
    return inner_.await_park(waiter);
  }
  decltype(auto) await_resume() { return CallResume<Inner>(inner_); }

 private:
  Made made_;
  Inner inner_;
};
// If the adapter returns something that is not awaitable, this is no awaiter
// either.
template <class T>
  requires(!AdapterReturnsAwaitable<T>)  //
class AdaptedAwaiter<T> {
 public:
  explicit AdaptedAwaiter(T&&) {}
};

template <class T>
concept Awaitable = Awaiter<decltype(GetAwaiter(std::declval<T>()))>;

// The result of awaiting something that is not awaitable. Converts to whatever
// the caller needs, so that the only error is the sentence of CheckAwaitable().
template <class T>
struct NotAwaitable {
  template <class Wanted>
  // Whatever is wanted. NOLINTNEXTLINE(google-explicit-constructor)
  operator Wanted() const;
};
// The same for a coroutine, which would await it.
template <class T>
struct NoAwaiter : std::suspend_always {
  NotAwaitable<T> await_resume() const noexcept;
};

template <class T>
concept HasReadyAndResume = HasReady<ForReady<T>> && HasResume<ForResume<T>>;

// Awaitable, but only as an rvalue.
template <class T>
inline constexpr bool kIsForRvalues = false;
template <class T>
inline constexpr bool kIsForRvalues<T&> = !Awaitable<T&> && Awaitable<T>;

// Whether T is a type of Boost.Asio's, found by its name, as nothing here
// includes Boost.Asio.
template <class T>
constexpr bool IsOfAsio() {
  return std::string_view(__PRETTY_FUNCTION__).find("T = boost::asio::") !=
         std::string_view::npos;
}

#define GREENBACK_NOT_AWAITABLE                                             \
  "this type is not awaitable: it is no awaiter, and has neither operator " \
  "co_await nor a greenback::AwaitableAdapter"

// clang names the type in the line of a failed static_assert, g++ does not; but
// it does when a variable template is "unavailable".
#if defined(__GNUC__) && !defined(__clang__) && \
    __has_cpp_attribute(gnu::unavailable)
template <class T>
inline constexpr bool kIsAwaitable = true;
template <class T>
  requires(!Awaitable<T>)                      //
[[gnu::unavailable(GREENBACK_NOT_AWAITABLE)]]  //
inline constexpr bool kIsAwaitable<T> = true;
#else
template <class T>
inline constexpr bool kIsAwaitable = Awaitable<T>;
#endif

// Returns Awaitable<T>. If that is false, the compiler reports an error whose
// first line says why.
template <class T>
constexpr bool CheckAwaitable() {
  if constexpr (!Awaitable<T>) {
    using A = decltype(GetAwaiter(std::declval<T>()));
    if constexpr (kIsForRvalues<T>) {
      static_assert(!kIsForRvalues<T>,
                    "this can be awaited as an rvalue only: pass it with "
                    "std::move(), or the call that makes it");
    } else if constexpr (HasAdapter<T>) {
      static_assert(Awaiter<A>,
                    "AwaitableAdapter<T>::Adapt() must return an awaitable");
    } else if constexpr (!HasReadyAndResume<A> && IsOfAsio<T>()) {
      static_assert(!IsOfAsio<T>(),
                    "operations of Boost.Asio are awaitable with #include "
                    "\"greenback/asio/operation.h\" (and the completion token "
                    "boost::asio::deferred), its coroutines with #include "
                    "\"greenback/asio/awaitable.h\"");
    } else if constexpr (!HasReadyAndResume<A>) {
      static_assert(kIsAwaitable<T>, GREENBACK_NOT_AWAITABLE);
    } else if constexpr (!ReadyReturnsBool<A>) {
      static_assert(ReadyReturnsBool<A>,
                    "an awaiter's await_ready() must return bool, or what "
                    "converts to it");
    } else if constexpr (!HasSuspend<ForSuspend<A>>) {
      static_assert(HasSuspend<ForSuspend<A>>,
                    "an awaiter's await_suspend() must take a "
                    "std::coroutine_handle<>: greenback's continuation is no "
                    "coroutine of its own type");
    } else {
      static_assert(Awaiter<A>,
                    "an awaiter's await_suspend() must return void, bool or a "
                    "std::coroutine_handle");
    }
  }
  return Awaitable<T>;
}
#undef GREENBACK_NOT_AWAITABLE

// The type that a function can return for an await_resume() that returns an R,
// if the awaiter is destroyed before the result is used: a value in place of an
// rvalue reference, which is likely to refer to the awaiter.
template <class R>
struct KeptResult {
  using type = R;
};
// Takes the place of a value that cannot be moved. It is refused where it would
// be made, which is an implicit conversion from the result.
template <class R>
struct Immovable {
  template <class Result>
    requires(std::same_as<std::remove_cvref_t<Result>, std::remove_cv_t<R>>)  //
  Immovable(Result&&) {  // NOLINT(google-explicit-constructor)
    static_assert(std::is_move_constructible_v<R>,
                  "the result is an rvalue reference, perhaps into what is "
                  "destroyed before it is used, to something that cannot be "
                  "moved; co_await it in a coroutine, or return an lvalue "
                  "reference");
  }
};
template <class R>
struct KeptResult<R&&> {
  using type = std::conditional_t<std::is_move_constructible_v<R>,
                                  std::remove_cv_t<R>, Immovable<R>>;
};

template <class T>
struct AwaitResultOf {
  using type = NotAwaitable<T>;
};
template <Awaitable T>
struct AwaitResultOf<T> {
  using A = decltype(GetAwaiter(std::declval<T>()));
  using type = typename KeptResult<
      decltype(std::declval<ForResume<A>>().await_resume())>::type;
};

}  // namespace internal

}  // namespace greenback

#endif  // GREENBACK_INTERNAL_AWAITABLE_TRAITS_H_
