#include "instrument/portals_for_children.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "greenback/portal.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run_local.h"

namespace greenback {
namespace internal {
namespace {

// The instrument of a run, while any PortalsForChildren is active in it.
class PortalTrees final : public Instrument {
 public:
  void Enter(Task& task, size_t depth) {
    // Any of it may fail, and then nothing has been entered. (Several of the
    // same depth and task are the same to IsInTree().)
    const auto entered = depths_.emplace(&task, depth);
    if (scopes_ == 0) {
      absl::Cleanup not_added = [&] { depths_.erase(entered); };
      AddInstrument(*this);
      std::move(not_added).Cancel();
    }
    ++scopes_;
  }

  void Leave(Task& task, size_t depth) {
    // None when the task has ended first.
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
  // trees end.
  bool IsInTree(const Nursery& innermost) const {
    for (const Nursery* nursery = &innermost; nursery != nullptr;
         nursery = nursery->parent_task().parent_nursery()) {
      const Task* const parent = &nursery->parent_task();
      const size_t depth = NurseryAccess::Depth(*nursery);
      // Not equal_range(), which counts them all: the first will often do.
      for (auto tree = depths_.find(parent);
           tree != depths_.end() && tree->first == parent; ++tree) {
        if (depth >= tree->second) return true;
      }
    }
    return false;
  }

  // The tasks that began a tree: their nurseries from that depth on are in it.
  // More than one depth where trees are in trees.
  std::unordered_multimap<const Task*, size_t> depths_;
  size_t scopes_ = 0;
};

PortalTrees& TreesOfRun() {
  static const auto* const trees = new RunLocal<PortalTrees>;
  return trees->Get();
}

}  // namespace

PortalTreeStats PortalTreesOfRun() { return TreesOfRun().stats(); }

}  // namespace internal

PortalsForChildren::PortalsForChildren()
    : task_(CurrentTask()), depth_(internal::TaskAccess::NurseryCount(task_)) {
  internal::TreesOfRun().Enter(task_, depth_);
}

PortalsForChildren::~PortalsForChildren() {
  internal::TreesOfRun().Leave(task_, depth_);
}

}  // namespace greenback
