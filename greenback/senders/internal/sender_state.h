// SenderState: a sender's operation while it is awaited, and its result.
// Internal to sender.h.
//
// P2300 forbids to destroy an operation between its start and its completion.
// So the state is on the heap, and outlives an awaiter that is destroyed
// meanwhile: then a stop is requested, and the completion destroys the state.
//
// Threads: the operation may complete on any thread, also while a stop is being
// requested. Its completion races with the awaiter's Suspend() or Leave().
#ifndef GREENBACK_SENDERS_INTERNAL_SENDER_STATE_H_
#define GREENBACK_SENDERS_INTERNAL_SENDER_STATE_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

#include "greenback/host/suspend_race.h"
#include "greenback/internal/outcome.h"
#include "greenback/senders/internal/sender_traits.h"
#include "greenback/senders/internal/stop_token.h"

namespace greenback::internal {

// All of it that depends on no type.
class SenderStateBase {
 public:
  SenderStateBase(const SenderStateBase&) = delete;
  SenderStateBase& operator=(const SenderStateBase&) = delete;

  // For the awaiter.

  // Before the start: `handle` is resumed when the operation completes.
  void Suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    race_.SuspendUnshared();
  }
  // May complete the operation, and so resume and destroy the awaiter, before
  // it returns.
  void RequestStop() noexcept;
  // The awaiter is destroyed, and does not touch this any more. If the
  // operation has been started and not completed, a stop is requested.
  void Leave() noexcept;

  bool is_completed() const {
    return race_.state() == SuspendRace::State::kCompleted;
  }

  // For the receiver.

  StopToken stop_token() const { return StopToken(stop_source_.get_token()); }

 protected:
  SenderStateBase() = default;
  virtual ~SenderStateBase() = default;

  // The result is set. This may be destroyed before it returns.
  void Complete() noexcept;

 private:
  void Release() noexcept;

  SuspendRace race_;
  std::coroutine_handle<> handle_;
  std::stop_source stop_source_;
  // The awaiter, or the operation after Leave(); and those that request a stop.
  std::atomic<uint32_t> owners_{1};
};

// Prints that a sender has completed with an error, and aborts: there are no
// exceptions.
[[noreturn]] void DieOfSenderError();

// The result of a sender whose values are `Values`, a ValueTuples.
template <class Values>
class SenderResult : public SenderStateBase {
 public:
  using Result = typename Values::Result;

  // For the awaiter, once the operation has completed.

  bool is_stopped() const { return end_ == End::kStopped; }
  // Returns the value or throws the error.
  Result Take() {
    if (end_ == End::kError) [[unlikely]]
      DieOfSenderError();
    return outcome_.Take();
  }

  // For the receiver.

  template <class... Args>
  void SetValue(Args&&... args) noexcept {
    outcome_.Run(
        [&]() -> Result { return Values::Make(std::forward<Args>(args)...); });
    Complete();
  }
  template <class E>
  void SetError(E&& error) noexcept {
#if defined(__cpp_exceptions)
    using Error = std::remove_cvref_t<E>;
    if constexpr (std::is_same_v<Error, std::exception_ptr>) {
      outcome_.SetError(std::forward<E>(error));
    } else if constexpr (std::is_same_v<Error, std::error_code>) {
      outcome_.SetError(std::make_exception_ptr(std::system_error(error)));
    } else {
      outcome_.SetError(
          std::make_exception_ptr<std::decay_t<E>>(std::forward<E>(error)));
    }
#else
    static_cast<void>(error);
    end_ = End::kError;
#endif
    Complete();
  }
  void SetStopped() noexcept {
    end_ = End::kStopped;
    Complete();
  }

 private:
  // kError: without exceptions. Otherwise outcome_ has the error.
  enum class End : uint8_t { kOutcome, kStopped, kError };

  Outcome<Result> outcome_;
  End end_ = End::kOutcome;
};

// The environment of the receiver. Answers every library's query for the stop
// token.
template <class Library>
class SenderEnv {
 public:
  explicit SenderEnv(StopToken token) : token_(std::move(token)) {}

  StopToken get_stop_token() const noexcept { return token_; }
  template <class Query>
    requires kAsksForStopToken<Library, Query>
  StopToken query(const Query&) const noexcept {
    return token_;
  }

 private:
  StopToken token_;
};

// The receiver that a sender is connected to. (Not final: some libraries refuse
// that.)
template <class Library, class Values>
class SenderReceiver {
 public:
  using receiver_concept = typename ReceiverConcept<Library>::type;

  explicit SenderReceiver(SenderResult<Values>& result) : result_(&result) {}

  template <class... Args>
  void set_value(Args&&... args) noexcept {
    result_->SetValue(std::forward<Args>(args)...);
  }
  template <class E>
  void set_error(E&& error) noexcept {
    result_->SetError(std::forward<E>(error));
  }
  void set_stopped() noexcept { result_->SetStopped(); }
  SenderEnv<Library> get_env() const noexcept {
    return SenderEnv<Library>(result_->stop_token());
  }

 private:
  SenderResult<Values>* result_;
};

// What a sender that is awaited as a T, and its state, have to know.
template <class T>
struct SenderTraits {
  using Library = LibraryOf<T>;
  using Signatures = SignaturesOf<T, SenderEnv<Library>>;
  using Values = typename Signatures::Values;
  using Result = typename Values::Result;
  using Receiver = SenderReceiver<Library, Values>;
};

template <class T>
class SenderState final
    : public SenderResult<typename SenderTraits<T>::Values> {
 public:
  using Receiver = typename SenderTraits<T>::Receiver;

  explicit SenderState(T&& sender)
      : operation_(ConnectSender(std::forward<T>(sender), Receiver(*this))) {}

  void Start() noexcept { StartOperation<LibraryOf<T>>(operation_); }

 private:
  OperationOf<T, Receiver> operation_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_SENDER_STATE_H_
