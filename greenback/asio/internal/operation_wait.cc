#include "greenback/asio/internal/operation_wait.h"

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace greenback::asio::internal {
namespace {

// Runs functions on the thread of a host. Unlike the executor of the host's
// io_context, it may be used by a thread that does not know when the host ends:
// the function may end it before execute() has returned, and a copy of this
// executor that another thread keeps then does the io_context no harm.
class HostThreadExecutor {
  using Blocking = boost::asio::execution::blocking_t;

 public:
  explicit HostThreadExecutor(HostIo& io, bool may_block = true)
      : io_(&io), may_block_(may_block) {}
  bool operator==(const HostThreadExecutor&) const noexcept = default;

  template <class Fn>
  void execute(Fn&& fn) const {
    if (!io_->OnThisThread()) {
      io_->Post([shared = std::make_shared<std::decay_t<Fn>>(
                     std::forward<Fn>(fn))] { std::move (*shared)(); });
    } else if (may_block_) {
      boost::asio::require(io_->context().get_executor(), Blocking::possibly)
          .execute(std::forward<Fn>(fn));
    } else {
      boost::asio::require(io_->context().get_executor(), Blocking::never)
          .execute(std::forward<Fn>(fn));
    }
  }

  boost::asio::io_context& query(
      boost::asio::execution::context_t) const noexcept {
    return io_->context();
  }
  Blocking query(Blocking) const noexcept {
    return may_block_ ? Blocking(Blocking::possibly)
                      : Blocking(Blocking::never);
  }
  HostThreadExecutor require(Blocking::possibly_t) const noexcept {
    return HostThreadExecutor(*io_, true);
  }
  HostThreadExecutor require(Blocking::never_t) const noexcept {
    return HostThreadExecutor(*io_, false);
  }

 private:
  HostIo* io_;
  bool may_block_;
};

}  // namespace

void EmitIfMemory(boost::asio::cancellation_signal& signal,
                  boost::asio::cancellation_type type) {
#if defined(__cpp_exceptions)
  try {
    signal.emit(type);
  } catch (const std::bad_alloc&) {
  }
#else
  signal.emit(type);
#endif
}

bool OperationWaiter::Complete() {
  // As soon as the race is decided, the waiter may continue and destroy this
  // object.
  const std::coroutine_handle<> coroutine = coroutine_;
  FiberWaiter* const waiter = waiter_;
  const SuspendRace::State before = race_.Complete();
  if (before == SuspendRace::State::kSuspended) {
    if (waiter != nullptr) {
      PortalAccess::Wake(*waiter);
    } else {
      coroutine.resume();
    }
  }
  return before == SuspendRace::State::kLeft;
}

boost::asio::any_io_executor WaitState::ExecutorFor(
    const boost::asio::any_io_executor& candidate) const {
  if (task_ != nullptr) return task_->executor();
  if (io_ == nullptr) return candidate;
  // The host's own I/O objects complete on its thread already, and Asio has a
  // short way for handlers that want no other executor.
  const auto* const io =
      candidate.target<boost::asio::io_context::executor_type>();
  if (io != nullptr && *io == io_->context().get_executor()) return candidate;
  return HostThreadExecutor(*io_);
}

void WaitState::Emit() {
  emits_later_ = io_ != nullptr;
  EmitIfMemory(signal_, boost::asio::cancellation_type::all);
}

void WaitState::DeleteLater(void (*destroy)(WaitState* state)) {
  // If the host has ended, nothing emits any more.
  if (HostIo::Current() != io_) return destroy(this);
  deletion_.state = this;
  deletion_.destroy = destroy;
  deletion_.run_last = [](PostedLast& last, PostedLast::End) {
    auto& deletion = static_cast<Deletion&>(last);
    deletion.destroy(deletion.state);
  };
  io_->PostLast(deletion_);
}

OperationWait::OperationWait()
    : task_(ThisThread().current_task), io_(HostIo::Of(task_)) {}

const CoroutineTask* OperationWait::coroutine_task() const {
  return CoroutineTask::From(task_);
}

void OperationWait::Begin(WaitState& state) {
  state_ = &state;
  if (io_ != nullptr) io_->OperationStarted();
  if (task_ != nullptr) {
    cancelled_ = !PortalAccess::AddCancelHook(*task_, *this);
  }
}

void OperationWait::Initiated() {
  initiated_ = true;
  if (cancelled_) Emit();
}

void OperationWait::End() {
  if (state_ == nullptr) return;
  state_ = nullptr;
  if (task_ != nullptr) PortalAccess::RemoveCancelHook(*task_, *this);
  if (io_ != nullptr) io_->OperationEnded();
}

void OperationWait::NoteCancelled() {
  // The operation's error reports it to the program, which needs no status.
  (void)PortalAccess::FinishCheckpoint(*task_);
}

void OperationWait::OnCancel() {
  cancelled_ = true;
  // Before the initiation, nothing would receive it.
  if (initiated_) Emit();
}

void OperationWait::Emit() {
  // When an operation has completed, its I/O object may have been destroyed.
  if (state_->completed()) return;
  emitted_ = true;
  state_->Emit();
}

}  // namespace greenback::asio::internal
