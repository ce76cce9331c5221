// OperationAwaiter: awaits an operation of Boost.Asio's. Internal to
// operation.h.
#ifndef GREENBACK_ASIO_INTERNAL_OPERATION_AWAITER_H_
#define GREENBACK_ASIO_INTERNAL_OPERATION_AWAITER_H_

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/operation_result.h"
#include "greenback/asio/internal/operation_wait.h"
#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

// What can be awaited as an operation. deferred(fn) alone cannot, and
// is_async_operation does not even compile for it.
template <class T>
inline constexpr bool kIsDeferredFunction = false;
template <class Fn>
inline constexpr bool kIsDeferredFunction<boost::asio::deferred_function<Fn>> =
    true;
template <class T>
concept DeferredOperation =
    boost::asio::is_deferred<T>::value && !kIsDeferredFunction<T> &&
    boost::asio::is_async_operation<T>::value;

// `Operation` is an operation, which is kept, or an lvalue reference to one.
template <class Operation>
class OperationAwaiter {
  using Handler = OperationHandler<
      boost::asio::completion_signature_of_t<std::remove_cvref_t<Operation>>>;
  using State = typename Handler::State;
  using Results = typename Handler::Results;

 public:
  explicit OperationAwaiter(Operation&& operation)
      : operation_(std::forward<Operation>(operation)) {}
  OperationAwaiter(const OperationAwaiter&) = delete;
  OperationAwaiter& operator=(const OperationAwaiter&) = delete;
  ~OperationAwaiter() {
    if (state_ == nullptr) return;
    wait_.reset();
    State* const state = state_.release();
    // If the operation has not completed, its handler owns the state from now
    // on.
    if (!state->Leave()) WaitState::Delete(state);
  }

  bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> coroutine) {
    return Start(coroutine, nullptr);
  }
  bool await_park(FiberWaiter& waiter) { return Start(nullptr, &waiter); }

  auto await_resume() {
    wait_->End();
    if (initiation_error_) std::rethrow_exception(initiation_error_);
    if (state_->error) std::rethrow_exception(state_->error);
    Results results = state_->results ? *std::move(state_->results)
                                      : DroppedResults<Results>();
    if (wait_->emitted() && ReportsAbort(results)) wait_->NoteCancelled();
    return ResultOf(std::move(results));
  }

 private:
  // Keeps an exception of the initiation until await_resume(): the operation
  // may be under way nevertheless, and then the awaiter has to wait for it. Not
  // inlined, because Asio reads thread-locals in the initiation, and the caller
  // may continue on another thread.
  __attribute__((noinline)) bool Start(std::coroutine_handle<> coroutine,
                                       FiberWaiter* waiter) {
    wait_.emplace();
    state_ = std::make_unique<State>(coroutine, waiter, wait_->io(),
                                     wait_->coroutine_task());
    GREENBACK_TRY {
      // The handler ends the wait when it is destroyed without being called,
      // also if Begin() throws.
      Handler handler(state_.get());
      wait_->Begin(*state_);
      std::forward<Operation>(operation_)(std::move(handler));
    }
    GREENBACK_CATCH_ALL { initiation_error_ = std::current_exception(); }
    wait_->Initiated();
    return state_->Suspend();
  }

  Operation operation_;
  std::unique_ptr<State> state_;
  std::optional<OperationWait> wait_;  // destroyed before the state
  std::exception_ptr initiation_error_;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_OPERATION_AWAITER_H_
