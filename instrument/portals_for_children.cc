#include "instrument/portals_for_children.h"

#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
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
    if (++scopes_ == 1) AddInstrument(*this);
    depths_[&task].push_back(depth);
  }

  void Leave(Task& task, size_t depth) {
    // None when the task has ended first.
    if (const auto found = depths_.find(&task); found != depths_.end()) {
      std::vector<size_t>& depths = found->second;
      depths.erase(std::find(depths.begin(), depths.end(), depth));
      if (depths.empty()) depths_.erase(found);
    }
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
      const auto found = depths_.find(&nursery->parent_task());
      if (found != depths_.end() &&
          NurseryAccess::Depth(*nursery) >=
              *std::min_element(found->second.begin(), found->second.end())) {
        return true;
      }
    }
    return false;
  }

  // The tasks that began a tree: their nurseries from that depth on are in it.
  // More than one depth where trees are in trees.
  absl::flat_hash_map<const Task*, std::vector<size_t>> depths_;
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
