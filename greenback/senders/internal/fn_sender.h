// FnSender: what AsSender() returns, and its operation. Internal to
// as_sender.h.
#ifndef GREENBACK_SENDERS_INTERNAL_FN_SENDER_H_
#define GREENBACK_SENDERS_INTERNAL_FN_SENDER_H_

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/abandoned.h"
#include "greenback/host/library_hooks.h"
#include "greenback/internal/coroutine_library_impl.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/outcome.h"
#include "greenback/senders/internal/sender_task.h"
#include "greenback/senders/internal/sender_traits.h"
#include "greenback/senders/sender.h"

namespace greenback::internal {

// The tags of a sender that belongs to no library.
struct OwnSenderTag {};
struct OwnSetValue {
  template <class Receiver, class... Args>
  void operator()(Receiver&& receiver, Args&&... args) const noexcept {
    std::forward<Receiver>(receiver).set_value(std::forward<Args>(args)...);
  }
};
struct OwnSetError {
  template <class Receiver, class E>
  void operator()(Receiver&& receiver, E&& error) const noexcept {
    std::forward<Receiver>(receiver).set_error(std::forward<E>(error));
  }
};
struct OwnSetStopped {
  template <class Receiver>
  void operator()(Receiver&& receiver) const noexcept {
    std::forward<Receiver>(receiver).set_stopped();
  }
};
template <class... Signatures>
struct OwnSignatures {};

// The stop token of a receiver that has none.
struct NoStopToken {};

template <class Library, class Receiver>
decltype(auto) FindEnv(const Receiver& receiver) {
  if constexpr (requires { Library::get_env(receiver); }) {
    return Library::get_env(receiver);
  } else if constexpr (requires { receiver.get_env(); }) {
    return receiver.get_env();
  } else {
    return NoEnv();
  }
}
template <class Library, class Receiver>
auto FindStopToken(const Receiver& receiver) {
  decltype(auto) env = FindEnv<Library>(receiver);
  if constexpr (requires { Library::get_stop_token(env); }) {
    return Library::get_stop_token(env);
  } else if constexpr (requires { env.get_stop_token(); }) {
    return env.get_stop_token();
  } else {
    return NoStopToken();
  }
}

// The signature of a function's result: without arguments for void.
template <class Library, class R>
struct ValueSignature {
  using type = typename Library::set_value_t(R);
};
template <class Library>
struct ValueSignature<Library, void> {
  using type = typename Library::set_value_t();
};

template <class Library, class Receiver, class Fn, class... Args>
class FnOperation final : private SenderTask {
  using R = std::invoke_result_t<Fn, Args...>;

 public:
  using operation_state_concept = typename OperationConcept<Library>::type;

  FnOperation(Fn&& fn, std::tuple<Args...>&& args, Receiver&& receiver)
      : SenderTask(kHooks, this),
        fn_(std::move(fn)),
        args_(std::move(args)),
        receiver_(std::move(receiver)) {}

  void start() & noexcept {
    Start([this] { Run(); });
  }

 private:
  static std::unique_ptr<CancelLink> Link(void* operation,
                                          std::stop_source stop) {
    auto token =
        FindStopToken<Library>(static_cast<FnOperation*>(operation)->receiver_);
    if constexpr (std::is_same_v<decltype(token), NoStopToken>) {
      return nullptr;
    } else {
      return LinkToken(std::move(token), std::move(stop));
    }
  }
  static constexpr LibraryHooks kHooks{.link = Link};

  void Run() {
    GREENBACK_TRY {
      outcome_.SetValue([this]() -> R {
        return std::apply(std::move(fn_), std::move(args_));
      });
    }
#if defined(__cpp_exceptions)
    catch (const SenderStopped&) {
      is_stopped_ = true;
    }
    catch (const Abandoned&) {  // by what had the handle that it awaited with
      is_stopped_ = true;
    }
#endif
    GREENBACK_CATCH_ALL { outcome_.SetCurrentException(); }
  }

  void Complete() noexcept override {
    EndCancellation();  // its stop token ends with the receiver
    // The receiver may destroy this before it uses its arguments.
    Receiver receiver = std::move(receiver_);
    if (is_stopped_) {
      typename Library::set_stopped_t()(std::move(receiver));
    } else if (outcome_.has_error()) {
      typename Library::set_error_t()(std::move(receiver),
                                      outcome_.TakeError());
    } else if constexpr (std::is_void_v<R>) {
      typename Library::set_value_t()(std::move(receiver));
    } else if constexpr (std::is_reference_v<R>) {
      typename Library::set_value_t()(std::move(receiver), outcome_.Take());
    } else {
      std::optional<R> value;
      GREENBACK_TRY { value.emplace(outcome_.Take()); }
      GREENBACK_CATCH_ALL {
        typename Library::set_error_t()(std::move(receiver),
                                        std::current_exception());
        return;
      }
      typename Library::set_value_t()(std::move(receiver), *std::move(value));
    }
  }

  Fn fn_;
  std::tuple<Args...> args_;
  Receiver receiver_;
  Outcome<R> outcome_;
  bool is_stopped_ = false;
};

template <class SenderConcept, class Fn, class... Args>
class [[nodiscard]] FnSender {
  using Library = SenderLibrary<SenderConcept>;
  using R = std::invoke_result_t<Fn, Args...>;

 public:
  using sender_concept = SenderConcept;
  using completion_signatures =
      typename Library::template completion_signatures<
          typename ValueSignature<Library, R>::type,
          typename Library::set_error_t(std::exception_ptr),
          typename Library::set_stopped_t()>;

  template <class... Given>
  explicit FnSender(Fn fn, Given&&... args)
      : fn_(std::move(fn)), args_(std::forward<Given>(args)...) {}

  // C++26 asks here, and older libraries for the nested type.
  template <class Self, class... Env>
  static consteval completion_signatures get_completion_signatures() noexcept {
    return {};
  }

  template <class Receiver>
  auto connect(Receiver receiver) && {
    return FnOperation<Library, Receiver, Fn, Args...>(
        std::move(fn_), std::move(args_), std::move(receiver));
  }
  template <class Receiver>
    requires(std::copy_constructible<Fn> &&
             std::copy_constructible<std::tuple<Args...>>)
  auto connect(Receiver receiver) const& {
    return FnOperation<Library, Receiver, Fn, Args...>(
        Fn(fn_), std::tuple<Args...>(args_), std::move(receiver));
  }

 private:
  Fn fn_;
  std::tuple<Args...> args_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_FN_SENDER_H_
