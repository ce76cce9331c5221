#include "instrument/internal/portal_trees.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "greenback/portal.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run_local.h"
#include "greenback/runtime/task.h"

namespace greenback::internal {
namespace {

// The instrument of a run, installed while it has any tree.
class PortalTrees final : public Instrument {
 public:
  void Enter(Task& task, size_t depth) {
    // Any of this may fail, and then nothing has been entered. (IsInTree() does
    // not distinguish trees of the same task and depth.)
    const auto entered = depths_.emplace(&task, depth);
    if (scopes_ == 0) {
      absl::Cleanup not_added = [&] { depths_.erase(entered); };
      AddInstrument(*this);
      std::move(not_added).Cancel();
    }
    ++scopes_;
  }

  void Leave(Task& task, size_t depth) {
    // There is no entry if the task has ended before.
    const auto [first, last] = depths_.equal_range(&task);
    const auto found = std::find_if(first, last, [depth](const auto& entry) {
      return entry.second == depth;
    });
    if (found != last) depths_.erase(found);
    if (--scopes_ == 0) (void)RemoveInstrument(*this);
  }

  PortalTreeStats stats() const { return {scopes_, depths_.size()}; }

 private:
  void task_spawned(Task& task) override {
    const Nursery* const nursery = task.parent_nursery();
    if (nursery != nullptr && IsInTree(*nursery)) BestowPortal(task);
  }

  void task_exited(Task& task) override { depths_.erase(&task); }

  // Looks at the tree of tasks as it is now: Nursery::Start() moves tasks, and
  // portal trees end.
  bool IsInTree(const Nursery& innermost) const {
    for (const Nursery* nursery = &innermost; nursery != nullptr;
         nursery = nursery->parent_task().parent_nursery()) {
      const Task* const parent = &nursery->parent_task();
      const size_t depth = NurseryAccess::Depth(*nursery);
      // Not equal_range(), which counts them all: the first one often decides.
      for (auto tree = depths_.find(parent);
           tree != depths_.end() && tree->first == parent; ++tree) {
        if (depth >= tree->second) return true;
      }
    }
    return false;
  }

  // The tasks that began a tree, with the depth from which on their nurseries
  // are in it. A task has several entries if it began nested trees.
  std::unordered_multimap<const Task*, size_t> depths_;
  size_t scopes_ = 0;
};

PortalTrees& TreesOfRun() {
  static const auto* const trees = new RunLocal<PortalTrees>;
  return trees->Get();
}

}  // namespace

void EnterPortalTree(Task& task, size_t depth) {
  TreesOfRun().Enter(task, depth);
}
void LeavePortalTree(Task& task, size_t depth) {
  TreesOfRun().Leave(task, depth);
}

PortalTreeStats PortalTreesOfRun() { return TreesOfRun().stats(); }

}  // namespace greenback::internal
