// RunState: a run, from the inside. Internal.
//
// What has to live as long as a run and is not the loop's: the outermost scope,
// the nursery of the system tasks, run-local variables, the token by which
// other threads reach the run, the instruments.
#ifndef GREENBACK_RUNTIME_INTERNAL_RUN_STATE_H_
#define GREENBACK_RUNTIME_INTERNAL_RUN_STATE_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "greenback/runtime/exception_group.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/internal/root_task.h"
#include "greenback/runtime/run_options.h"
#include "greenback/runtime/task.h"
#include "greenback/task_local.h"

namespace greenback::internal {

class RunState;
class ThreadPool;

// What a RunToken shares with its run.
struct RunLink {
  std::mutex mutex;
  RunState* run;  // null when it has ended
};

// Values by key, destroyed in reverse order of making.
class RunLocals {
 public:
  RunLocals() = default;
  RunLocals(const RunLocals&) = delete;
  RunLocals& operator=(const RunLocals&) = delete;
  ~RunLocals() {
    while (!values_.empty()) values_.pop_back();
  }

  // Null: there is none.
  void* Find(uint64_t key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second;
  }
  // Does nothing with `value` when there is one already. Gives what there is.
  void* Keep(uint64_t key, std::shared_ptr<void> value) {
    values_.reserve(values_.size() + 1);
    const auto [entry, is_new] = by_key_.try_emplace(key, value.get());
    if (is_new) values_.push_back(std::move(value));
    return entry->second;
  }

 private:
  // Not abseil's, which is left in pieces when there is no memory to grow.
  std::unordered_map<uint64_t, void*> by_key_;
  std::vector<std::shared_ptr<void>> values_;
};

class RunState final : public Loop, private TaskOwner {
 public:
  explicit RunState(const RunOptions& options);

  // The run on this thread. `caller` is for the error when there is none.
  static RunState& Current(const char* caller);

  // Runs the task that spawn_main(nursery) spawns, and all that follow.
  // ResourceExhausted, and nothing has run, when there is no stack. Throws, and
  // nothing has run, when there is no memory to begin.
  absl::Status RunToEnd(absl::FunctionRef<void(Nursery&)> spawn_main);
  // How the run as a whole ended, given how the main task did: throws what was
  // thrown; else the failure of a system task.
  absl::Status Outcome(std::exception_ptr main_error);

  // A loop callback, one of Asio's, or a system task has failed: cancels
  // everything, and comes out of Run().
  void Fail(std::exception_ptr error) noexcept override;

  // Null before the run has begun, and after it has ended.
  Nursery* system_nursery() const { return system_nursery_; }
  // The main task has ended.
  bool ending() const { return ending_; }
  // How other threads reach this one.
  const std::shared_ptr<RunLink>& link() const { return link_; }
  const RunOptions& options() const { return options_; }

  // What system tasks begin with.
  Context system_context;
  // Of run-local variables.
  RunLocals locals;
  // Of RunInThread(), once it has been used.
  std::shared_ptr<ThreadPool> threads;

 private:
  static RootTask RunInit(TaskPlace, RunState& run,
                          absl::FunctionRef<void(Nursery&)> spawn_main);
  void TaskEnded() override;
  // Nothing is taken from other threads any more; what was, is done.
  void CloseLink();

  const RunOptions options_;
  Instruments instruments_;
  CancelState scope_;
  Nursery* system_nursery_ = nullptr;
  bool ending_ = false;
  std::shared_ptr<RunLink> link_;
  absl::Status status_;
  NotedExceptions errors_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_RUNTIME_INTERNAL_RUN_STATE_H_
