#include "greenback/asio/operation.h"

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <boost/system/system_error.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "greenback/asio/internal/asio_task.h"
#include "greenback/internal/exceptions.h"
#include "greenback/runtime/run_io.h"

namespace greenback::internal {
namespace {

// Runs functions on the thread of a run. Other than the executor of the run's
// io_context, it may be used by a thread that does not know when the run ends:
// what is executed may end it before execute() has returned, and whoever keeps
// a copy of the executor then does the io_context no harm.
class RunThreadExecutor {
  using Blocking = boost::asio::execution::blocking_t;

 public:
  explicit RunThreadExecutor(RunIo run, bool may_block = true)
      : run_(run), may_block_(may_block) {}
  bool operator==(const RunThreadExecutor&) const noexcept = default;

  template <class Fn>
  void execute(Fn&& fn) const {
    if (!run_.OnThisThread()) {
      run_.Post([shared = std::make_shared<std::decay_t<Fn>>(
                     std::forward<Fn>(fn))] { std::move (*shared)(); });
    } else if (may_block_) {
      boost::asio::require(run_.context().get_executor(), Blocking::possibly)
          .execute(std::forward<Fn>(fn));
    } else {
      boost::asio::require(run_.context().get_executor(), Blocking::never)
          .execute(std::forward<Fn>(fn));
    }
  }

  boost::asio::io_context& query(
      boost::asio::execution::context_t) const noexcept {
    return run_.context();
  }
  Blocking query(Blocking) const noexcept {
    return may_block_ ? Blocking(Blocking::possibly)
                      : Blocking(Blocking::never);
  }
  RunThreadExecutor require(Blocking::possibly_t) const noexcept {
    return RunThreadExecutor(run_, true);
  }
  RunThreadExecutor require(Blocking::never_t) const noexcept {
    return RunThreadExecutor(run_, false);
  }

 private:
  RunIo run_;
  bool may_block_;
};

}  // namespace

boost::asio::any_io_executor AsioWaitState::ExecutorFor(
    const boost::asio::any_io_executor& candidate) const {
  if (asio_task_ != nullptr) return asio_task_->executor();
  if (!run_) return candidate;
  // Of the run's own I/O objects: they are on its thread already, and Asio has
  // a short way for handlers that want no other executor.
  const auto* const io =
      candidate.target<boost::asio::io_context::executor_type>();
  if (io != nullptr && *io == run_.context().get_executor()) {
    return candidate;
  }
  return RunThreadExecutor(run_);
}

void AsioWaitState::Emit() {
  emits_later_ = static_cast<bool>(run_);
  signal_.emit(boost::asio::cancellation_type::all);
}

void AsioWaitState::DeleteLater(void (*destroy)(AsioWaitState* state)) {
  // Of a run that has ended, nothing emits any more.
  if (RunIo::Current() != run_) return destroy(this);
  deletion_.state = this;
  deletion_.destroy = destroy;
  deletion_.run_last = [](PostedLast& last, PostedLast::End) {
    auto& deletion = static_cast<Deletion&>(last);
    deletion.destroy(deletion.state);
  };
  run_.PostLast(deletion_);
}

bool AsioWaiter::End() {
  // It may go on, and this object go, as soon as the phase is set.
  const std::coroutine_handle<> coroutine = coroutine_;
  ParkPoint* const point = point_;
  const Phase before =
      phase_.exchange(Phase::kEnded, std::memory_order_acq_rel);
  if (before == Phase::kSuspended) {
    if (point != nullptr) {
      PortalAccess::Wake(*point);
    } else {
      coroutine.resume();
    }
  }
  return before == Phase::kLeft;
}

void ThrowAsioError(const boost::system::error_code& error) {
#if defined(__cpp_exceptions)
  throw boost::system::system_error(error);
#else
  std::fprintf(
      stderr,
      "greenback: an Asio operation failed: %s\nThis program has no exceptions "
      "to say so: await operations that may fail, or be cancelled, with "
      "as_tuple(deferred) in place of deferred, and look at the error_code\n",
      error.message().c_str());
  std::abort();
#endif
}

void ThrowAsioAbandoned() {
  context::ThrowOrDie(boost::system::system_error(
      boost::asio::error::operation_aborted,
      "greenback: an Asio operation was dropped without an end, with its "
      "io_context or by who had its handler"));
}

bool ReportsAbort(const boost::system::error_code& error) {
  return error == boost::asio::error::operation_aborted;
}

bool ReportsAbort([[maybe_unused]] const std::exception_ptr& error) {
  bool aborted = false;
#if defined(__cpp_exceptions)
  if (error) {
    try {
      std::rethrow_exception(error);
    } catch (const boost::system::system_error& system_error) {
      aborted = ReportsAbort(system_error.code());
    } catch (...) {
    }
  }
#endif
  return aborted;
}

AsioWait::AsioWait()
    : task_(ThisThread().current_task), run_(RunIo::Of(task_)) {}

const AsioTask* AsioWait::asio_task() const { return AsioTask::From(task_); }

void AsioWait::Begin(AsioWaitState& state) {
  state_ = &state;
  if (run_) run_.OperationStarted();
  if (task_ != nullptr) {
    cancelled_ = !PortalAccess::AddCancelHook(*task_, *this);
  }
}

void AsioWait::Initiated() {
  initiated_ = true;
  if (cancelled_) Emit();
}

void AsioWait::End() {
  if (state_ == nullptr) return;
  state_ = nullptr;
  CancelHooks::Remove(*this);
  if (run_) run_.OperationEnded();
}

void AsioWait::NoteCancelled() {
  // The error of the operation says it to the program.
  (void)PortalAccess::FinishCheckpoint(*task_);
}

void AsioWait::OnCancel() {
  cancelled_ = true;
  // Before there is something that takes notice, it would be lost.
  if (initiated_) Emit();
}

void AsioWait::Emit() {
  // What has ended may have taken its I/O object along.
  if (state_->ended()) return;
  emitted_ = true;
#if defined(__cpp_exceptions)
  try {
    state_->Emit();
  } catch (const std::bad_alloc&) {
    // The others that are cancelled along are no less so.
  }
#else
  state_->Emit();
#endif
}

bool AsioPostAwaiter::Post() {
  AsioTask* const task = AsioTask::Current();
  if (task == nullptr) return false;
  node_.task = task;
  PortalAccess::ScheduleCheckpoint(node_);
  return true;
}

bool AsioPostAwaiter::PostWhenParked(ParkPoint& point) {
  if (AsioTask::From(point.task) == nullptr || !StepTask::IsOnStackOf(point)) {
    return false;
  }
  begin = [](StartWhenParked& start, ParkPoint& point) {
    GREENBACK_TRY {
      static_cast<AsioTask*>(point.task)->PostContinuation(point);
      return true;
    }
    GREENBACK_CATCH_ALL {
      AsioPostAwaiter& self = static_cast<AsioPostAwaiter&>(start);
      self.error_ = std::current_exception();
      self.has_more_ = true;
    }
    return false;
  };
  point.start = this;
  return true;
}

std::coroutine_handle<> AsioPostAwaiter::SuspendElsewhere(
    std::coroutine_handle<> waiter) {
  has_more_ = true;
  Operation& operation =
      operation_.Emplace([this] { return Operation(std::move(post_)); });
  return elsewhere_
      .Emplace([&operation] { return ForeignAwaiter<Operation&>(operation); })
      .await_suspend(waiter);
}

bool AsioPostAwaiter::ParkElsewhere(ParkPoint& point) {
  has_more_ = true;
  return operation_.Emplace([this] { return Operation(std::move(post_)); })
      .await_park(point);
}

void AsioPostAwaiter::ResumeWithMore() {
  if (error_) std::rethrow_exception(error_);
  if (elsewhere_) {
    elsewhere_->await_resume();
  } else {
    operation_->await_resume();
  }
}

}  // namespace greenback::internal
