// The table of a CoroutineLibrary, made from what the specialisation has and
// from the structure of the promise. Internal to coroutine_library.h.
#ifndef GREENBACK_INTERNAL_COROUTINE_LIBRARY_IMPL_H_
#define GREENBACK_INTERNAL_COROUTINE_LIBRARY_IMPL_H_

#include <coroutine>
#include <memory>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/host/foreign_call.h"
#include "greenback/host/library_hooks.h"

namespace greenback {

template <class Promise>
struct CoroutineLibrary;

namespace internal {

// What a CancelLink calls.
struct RequestStop {
  std::stop_source stop;
  // A copy, because the call may end, and this be destroyed, meanwhile.
  void operator()() const { std::stop_source(stop).request_stop(); }
};

template <class Promise>
concept LibraryHasContext =
    requires(Promise& promise) { CoroutineLibrary<Promise>::Context(promise); };
template <class Promise>
concept LibraryResumes =
    requires(Promise& promise, std::coroutine_handle<> frames) {
      CoroutineLibrary<Promise>::Resume(promise, frames);
    };
template <class Promise>
concept LibraryCancels = requires(Promise& promise, RequestStop stop) {
  CoroutineLibrary<Promise>::OnCancel(promise, stop);
};
template <class Promise>
concept LibraryDestroys = requires(std::coroutine_handle<Promise> coroutine) {
  CoroutineLibrary<Promise>::Destroy(coroutine);
};
template <class Promise>
concept HasStopToken =
    requires(Promise& promise) { promise.get_stop_token().stop_requested(); };
template <class Promise>
concept HasStopTokenInEnv = requires(Promise& promise) {
  promise.get_env().get_stop_token().stop_requested();
};

// The object of a context if it is a T, by the address of the object. A pointer
// stands for what it points to.
template <class T>
void* ContextIf(TypeId type, T& object) {
  return type == TypeIdOf<T>()
             ? const_cast<std::remove_cv_t<T>*>(std::addressof(object))
             : nullptr;
}
template <class T>
void* ContextIf(TypeId type, T*& pointer) {
  return type == TypeIdOf<T>() ? const_cast<std::remove_cv_t<T>*>(pointer)
                               : nullptr;
}

template <class Promise>
void* ContextOf(void* promise, TypeId type) {
  Promise& typed = *static_cast<Promise*>(promise);
  using Made = decltype(CoroutineLibrary<Promise>::Context(typed));
  static_assert(std::is_pointer_v<Made> || std::is_lvalue_reference_v<Made>,
                "CoroutineLibrary<Promise>::Context() must return a pointer or "
                "a reference to what lives as long as the coroutine");
  Made context = CoroutineLibrary<Promise>::Context(typed);
  return ContextIf(type, context);
}

template <class Callback>
struct CallbackLink final : CancelLink {
  template <class... Args>
  explicit CallbackLink(Args&&... args)
      : callback(std::forward<Args>(args)...) {}
  Callback callback;
};
template <class Token>
struct CallbackOf {
  using type = typename Token::template callback_type<RequestStop>;
};
template <>
struct CallbackOf<std::stop_token> {
  using type = std::stop_callback<RequestStop>;
};
template <class Token>
std::unique_ptr<CancelLink> LinkToken(Token token, std::stop_source stop) {
  if (!token.stop_possible()) return nullptr;
  return std::make_unique<CallbackLink<typename CallbackOf<Token>::type>>(
      std::move(token), RequestStop{std::move(stop)});
}

// What OnCancel() returns, constructed in its place.
template <class Promise>
struct OnCancelLink final : CancelLink {
  OnCancelLink(Promise& promise, std::stop_source stop)
      : object(CoroutineLibrary<Promise>::OnCancel(
            promise, RequestStop{std::move(stop)})) {}
  decltype(CoroutineLibrary<Promise>::OnCancel(
      std::declval<Promise&>(), std::declval<RequestStop>())) object;
};

template <class Promise>
std::unique_ptr<CancelLink> LinkTo(void* promise, std::stop_source stop) {
  Promise& typed = *static_cast<Promise*>(promise);
  if constexpr (LibraryCancels<Promise>) {
    using Made = decltype(CoroutineLibrary<Promise>::OnCancel(
        typed, std::declval<RequestStop>()));
    static_assert(!std::is_void_v<Made>,
                  "CoroutineLibrary<Promise>::OnCancel() must return an "
                  "object, whose destructor ends the notification");
    if constexpr (std::is_void_v<Made>) {
      return nullptr;
    } else {
      return std::make_unique<OnCancelLink<Promise>>(typed, std::move(stop));
    }
  } else if constexpr (HasStopToken<Promise>) {
    return LinkToken(typed.get_stop_token(), std::move(stop));
  } else {
    return LinkToken(typed.get_env().get_stop_token(), std::move(stop));
  }
}

template <class Promise>
constexpr LibraryHooks MakeLibraryHooks() {
  LibraryHooks hooks;
  if constexpr (LibraryHasContext<Promise>) hooks.context = ContextOf<Promise>;
  if constexpr (LibraryResumes<Promise>) {
    hooks.resume = [](void* promise, std::coroutine_handle<> frames) {
      CoroutineLibrary<Promise>::Resume(*static_cast<Promise*>(promise),
                                        frames);
    };
  }
  if constexpr (LibraryCancels<Promise> || HasStopToken<Promise> ||
                HasStopTokenInEnv<Promise>) {
    hooks.link = LinkTo<Promise>;
  }
  if constexpr (LibraryDestroys<Promise>) {
    hooks.destroy = [](void* promise) noexcept {
      CoroutineLibrary<Promise>::Destroy(
          std::coroutine_handle<Promise>::from_promise(
              *static_cast<Promise*>(promise)));
    };
  }
  return hooks;
}
template <class Promise>
inline constexpr LibraryHooks kLibraryHooks = MakeLibraryHooks<Promise>();

// `coroutine` as the one around a call.
template <class Promise>
OuterCoroutine Outer(std::coroutine_handle<Promise> coroutine) {
  OuterCoroutine outer;
  outer.handle = coroutine;
  if constexpr (!std::is_void_v<Promise>) {
    if constexpr (!kLibraryHooks<Promise>.empty()) {
      outer.promise = std::addressof(coroutine.promise());
      outer.hooks = &kLibraryHooks<Promise>;
    }
  }
  return outer;
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_INTERNAL_COROUTINE_LIBRARY_IMPL_H_
