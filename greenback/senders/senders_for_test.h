// The senders of `demo` (sender_library_for_test.h): some that complete at
// once, one that completes when the test says so, and one that completes on
// another thread.
#ifndef GREENBACK_SENDERS_SENDERS_FOR_TEST_H_
#define GREENBACK_SENDERS_SENDERS_FOR_TEST_H_

#include <functional>
#include <optional>
#include <tuple>
#include <utility>

#include "greenback/senders/sender_library_for_test.h"
#include "tests/support/worker.h"

namespace demo {

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

// Completes on the thread of a worker.
struct Schedule {
  using sender_concept = sender_tag;
  using completion_signatures = demo::completion_signatures<set_value_t()>;
  template <class R>
  struct Operation {
    using operation_state_concept = operation_state_tag;
    greenback::Worker& worker;
    R receiver;
    void start() noexcept {
      worker.Post([this] { set_value_t()(std::move(receiver)); });
    }
  };
  template <class R>
  Operation<R> connect(R receiver) const {
    return {worker, std::move(receiver)};
  }
  greenback::Worker& worker;
};
inline Schedule schedule(greenback::Worker& worker) { return {worker}; }

}  // namespace demo

#endif  // GREENBACK_SENDERS_SENDERS_FOR_TEST_H_
