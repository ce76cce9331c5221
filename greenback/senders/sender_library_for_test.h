// What a small library of senders in the style of P2300, `demo`, is made of:
// its tags, its signatures and its query for a stop token. For tests that write
// senders or receivers of their own; its senders are in senders_for_test.h, its
// algorithms in sender_algorithms_for_test.h.
//
// It is as strict as the libraries that users have: its tags call what a
// receiver has, and nothing else.
#ifndef GREENBACK_SENDERS_SENDER_LIBRARY_FOR_TEST_H_
#define GREENBACK_SENDERS_SENDER_LIBRARY_FOR_TEST_H_

#include <atomic>
#include <utility>

namespace demo {

struct sender_tag {};
struct receiver_tag {};
struct operation_state_tag {};

struct set_value_t {
  template <class R, class... Vs>
    requires requires(R&& r, Vs&&... vs) {
      std::forward<R>(r).set_value(std::forward<Vs>(vs)...);
    }
  void operator()(R&& r, Vs&&... vs) const noexcept {
    std::forward<R>(r).set_value(std::forward<Vs>(vs)...);
  }
};
struct set_error_t {
  template <class R, class E>
    requires requires(R&& r, E&& e) {
      std::forward<R>(r).set_error(std::forward<E>(e));
    }
  void operator()(R&& r, E&& e) const noexcept {
    std::forward<R>(r).set_error(std::forward<E>(e));
  }
};
struct set_stopped_t {
  template <class R>
    requires requires(R&& r) { std::forward<R>(r).set_stopped(); }
  void operator()(R&& r) const noexcept {
    std::forward<R>(r).set_stopped();
  }
};

template <class... Signatures>
struct completion_signatures {};

struct never_stop_token {
  template <class F>
  struct callback_type {
    callback_type(never_stop_token, const F&) {}
  };
  static constexpr bool stop_requested() noexcept { return false; }
  static constexpr bool stop_possible() noexcept { return false; }
  bool operator==(const never_stop_token&) const = default;
};

struct get_stop_token_t {
  template <class Env>
  auto operator()(const Env& env) const noexcept {
    if constexpr (requires { env.query(*this); }) {
      return env.query(*this);
    } else {
      return never_stop_token();
    }
  }
};
inline constexpr get_stop_token_t get_stop_token;

// A query that is none for a stop token.
struct get_answer_t {
  template <class Env>
  int operator()(const Env&) const noexcept {
    return 42;
  }
};

template <class R>
using StopTokenOf =
    decltype(get_stop_token(std::declval<const R&>().get_env()));
template <class R, class F>
using StopCallbackOf = typename StopTokenOf<R>::template callback_type<F>;

// Counts the operations that exist.
struct Counted {
  inline static std::atomic<int> alive{0};
  Counted() { ++alive; }
  Counted(const Counted&) = delete;
  ~Counted() { --alive; }
};

}  // namespace demo

#endif  // GREENBACK_SENDERS_SENDER_LIBRARY_FOR_TEST_H_
