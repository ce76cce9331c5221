// Boost.Asio's operations as awaitables: whatever an asynchronous function of
// Asio gives for the completion token `deferred` or `as_tuple(deferred)`.
//
//   using boost::asio::deferred;
//
//   greenback::Co<std::string> ReadLine(boost::asio::ip::tcp::socket& socket) {
//     std::string text;
//     co_await boost::asio::async_read_until(
//         socket, boost::asio::dynamic_buffer(text), '\n', deferred);
//     co_return text;
//   }
//
//   // The same below a function that cannot be a coroutine, through a portal.
//   int SocketStreambuf::sync() {
//     auto [error, written] = greenback::Await(boost::asio::async_write(
//         socket_, boost::asio::buffer(text_), as_tuple(deferred)));
//     ...
//   }
//
// Include this header, and `co_await` and Await() take them: sockets, timers,
// signals, pipes, resolvers, post(), composed operations, chains made with
// `op | deferred(fn)`, and experimental::make_parallel_group(), which is how to
// write `timeout || operation`. run_executor.h tells what to make I/O objects
// on. In a coroutine of Asio's own (boost::asio::awaitable) use Asio's tokens;
// there this is for Await().
//
// Result: what a coroutine of Asio's gets for `use_awaitable`. Of (error_code,
// T...) or (exception_ptr, T...): nothing, the T, or a std::tuple<T...>, and
// the error is thrown (an error_code as boost::system::system_error). Of any
// other completion signature: its values, likewise. With as_tuple(deferred):
// the tuple, and nothing is thrown; without exceptions that is the token to
// use, since an error of plain `deferred` then prints a message and aborts.
//
// Suspends: until the operation has completed; not at all if it completes
// inside its initiation, as deferred.values() does and no I/O.
// Cancellation: a cancellation point. When the task's cancel scope is
// cancelled, before or during the operation, Asio's `cancellation_type::all` is
// emitted to it, and the wait goes on until it has ended. If it then reports
// `operation_aborted`, that comes out as any other error would, and the scope's
// cancelled_caught() is true. An operation that had succeeded, or cannot be
// called off, gives its result; so does one that Asio has no memory to call
// off. A chain is called off at the link that is under way; what `fn` starts
// next is its own affair. Threads: in a task of a run, the handler is bound to
// the run's thread. So the operation may belong to another io_context or a
// thread_pool: its end, and each step of a composed operation, comes to the
// run's thread, and there the cancellation is emitted, which is safe for all of
// Asio's I/O objects. (Not for what runs its steps elsewhere all the same: a
// handler that the program has bound with bind_executor(), or the members of a
// parallel_group on other threads when they are composed operations. Cancelling
// these is a data race in Asio; make their I/O objects on RunExecutor().) In a
// task of Asio's (portal.h) the same holds of the coroutine's executor. In
// other coroutines the handler has no executor of its own and runs where the
// I/O object's executor says. Resumed by: the task's host, on the task's
// thread. Ownership: an operation that is awaited as an rvalue is moved from;
// an lvalue is copied, and can be awaited again. I/O objects and buffers must
// live until the wait has ended. One small allocation for each operation,
// besides Asio's own. Errors: what the initiation throws comes out at the
// await. A handler that is destroyed without being called (its io_context is
// gone) counts as an error operation_aborted, also for signatures without an
// error. When the awaiting coroutine is destroyed first, the operation goes on
// and its result is dropped.
#ifndef GREENBACK_ASIO_OPERATION_H_
#define GREENBACK_ASIO_OPERATION_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/system/error_code.hpp>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "greenback/abandoned.h"
#include "greenback/awaitable.h"
#include "greenback/host/callee_promise.h"
#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"
#include "greenback/internal/in_place.h"
#include "greenback/runtime/run_io.h"

namespace greenback {
namespace internal {

class AsioTask;

// What is to be awaited as an operation. deferred(fn) alone is none, and cannot
// even be asked.
template <class T>
inline constexpr bool kIsDeferredFunction = false;
template <class Fn>
inline constexpr bool kIsDeferredFunction<boost::asio::deferred_function<Fn>> =
    true;
template <class T>
concept AsioOperation =
    boost::asio::is_deferred<T>::value && !kIsDeferredFunction<T> &&
    boost::asio::is_async_operation<T>::value;

// ---------------------------------------------------------------- the handler

// Who waits for something of Asio's, and which comes first: that it suspends,
// or that what it waits for ends.
class AsioWaiter {
 public:
  // A coroutine, or (otherwise null) the fiber at `point`, which knows by
  // itself when it fires before it is parked.
  AsioWaiter(std::coroutine_handle<> coroutine, ParkPoint* point)
      : coroutine_(coroutine),
        point_(point),
        phase_(point != nullptr ? Phase::kSuspended : Phase::kStarting) {}
  AsioWaiter(const AsioWaiter&) = delete;
  AsioWaiter& operator=(const AsioWaiter&) = delete;

  // False: what it waits for has ended already.
  bool Suspend() {
    return point_ != nullptr || Advance(Phase::kStarting, Phase::kSuspended);
  }
  // It waits no more. False: what it waited for has ended already.
  bool Leave() { return Advance(Phase::kSuspended, Phase::kLeft); }

  // What it waits for has ended: it goes on, and this may be gone. True: it has
  // left.
  bool End();
  bool ended() const {
    return phase_.load(std::memory_order_acquire) == Phase::kEnded;
  }

 private:
  enum class Phase : uint8_t { kStarting, kSuspended, kLeft, kEnded };

  bool Advance(Phase from, Phase to) {
    return phase_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  const std::coroutine_handle<> coroutine_;
  ParkPoint* const point_;
  std::atomic<Phase> phase_;
};

// What an operation that is under way and who awaits it have in common. Owned
// by the awaiter, and by the handler when there is no awaiter any more.
class AsioWaitState : public AsioWaiter {
 public:
  // The task that waits is a run's, or one of Asio's; without a task there is
  // neither.
  AsioWaitState(std::coroutine_handle<> coroutine, ParkPoint* point, RunIo run,
                const AsioTask* asio_task)
      : AsioWaiter(coroutine, point), run_(run), asio_task_(asio_task) {}

  // Where the handler is to run, of an operation that would do it at
  // `candidate`.
  boost::asio::any_io_executor ExecutorFor(
      const boost::asio::any_io_executor& candidate) const;
  // Has Asio call the operation off. In a run it may do so later: what it has
  // put into the signal then emits from a handler, and does not keep the
  // signal.
  void Emit();
  boost::asio::cancellation_signal& signal() { return signal_; }

  // `state` goes, when nothing of what Emit() has begun refers to it.
  template <class State>
  static void Delete(State* state) {
    if (!state->emits_later_) [[likely]] {
      delete state;
    } else {
      state->DeleteLater(
          [](AsioWaitState* later) { delete static_cast<State*>(later); });
    }
  }

 private:
  struct Deletion : PostedLast {
    AsioWaitState* state;
    void (*destroy)(AsioWaitState* state);
  };

  void DeleteLater(void (*destroy)(AsioWaitState* state));

  boost::asio::cancellation_signal signal_;
  Deletion deletion_;
  bool emits_later_ = false;
  const RunIo run_;
  const AsioTask* const asio_task_;
};

template <class Signature>
class AsioHandler;

template <class R, class... Args>
class AsioHandler<R(Args...)> {
 public:
  using Results = std::tuple<std::decay_t<Args>...>;
  struct State final : AsioWaitState {
    using AsioWaitState::AsioWaitState;
    // From what Asio keeps for the operations of its threads.
    static void* operator new(size_t) {
      return boost::asio::recycling_allocator<State>().allocate(1);
    }
    static void operator delete(void* state) {
      boost::asio::recycling_allocator<State>().deallocate(
          static_cast<State*>(state), 1);
    }
    std::optional<Results> results;  // empty: never called
    std::exception_ptr error;        // of keeping the results
  };

  explicit AsioHandler(State* state) : state_(state) {}
  AsioHandler(AsioHandler&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  ~AsioHandler() {
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
  const AsioWaitState& state() const { return *state_; }

 private:
  void End() {
    State* const state = std::exchange(state_, nullptr);
    if (state->End()) AsioWaitState::Delete(state);
  }

  State* state_;
};

// ----------------------------------------------------------------- the result

[[noreturn]] void ThrowAsioError(const boost::system::error_code& error);
[[noreturn]] void ThrowAsioAbandoned();

template <class... Values>
auto AsioValues(std::tuple<Values...> values) {
  if constexpr (sizeof...(Values) == 1) {
    return std::get<0>(std::move(values));
  } else if constexpr (sizeof...(Values) > 1) {
    return values;
  }
}

// What awaiting gives for the arguments of the handler.
template <class... Values>
auto AsioResult(std::tuple<Values...> results) {
  return AsioValues(std::move(results));
}
template <class... Values>
auto AsioResult(std::tuple<boost::system::error_code, Values...> results) {
  if (std::get<0>(results)) ThrowAsioError(std::get<0>(results));
  return std::apply(
      [](auto&, Values&... values) {
        return AsioValues(std::tuple<Values...>(std::move(values)...));
      },
      results);
}
template <class... Values>
auto AsioResult(std::tuple<std::exception_ptr, Values...> results) {
  if (std::get<0>(results)) std::rethrow_exception(std::get<0>(results));
  return std::apply(
      [](auto&, Values&... values) {
        return AsioValues(std::tuple<Values...>(std::move(values)...));
      },
      results);
}

// Whether the arguments of a handler say operation_aborted, anywhere.
bool ReportsAbort(const boost::system::error_code& error);
bool ReportsAbort(const std::exception_ptr& error);
template <class T>
bool ReportsAbort(const T& results) {
  if constexpr (requires { std::tuple_size<T>::value; }) {
    return std::apply(
        [](const auto&... result) { return (ReportsAbort(result) || ...); },
        results);
  } else if constexpr (requires {
                         ReportsAbort(*results.begin());
                         results.end();
                       }) {
    for (const auto& result : results) {
      if (ReportsAbort(result)) return true;
    }
    return false;
  } else {
    return false;
  }
}

// The arguments of a handler that was never called.
template <class T>
inline constexpr bool kCanReportAbort = false;
template <class... Values>
inline constexpr bool
    kCanReportAbort<std::tuple<boost::system::error_code, Values...>> =
        (std::default_initializable<Values> && ...);
template <class... Values>
inline constexpr bool kCanReportAbort<std::tuple<std::tuple<Values...>>> =
    kCanReportAbort<std::tuple<Values...>>;

template <class Results>
Results AbandonedResults() {
  if constexpr (kCanReportAbort<Results>) {
    Results results{};
    auto& first = std::get<0>(results);
    using First = std::remove_reference_t<decltype(first)>;
    if constexpr (kCanReportAbort<First>) {
      first = AbandonedResults<First>();  // as_tuple
    } else {
      first = boost::asio::error::operation_aborted;
    }
    return results;
  } else {
    ThrowAsioAbandoned();
  }
}

// ---------------------------------------------------------------- the awaiter

// One wait of a task for an operation: cancellation, and what its run polls.
class AsioWait final : private CancelHook {
 public:
  // For the running task, if any.
  AsioWait();
  ~AsioWait() { End(); }

  // The task's run, if it has one.
  RunIo run() const { return run_; }
  // The task, if it is one of Asio's.
  const AsioTask* asio_task() const;

  // Before and after the initiation.
  void Begin(AsioWaitState& state);
  void Initiated();
  // Then, and not before, the state may go.
  void End();

  // Whether the operation was told to stop.
  bool emitted() const { return emitted_; }
  // It has stopped because of that.
  void NoteCancelled();

 private:
  void OnCancel() override;
  void Emit();

  PortalTask* const task_;
  const RunIo run_;
  AsioWaitState* state_ = nullptr;
  bool initiated_ = false;
  bool cancelled_ = false;
  bool emitted_ = false;
};

// Operation: what is awaited, by value or by lvalue reference.
template <class Operation>
class AsioOperationAwaiter {
  using Handler = AsioHandler<
      boost::asio::completion_signature_of_t<std::remove_cvref_t<Operation>>>;
  using State = typename Handler::State;
  using Results = typename Handler::Results;

 public:
  explicit AsioOperationAwaiter(Operation&& operation)
      : operation_(std::forward<Operation>(operation)) {}
  AsioOperationAwaiter(const AsioOperationAwaiter&) = delete;
  AsioOperationAwaiter& operator=(const AsioOperationAwaiter&) = delete;
  ~AsioOperationAwaiter() {
    if (state_ == nullptr) return;
    wait_.reset();
    State* const state = state_.release();
    // Else it is the handler's from now on.
    if (!state->Leave()) AsioWaitState::Delete(state);
  }

  bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> waiter) {
    return Start(waiter, nullptr);
  }
  bool await_park(ParkPoint& point) { return Start(nullptr, &point); }

  auto await_resume() {
    wait_->End();
    if (initiation_error_) std::rethrow_exception(initiation_error_);
    if (state_->error) std::rethrow_exception(state_->error);
    Results results = state_->results ? *std::move(state_->results)
                                      : AbandonedResults<Results>();
    if (wait_->emitted() && ReportsAbort(results)) wait_->NoteCancelled();
    return AsioResult(std::move(results));
  }

 private:
  // Never throws what the initiation throws: the operation may be under way
  // nevertheless, and then it has to be waited for. Not inlined: Asio reads
  // thread-locals in there, and whoever awaits may go on on another thread.
  __attribute__((noinline)) bool Start(std::coroutine_handle<> waiter,
                                       ParkPoint* point) {
    wait_.emplace();
    state_ = std::make_unique<State>(waiter, point, wait_->run(),
                                     wait_->asio_task());
    GREENBACK_TRY {
      // It ends the wait when nothing calls it, also when Begin() throws.
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
  std::optional<AsioWait> wait_;  // goes before the state
  std::exception_ptr initiation_error_;
};

// A post() to nowhere else is a checkpoint. In a task of Asio's it needs no
// handler, no cancellation and no executor without a type; and below an Await()
// it is posted when that has parked, so that it goes on there, on its stack.
using AsioPost = decltype(boost::asio::post(boost::asio::deferred));

class AsioPostAwaiter : private StartWhenParked {
 public:
  static constexpr bool kGreenbackHomeAwaiter = true;

  explicit AsioPostAwaiter(AsioPost post) : post_(std::move(post)) {}
  AsioPostAwaiter(const AsioPostAwaiter&) = delete;
  AsioPostAwaiter& operator=(const AsioPostAwaiter&) = delete;
  __attribute__((noinline)) ~AsioPostAwaiter() = default;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiter) {
    if constexpr (std::derived_from<Promise, CalleePromise>) {
      ParkPoint* const root = waiter.promise().root();
      if (root != nullptr && PostWhenParked(*root)) {
        root->below = ResumeAddress;
        root->below_argument = waiter.address();
        return std::noop_coroutine();
      }
    }
    node_.handle = waiter;
    return Post() ? std::noop_coroutine() : SuspendElsewhere(waiter);
  }
  bool await_park(ParkPoint& point) {
    return PostWhenParked(point) || ParkElsewhere(point);
  }
  void await_resume() {
    if (has_more_) [[unlikely]]
      ResumeWithMore();
  }

 private:
  using Operation = AsioOperationAwaiter<AsioPost>;

  // False: not in a task of Asio's (or, at a point, not on its stack).
  bool Post();
  bool PostWhenParked(ParkPoint& point);
  // There it is an operation like others. Not inlined, nor is the destructor:
  // all of this would find itself in every function that calls Await().
  std::coroutine_handle<> SuspendElsewhere(std::coroutine_handle<> waiter);
  bool ParkElsewhere(ParkPoint& point);
  void ResumeWithMore();

  AsioPost post_;
  ReadyNode node_;
  // One of these is there.
  bool has_more_ = false;
  std::exception_ptr error_;
  InPlace<Operation> operation_;
  InPlace<ForeignAwaiter<Operation&>> elsewhere_;
};

}  // namespace internal

// Of as_tuple(deferred), in a destructor while its task is abandoned.
template <>
struct AbandonedValue<boost::system::error_code> {
  static boost::system::error_code Make() {
    return boost::asio::error::operation_aborted;
  }
};

template <>
struct AwaitableAdapter<internal::AsioPost> {
  static auto Adapt(const internal::AsioPost& post) {
    return internal::AsioPostAwaiter(post);
  }
};

template <internal::AsioOperation T>
struct AwaitableAdapter<T> {
  static auto Adapt(T& operation) {
    return internal::AsioOperationAwaiter<T&>(operation);
  }
  static auto Adapt(const T& operation) {
    return internal::AsioOperationAwaiter<const T&>(operation);
  }
  static auto Adapt(T&& operation) {
    return internal::AsioOperationAwaiter<T>(std::move(operation));
  }
};

}  // namespace greenback

// The executor of a handler: the home of who awaits, or else the operation's.
template <class Signature, class Candidate>
struct boost::asio::associated_executor<
    greenback::internal::AsioHandler<Signature>, Candidate> {
  using type =
      std::conditional_t<std::is_convertible_v<Candidate, any_io_executor>,
                         any_io_executor, Candidate>;
  static type get(const greenback::internal::AsioHandler<Signature>& handler,
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

#endif  // GREENBACK_ASIO_OPERATION_H_
