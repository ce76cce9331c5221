// RunState: a run, from the inside. Internal.
//
// It holds what lives as long as a run and does not belong to the loop: the
// outermost scope, the nursery of the system tasks, run-local variables, the
// link through which other threads reach the run, and the instruments.
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

// Shared by a run and its RunTokens.
struct RunLink {
  std::mutex mutex;
  RunState* run;  // null once it has ended
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

  // Returns null if there is none.
  void* Find(uint64_t key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second;
  }
  // Keeps `value` unless there is a value already. Returns the one that is
  // kept.
  void* Keep(uint64_t key, std::shared_ptr<void> value) {
    values_.reserve(values_.size() + 1);
    const auto [entry, is_new] = by_key_.try_emplace(key, value.get());
    if (is_new) values_.push_back(std::move(value));
    return entry->second;
  }

 private:
  // Not abseil's map, which is inconsistent after it had no memory to grow.
  std::unordered_map<uint64_t, void*> by_key_;
  std::vector<std::shared_ptr<void>> values_;
};

class RunState final : public Loop, private TaskOwner {
 public:
  explicit RunState(const RunOptions& options);

  // The run on this thread. `caller` is named in the error if there is none.
  static RunState& Current(const char* caller);

  // Runs the task that spawn_main(nursery) spawns, and all tasks that follow.
  // Returns ResourceExhausted if there is no stack, and throws if there is no
  // memory to begin; nothing has run then.
  absl::Status RunToEnd(absl::FunctionRef<void(Nursery&)> spawn_main);
  // How the run as a whole ended, given the main task's exception, if any:
  // throws all exceptions, or else returns the failure of a system task.
  absl::Status Outcome(std::exception_ptr main_error);

  // A callback, of the loop or of Asio, has thrown `error`: cancels everything,
  // and Run() throws it at the end.
  void Fail(std::exception_ptr error) noexcept override;

  // Null before the run has begun and after it has ended.
  Nursery* system_nursery() const { return system_nursery_; }
  // Whether the main task has ended.
  bool ending() const { return ending_; }
  // Through which other threads reach this run.
  const std::shared_ptr<RunLink>& link() const { return link_; }
  const RunOptions& options() const { return options_; }

  // The context in which system tasks begin.
  Context system_context;
  // The values of run-local variables.
  RunLocals locals;
  // The threads of RunInThread(), once it has been used.
  std::shared_ptr<ThreadPool> threads;

 private:
  static RootTask RunInit(TaskPlace, RunState& run,
                          absl::FunctionRef<void(Nursery&)> spawn_main);
  void TaskEnded() override;
  // From now on RunTokens refuse; runs everything that was posted before.
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
