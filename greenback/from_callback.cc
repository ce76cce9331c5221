#include "greenback/from_callback.h"

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/host/portal_task.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback::internal {
namespace {

std::string ExplainDrop(const std::source_location& where) {
  return absl::StrCat("greenback::FromCallback at ", Describe(where),
                      ": all copies of the callback were destroyed and none "
                      "was called, so that the operation will never complete");
}

}  // namespace

bool CallbackStateBase::Suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  // From here on another thread may have resumed the handle, and destroyed
  // everything.
  return (word_.fetch_or(kSuspended, std::memory_order_acq_rel) & kDone) == 0;
}

void CallbackStateBase::Finish(uint64_t how) {
  const uint64_t before = word_.fetch_or(how, std::memory_order_acq_rel);
  constexpr uint64_t kWaits = kAwaited | kSuspended;
  if ((before & kWaits) == kWaits) handle_.resume();
}

void CallbackStateBase::Leave() {
  const uint64_t before =
      word_.fetch_and(~uint64_t{kAwaited}, std::memory_order_acq_rel);
  if (before < kCopy) delete this;
}

void CallbackStateBase::DropCopy() {
  uint64_t word = Load();
  for (;;) {
    if (word / kCopy == 1 && (word & (kAwaited | kClaimed)) == kAwaited) {
      // The last one, and so nobody else makes copies or calls. It goes after
      // it has said so: until then the awaiter leaves this object alone.
      Finish(kClaimed | kDone | kDropped);
      word = Load();
    }
    if (word_.compare_exchange_weak(word, word - kCopy,
                                    std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
      break;
    }
  }
  if (word - kCopy < kCopy && (word & kAwaited) == 0) delete this;
}

absl::Status CallbackDroppedStatus(PortalTask* cancelled,
                                   const std::source_location& where) {
  if (cancelled != nullptr) {
    absl::Status status = PortalAccess::FinishCheckpoint(*cancelled);
    if (!status.ok()) return status;
  }
  return absl::AbortedError(ExplainDrop(where));
}

void ThrowCallbackDropped(const std::source_location& where) {
  context::ThrowOrDie(CallbackDropped(ExplainDrop(where)));
}

void ReportCallbackAwaitedTwice(const std::source_location& where) {
  context::ThrowOrDie(AwaitableError(
      absl::StrCat("greenback::FromCallback at ", Describe(where),
                   ": awaited twice; make another one for another operation")));
}

}  // namespace greenback::internal
