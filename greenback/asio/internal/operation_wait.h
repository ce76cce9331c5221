// One wait for an operation of Boost.Asio's: the handler that Asio calls, the
// state that it shares with the awaiter, and cancellation. Internal to
// operation.h.
#ifndef GREENBACK_ASIO_INTERNAL_OPERATION_WAIT_H_
#define GREENBACK_ASIO_INTERNAL_OPERATION_WAIT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/coroutine_task.h"
#include "greenback/host/host_io.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/suspend_race.h"
#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

using ::greenback::internal::HostIo;
using ::greenback::internal::PostedLast;
using ::greenback::internal::SuspendRace;

// Emits `type`, unless there is no memory for that. Then this operation is not
// cancelled, and the others that are cancelled along with it are.
void EmitIfMemory(boost::asio::cancellation_signal& signal,
                  boost::asio::cancellation_type type);

// A coroutine or a fiber that waits for an operation. The waiter suspends, and
// the operation completes: whichever comes second resumes the waiter.
class OperationWaiter {
 public:
  // Exactly one of the two is not null. A fiber counts as suspended from the
  // start, because it notices by itself if it is woken before it is parked.
  OperationWaiter(std::coroutine_handle<> coroutine, FiberWaiter* waiter)
      : coroutine_(coroutine),
        waiter_(waiter),
        race_(waiter != nullptr ? SuspendRace::State::kSuspended
                                : SuspendRace::State::kStarting) {}
  OperationWaiter(const OperationWaiter&) = delete;
  OperationWaiter& operator=(const OperationWaiter&) = delete;

  // The waiter suspends. False: the operation has completed already, and the
  // waiter continues.
  bool Suspend() { return waiter_ != nullptr || race_.Suspend(); }
  // The waiter is destroyed. False: the operation has completed already.
  bool Leave() { return race_.Leave(); }

  // The operation has completed: resumes the waiter, which may destroy this
  // object. True: the waiter has left before.
  bool Complete();
  bool completed() const {
    return race_.state() == SuspendRace::State::kCompleted;
  }

 private:
  const std::coroutine_handle<> coroutine_;
  FiberWaiter* const waiter_;
  SuspendRace race_;
};

// What an operation that is under way and its awaiter share. Owned by the
// awaiter, and by the handler after the awaiter is destroyed.
class WaitState : public OperationWaiter {
 public:
  // `io` is that of the waiting task's host, and `task` is the waiting task, if
  // it is one of Asio's. A coroutine in no task has neither.
  WaitState(std::coroutine_handle<> coroutine, FiberWaiter* waiter, HostIo* io,
            const CoroutineTask* task)
      : OperationWaiter(coroutine, waiter), io_(io), task_(task) {}

  // The executor on which the handler is to run. `candidate` is the one on
  // which the operation would run it by itself.
  boost::asio::any_io_executor ExecutorFor(
      const boost::asio::any_io_executor& candidate) const;
  // Asks Asio to cancel the operation. With a HostIo it may do so later: the
  // function that it has put into the signal then emits in a handler, and does
  // not keep the signal alive.
  void Emit();
  boost::asio::cancellation_signal& signal() { return signal_; }

  // Destroys `state`, once nothing that Emit() has begun refers to it.
  template <class State>
  static void Delete(State* state) {
    if (!state->emits_later_) [[likely]] {
      delete state;
    } else {
      state->DeleteLater(
          [](WaitState* later) { delete static_cast<State*>(later); });
    }
  }

 private:
  struct Deletion : PostedLast {
    WaitState* state;
    void (*destroy)(WaitState* state);
  };

  void DeleteLater(void (*destroy)(WaitState* state));

  boost::asio::cancellation_signal signal_;
  Deletion deletion_;
  bool emits_later_ = false;
  HostIo* const io_;
  const CoroutineTask* const task_;
};

// The completion handler of an operation with the completion signature
// `Signature`.
template <class Signature>
class OperationHandler;

template <class R, class... Args>
class OperationHandler<R(Args...)> {
 public:
  using Results = std::tuple<std::decay_t<Args>...>;
  struct State final : WaitState {
    using WaitState::WaitState;
    // From the memory that Asio recycles for the operations of its threads.
    static void* operator new(size_t) {
      return boost::asio::recycling_allocator<State>().allocate(1);
    }
    static void operator delete(void* state) {
      boost::asio::recycling_allocator<State>().deallocate(
          static_cast<State*>(state), 1);
    }
    std::optional<Results> results;  // empty if the handler was not called
    std::exception_ptr error;        // thrown while the results were stored
  };

  explicit OperationHandler(State* state) : state_(state) {}
  OperationHandler(OperationHandler&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  ~OperationHandler() {
    if (state_ != nullptr) End();
  }

  void operator()(Args... args) {
    GREENBACK_TRY { state_->results.emplace(std::forward<Args>(args)...); }
    GREENBACK_CATCH_ALL { state_->error = std::current_exception(); }
    End();
  }

  using cancellation_slot_type = boost::asio::cancellation_slot;
  cancellation_slot_type get_cancellation_slot() const noexcept {
    return state_->signal().slot();
  }
  const WaitState& state() const { return *state_; }

 private:
  void End() {
    State* const state = std::exchange(state_, nullptr);
    if (state->Complete()) WaitState::Delete(state);
  }

  State* state_;
};

// One wait of a task for an operation: cancels the operation along with the
// task, and has the task's host poll meanwhile.
class OperationWait final : private CancelHook {
 public:
  // For the running task, if there is one.
  OperationWait();
  ~OperationWait() { End(); }

  // That of the task's host, or null.
  HostIo* io() const { return io_; }
  // The task, if it is one of Asio's.
  const CoroutineTask* coroutine_task() const;

  // Called before and after the initiation.
  void Begin(WaitState& state);
  void Initiated();
  // Ends the wait. The state must live until then.
  void End();

  // Whether the operation was asked to stop.
  bool emitted() const { return emitted_; }
  // Called if the operation has stopped for that reason.
  void NoteCancelled();

 private:
  void OnCancel() override;
  void Emit();

  PortalTask* const task_;
  HostIo* const io_;
  WaitState* state_ = nullptr;
  bool initiated_ = false;
  bool cancelled_ = false;
  bool emitted_ = false;
};

}  // namespace greenback::asio::internal

// The executor of a handler is where the waiting task runs, or otherwise the
// operation's own.
template <class Signature, class Candidate>
struct boost::asio::associated_executor<
    greenback::asio::internal::OperationHandler<Signature>, Candidate> {
  using type =
      std::conditional_t<std::is_convertible_v<Candidate, any_io_executor>,
                         any_io_executor, Candidate>;
  static type get(
      const greenback::asio::internal::OperationHandler<Signature>& handler,
      const Candidate& candidate = Candidate()) noexcept {
    if constexpr (std::is_convertible_v<Candidate, any_io_executor>) {
      return handler.state().ExecutorFor(candidate);
    } else if constexpr (std::is_convertible_v<any_io_executor, Candidate>) {
      any_io_executor home = handler.state().ExecutorFor(any_io_executor());
      return home ? Candidate(std::move(home)) : candidate;
    } else {
      return candidate;
    }
  }
};

#endif  // GREENBACK_ASIO_INTERNAL_OPERATION_WAIT_H_
