#include "greenback/runtime/run_io.h"

#include <utility>

#include "greenback/host/portal_access.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/internal/reactor.h"
#include "greenback/runtime/internal/reactor_context.h"

namespace greenback::internal {

RunIo RunIo::CurrentOrDie(const char* what) {
  const RunIo current = Current();
  if (!current) DieOutsideRun(what);
  return current;
}

RunIo RunIo::Of(const PortalTask* task) noexcept {
  return task != nullptr && PortalAccess::Offers(*task, kRunService) ? Current()
                                                                     : RunIo();
}

boost::asio::io_context& RunIo::context() const noexcept {
  return loop_->reactor().context().io;
}

void RunIo::OperationStarted() const noexcept {
  loop_->reactor().OperationStarted();
}

void RunIo::OperationEnded() const noexcept {
  loop_->reactor().OperationEnded();
}

void RunIo::KeepPolling() const noexcept { loop_->reactor().KeepPolling(); }

bool RunIo::OnThisThread() const noexcept { return loop_->OnThisThread(); }

void RunIo::Post(Posted& posted) const noexcept {
  loop_->RunSoonFromAnyThread(posted);
}

void RunIo::Post(std::function<void()> fn) const {
  loop_->RunSoonFromAnyThread(std::move(fn));
}

void RunIo::PostLast(PostedLast& posted) const noexcept {
  posted.io_ = *this;
  // All posted functions share one handler, which may already be in Asio's
  // queue, ahead of other handlers. Posting again when it runs puts the next
  // one behind every handler that was ready.
  posted.run = [](Posted& once, Posted::End end) {
    auto& last = static_cast<PostedLast&>(once);
    if (end == Posted::End::kDrop) return last.run_last(last, end);
    last.run = [](Posted& twice, Posted::End end) {
      auto& last = static_cast<PostedLast&>(twice);
      last.run_last(last, end);
    };
    last.io_.Post(static_cast<Posted&>(last));
  };
  Post(static_cast<Posted&>(posted));
}

}  // namespace greenback::internal
