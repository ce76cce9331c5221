// A small library of senders, in the style of P2300, for tests: `demo`. It is
// as strict as the libraries that users have: its tags call what a receiver
// has, and nothing else.
#ifndef GREENBACK_SENDERS_SENDERS_FOR_TEST_H_
#define GREENBACK_SENDERS_SENDERS_FOR_TEST_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/senders/internal/stop_token.h"

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

// Completes at once with `Tag` and the values.
template <class Tag, class... Vs>
struct Just {
  using sender_concept = sender_tag;
  using completion_signatures = demo::completion_signatures<Tag(Vs...)>;

  template <class R>
  struct Operation {
    using operation_state_concept = operation_state_tag;
    R receiver;
    std::tuple<Vs...> values;
    Counted counted;
    void start() & noexcept {
      std::apply(
          [this](Vs&... vs) { Tag()(std::move(receiver), std::move(vs)...); },
          values);
    }
  };
  template <class R>
  Operation<R> connect(R receiver) && {
    return {std::move(receiver), std::move(values), {}};
  }
  template <class R>
  Operation<R> connect(R receiver) const& {
    return {std::move(receiver), values, {}};
  }

  std::tuple<Vs...> values;
};
template <class... Vs>
Just<set_value_t, Vs...> just(Vs... vs) {
  return {{std::move(vs)...}};
}
template <class E>
Just<set_error_t, E> just_error(E e) {
  return {{std::move(e)}};
}
inline Just<set_stopped_t> just_stopped() { return {}; }

// Completes with an int, with an int and a bool, or without a value. Its
// signatures are those of C++26: a function.
struct Variety {
  using sender_concept = sender_tag;
  template <class Self, class... Env>
  static consteval auto get_completion_signatures() {
    return completion_signatures<set_value_t(int), set_value_t(int, bool),
                                 set_value_t(), set_value_t(const int&)>();
  }
  template <class R>
  struct Operation {
    R receiver;
    int values;
    void start() noexcept {
      if (values == 0) set_value_t()(std::move(receiver));
      if (values == 1) set_value_t()(std::move(receiver), 1);
      if (values == 2) set_value_t()(std::move(receiver), 2, true);
    }
  };
  template <class R>
  Operation<R> connect(R receiver) && {
    return {std::move(receiver), values};
  }
  int values;
};

// Is stopped at once, and might have completed with a V.
template <class V>
struct StoppedInsteadOf {
  using sender_concept = sender_tag;
  using completion_signatures =
      demo::completion_signatures<set_value_t(V), set_stopped_t()>;
  template <class R>
  auto connect(R receiver) && {
    return just_stopped().connect(std::move(receiver));
  }
};

// Completes when the test says so. Records whether a stop was requested.
template <class... Vs>
class Manual {
 public:
  struct Sender {
    using sender_concept = sender_tag;
    // That of C++26 before signatures were functions without arguments.
    template <class Env>
    completion_signatures<set_value_t(Vs...), set_error_t(int), set_stopped_t()>
    get_completion_signatures(const Env&) const {
      return {};
    }
    template <class R>
    auto connect(R receiver) && {
      return Operation<R>(manual, std::move(receiver));
    }
    Manual& manual;
  };
  Sender sender() { return {*this}; }

  bool is_started() const { return base_ != nullptr; }
  int stops() const { return stops_; }
  // With what it answers a request; it may complete it.
  std::function<void()> on_stop;

  void SetValue(Vs... vs) {
    std::exchange(base_, nullptr)->SetValue(std::move(vs)...);
  }
  void SetError(int error) { std::exchange(base_, nullptr)->SetError(error); }
  void SetStopped() { std::exchange(base_, nullptr)->SetStopped(); }

 private:
  struct Base {
    virtual void SetValue(Vs... vs) = 0;
    virtual void SetError(int error) = 0;
    virtual void SetStopped() = 0;
  };

  template <class R>
  class Operation final : private Base {
   public:
    using operation_state_concept = operation_state_tag;
    Operation(Manual& manual, R receiver)
        : manual_(manual), receiver_(std::move(receiver)) {}
    void start() noexcept {
      manual_.base_ = this;
      on_stop_.emplace(get_stop_token(receiver_.get_env()), OnStop{manual_});
    }

   private:
    struct OnStop {
      Manual& manual;
      void operator()() const {
        ++manual.stops_;
        // It may be replaced, or the sender destroyed, in the call.
        const auto call = manual.on_stop;
        if (call) call();
      }
    };
    void SetValue(Vs... vs) override {
      on_stop_.reset();
      set_value_t()(std::move(receiver_), std::move(vs)...);
    }
    void SetError(int error) override {
      on_stop_.reset();
      set_error_t()(std::move(receiver_), error);
    }
    void SetStopped() override {
      on_stop_.reset();
      set_stopped_t()(std::move(receiver_));
    }

    Manual& manual_;
    R receiver_;
    Counted counted_;
    std::optional<StopCallbackOf<R, OnStop>> on_stop_;
  };

  Base* base_ = nullptr;
  int stops_ = 0;
};

// A thread that calls functions in order, and is joined at its end.
class Worker {
 public:
  Worker() : thread_([this] { Serve(); }) {}
  ~Worker() {
    Post(nullptr);
    thread_.join();
  }
  void Post(std::function<void()> function) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(function));
    some_.notify_one();
  }
  std::thread::id id() const { return thread_.get_id(); }

  // schedule(): completes on this thread.
  struct Schedule {
    using sender_concept = sender_tag;
    using completion_signatures = demo::completion_signatures<set_value_t()>;
    template <class R>
    struct Operation {
      using operation_state_concept = operation_state_tag;
      Worker& worker;
      R receiver;
      void start() noexcept {
        worker.Post([this] { set_value_t()(std::move(receiver)); });
      }
    };
    template <class R>
    Operation<R> connect(R receiver) const {
      return {worker, std::move(receiver)};
    }
    Worker& worker;
  };
  Schedule schedule() { return {*this}; }

 private:
  void Serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      some_.wait(lock, [this] { return !queue_.empty(); });
      std::function<void()> function = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (function == nullptr) return;
      function();
    }
  }

  std::mutex mutex_;
  std::condition_variable some_;
  std::deque<std::function<void()>> queue_;
  std::thread thread_;
};

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

#endif  // GREENBACK_SENDERS_SENDERS_FOR_TEST_H_
