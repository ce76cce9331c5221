// The algorithms of `demo` (sender_library_for_test.h), for tests of senders
// that are parts of others: then() and when_all(). Both know only senders with
// one set of values, which SenderOf() declares for those that have more.
#ifndef GREENBACK_SENDERS_SENDER_ALGORITHMS_FOR_TEST_H_
#define GREENBACK_SENDERS_SENDER_ALGORITHMS_FOR_TEST_H_

#include <atomic>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/senders/internal/stop_token.h"
#include "greenback/senders/sender_library_for_test.h"

namespace demo {

// The one value that a sender of this library completes with.
template <class Signatures>
struct ValueOf;
template <class V, class... Rest>
struct ValueOf<completion_signatures<set_value_t(V), Rest...>> {
  using type = V;
};
template <class... Rest>
struct ValueOf<completion_signatures<set_value_t(), Rest...>> {
  using type = void;
};
template <class V, class W, class... Rest>
struct ValueOf<completion_signatures<set_value_t(V, W), Rest...>> {
  using type = std::tuple<V, W>;
};

// `inner` with the signatures that the algorithms below understand.
template <class V, class Inner>
struct Redeclared {
  using sender_concept = sender_tag;
  using completion_signatures =
      demo::completion_signatures<set_value_t(V), set_stopped_t()>;
  template <class R>
  auto connect(R receiver) && {
    return std::move(inner).connect(std::move(receiver));
  }
  Inner inner;
};
template <class V, class Inner>
Redeclared<V, Inner> SenderOf(Inner inner) {
  return {std::move(inner)};
}

// Completes with fn(value).
template <class Inner, class Fn>
struct Then {
  using sender_concept = sender_tag;
  using V = typename ValueOf<typename Inner::completion_signatures>::type;
  template <class T>
  struct Called {
    using type = std::invoke_result_t<Fn, T>;
  };
  template <class T>
    requires std::is_void_v<T>
  struct Called<T> {
    using type = std::invoke_result_t<Fn>;
  };
  using completion_signatures =
      demo::completion_signatures<set_value_t(typename Called<V>::type),
                                  set_stopped_t()>;

  template <class R>
  struct Receiver {
    using receiver_concept = receiver_tag;
    R receiver;
    Fn fn;
    template <class... Vs>
    void set_value(Vs&&... vs) noexcept {
      if constexpr (sizeof...(Vs) == 0) {
        set_value_t()(std::move(receiver), fn());
      } else {
        set_value_t()(std::move(receiver), fn(V(std::forward<Vs>(vs)...)));
      }
    }
    template <class E>
    void set_error(E&& e) noexcept {
      set_error_t()(std::move(receiver), std::forward<E>(e));
    }
    void set_stopped() noexcept { set_stopped_t()(std::move(receiver)); }
    auto get_env() const noexcept { return receiver.get_env(); }
  };
  template <class R>
  auto connect(R receiver) && {
    return std::move(inner).connect(
        Receiver<R>{std::move(receiver), std::move(fn)});
  }
  Inner inner;
  Fn fn;
};
template <class Inner, class Fn>
Then<Inner, Fn> then(Inner inner, Fn fn) {
  return {std::move(inner), std::move(fn)};
}

// Completes when both have, with their values. If one of them fails or is
// stopped, a stop of the other is requested.
template <class A, class B>
struct WhenAll {
  using sender_concept = sender_tag;
  using VA = typename ValueOf<typename A::completion_signatures>::type;
  using VB = typename ValueOf<typename B::completion_signatures>::type;
  using completion_signatures =
      demo::completion_signatures<set_value_t(VA, VB), set_stopped_t()>;

  struct Env {
    greenback::internal::StopToken token;
    auto query(get_stop_token_t) const noexcept { return token; }
  };
  template <class R>
  class Operation {
   public:
    using operation_state_concept = operation_state_tag;
    Operation(A&& a, B&& b, R receiver)
        : receiver_(std::move(receiver)),
          a_(std::move(a).connect(Child<0>{this})),
          b_(std::move(b).connect(Child<1>{this})) {}
    void start() noexcept {
      on_stop_.emplace(get_stop_token(receiver_.get_env()), OnStop{this});
      a_.start();
      b_.start();
      Arrive();
    }

   private:
    template <int kIndex>
    struct Child {
      using receiver_concept = receiver_tag;
      Operation* all;
      template <class V>
      void set_value(V&& v) noexcept {
        std::get<kIndex>(all->values_).emplace(std::forward<V>(v));
        all->Arrive();
      }
      template <class E>
      void set_error(E&&) noexcept {
        set_stopped();
      }
      void set_stopped() noexcept {
        all->is_stopped_ = true;
        all->source_.request_stop();
        all->Arrive();
      }
      Env get_env() const noexcept {
        return {greenback::internal::StopToken(all->source_.get_token())};
      }
    };
    struct OnStop {
      Operation* all;
      void operator()() const {
        ++all->running_;
        all->source_.request_stop();
        all->Arrive();
      }
    };
    void Arrive() {
      if (--running_ != 0) return;
      on_stop_.reset();
      if (is_stopped_) {
        set_stopped_t()(std::move(receiver_));
      } else {
        set_value_t()(std::move(receiver_), *std::move(std::get<0>(values_)),
                      *std::move(std::get<1>(values_)));
      }
    }

    R receiver_;
    std::stop_source source_;
    std::atomic<int> running_{3};  // both, and start()
    std::atomic<bool> is_stopped_{false};
    std::tuple<std::optional<VA>, std::optional<VB>> values_;
    std::optional<StopCallbackOf<R, OnStop>> on_stop_;
    decltype(std::declval<A>().connect(std::declval<Child<0>>())) a_;
    decltype(std::declval<B>().connect(std::declval<Child<1>>())) b_;
  };
  template <class R>
  Operation<R> connect(R receiver) && {
    return Operation<R>(std::move(a), std::move(b), std::move(receiver));
  }
  A a;
  B b;
};
template <class A, class B>
WhenAll<A, B> when_all(A a, B b) {
  return {std::move(a), std::move(b)};
}

}  // namespace demo

#endif  // GREENBACK_SENDERS_SENDER_ALGORITHMS_FOR_TEST_H_
