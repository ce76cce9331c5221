// Where the examples of greenback/senders/ stand.
#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "greenback/await.h"
#include "greenback/runtime/co.h"
#include "greenback/senders/as_sender.h"
#include "greenback/senders/sender.h"

struct Key {};
struct Page {};
struct Row {};
Page ReadPage(Key key);
greenback::Co<void> Store(const Row& row);
int ForEachRow(const std::string& path, std::function<void(const Row&)> fn);

// As much of a library of senders as the examples use. It declares what it has:
// the examples are compiled, and not run.
namespace stdexec {
struct sender_tag {};
struct receiver_tag {};
struct operation_state_tag {};
struct set_value_t {};
struct set_error_t {};
struct set_stopped_t {};
template <class... Signatures>
struct completion_signatures {};
template <class S, class Env>
using completion_signatures_of_t = typename S::completion_signatures;
struct connect_t {
  template <class S, class Receiver>
  auto operator()(S&& sender, Receiver receiver) const {
    return std::forward<S>(sender).connect(std::move(receiver));
  }
};
inline constexpr connect_t connect;
struct start_t {
  template <class Operation>
  void operator()(Operation& operation) const noexcept {
    operation.start();
  }
};
inline constexpr start_t start;
struct get_env_t {
  template <class Receiver>
  auto operator()(const Receiver& receiver) const noexcept {
    return receiver.get_env();
  }
};
inline constexpr get_env_t get_env;
struct never_stop_token {
  template <class F>
  struct callback_type {
    callback_type(never_stop_token, const F&) {}
  };
};
struct get_stop_token_t {
  template <class Env>
  never_stop_token operator()(const Env& env) const;
};
inline constexpr get_stop_token_t get_stop_token;

// A sender of a V.
template <class V>
struct SenderOf {
  using sender_concept = sender_tag;
  using completion_signatures =
      stdexec::completion_signatures<set_value_t(V), set_stopped_t()>;
  struct Operation {
    void start() & noexcept;
  };
  template <class Receiver>
  Operation connect(Receiver receiver) &&;
};
struct Scheduler {};
SenderOf<std::tuple<>> schedule(Scheduler scheduler);
template <class Fn>
struct Then {
  Fn fn;
};
template <class Fn>
Then<Fn> then(Fn fn) {
  return {fn};
}
template <class V, class Fn>
SenderOf<std::invoke_result_t<Fn>> operator|(SenderOf<V>, Then<Fn>) {
  return {};
}
struct WhenAll {};
template <class A, class B>
WhenAll when_all(A, B) {
  return {};
}
std::optional<std::tuple<int, Page>> sync_wait(WhenAll all);
}  // namespace stdexec

struct Pool {
  stdexec::Scheduler get_scheduler();
};

// EXAMPLE greenback/senders/sender.h 4

// EXAMPLE greenback/senders/sender.h 1
greenback::Co<void> Native(Pool& pool, Key key) {
  // EXAMPLE greenback/senders/sender.h 2
}
void Synchronous(Pool& pool, Key key) {
  // EXAMPLE greenback/senders/sender.h 3
}

// EXAMPLE greenback/senders/as_sender.h 1
void Both(Pool& pool, Key key) {
  // EXAMPLE greenback/senders/as_sender.h 2
}
