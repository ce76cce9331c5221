#include "greenback/host/host_io.h"

namespace greenback::internal {

void HostIo::PostLast(PostedLast& posted) noexcept {
  posted.io_ = this;
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
    last.io_->Post(static_cast<Posted&>(last));
  };
  Post(static_cast<Posted&>(posted));
}

}  // namespace greenback::internal
