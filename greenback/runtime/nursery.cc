#include "greenback/runtime/nursery.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace greenback {

#if defined(__cpp_exceptions)
ExceptionGroup::ExceptionGroup(std::vector<std::exception_ptr> exceptions)
    : exceptions_(std::move(exceptions)) {
  what_ = absl::StrCat(exceptions_.size(), " exceptions in a nursery:");
  for (const std::exception_ptr& exception : exceptions_) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      absl::StrAppend(&what_, " [", error.what(), "]");
    } catch (...) {
      absl::StrAppend(&what_, " [of a type that is no std::exception]");
    }
  }
}
#endif

void Nursery::Note(absl::Status status) {
  if (status.ok()) return;
  // Its own doing.
  if (absl::IsCancelled(status) && scope_.cancel_called()) return;
  if (status_.ok() || absl::IsCancelled(status_)) {
    status_ = std::move(status);
  } else if (!absl::IsCancelled(status)) {
    // Payloads are the first one's; no text is lost.
    absl::Status joined(status_.code(), absl::StrCat(status_.message(), "; ",
                                                     status.ToString()));
    status_.ForEachPayload(
        [&](absl::string_view url, const absl::Cord& payload) {
          joined.SetPayload(url, payload);
        });
    status_ = std::move(joined);
  }
  scope_.Cancel();
}

void Nursery::Note(std::exception_ptr error) {
  errors_.push_back(std::move(error));
  scope_.Cancel();
}

void Nursery::TaskEnded() {
  --child_count_;
  if (child_count_ == 0 && parent_waits_) {
    parent_waits_ = false;
    internal::Loop::Current()->Schedule(parent_node_);
  }
}

absl::Status Nursery::Result() {
#if defined(__cpp_exceptions)
  if (!errors_.empty()) {
    if (!status_.ok() && !absl::IsCancelled(status_)) {
      errors_.push_back(std::make_exception_ptr(StatusError(status_)));
    }
    if (errors_.size() == 1) std::rethrow_exception(std::move(errors_.front()));
    throw ExceptionGroup(std::move(errors_));
  }
#endif
  return std::move(status_);
}

namespace internal {

void AllChildrenAwaiter::await_suspend(std::coroutine_handle<> handle) {
  NurseryAccess::WhenEmpty(nursery_, handle);
}

void NurseryAccess::WhenEmpty(Nursery& nursery,
                              std::coroutine_handle<> handle) {
  nursery.parent_node_.task = &nursery.parent_;
  nursery.parent_node_.handle = handle;
  if (nursery.child_count_ == 0) {
    Loop::Current()->Schedule(nursery.parent_node_);
  } else {
    nursery.parent_waits_ = true;
  }
}

}  // namespace internal
}  // namespace greenback
