// WithPortalRunTree: a whole program in which every task may wait in plain
// functions. Main() spawns a task for each branch of a shop, which spawns one
// for each order; none of them says a word about portals.
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "greenback/greenback.h"
#include "instrument/with_portal_run_tree.h"

using Order = std::vector<std::string>;  // of goods
struct Branch {
  std::string name;
  std::vector<Order> orders;
};

// A real program would ask a server; this one only lets other tasks run.
greenback::Co<int> Price(std::string goods) {
  co_await greenback::CancelShieldedCheckpoint();
  co_return static_cast<int>(goods.size());
}

// Plain code.
int Total(const Order& order) {
  int total = 0;
  for (const std::string& goods : order) {
    total += greenback::Await(Price(goods));
  }
  return total;
}

greenback::Co<void> Serve(const Branch& branch, const Order& order) {
  std::printf("%s: %d\n", branch.name.c_str(), Total(order));
  co_return;
}

greenback::Co<absl::Status> ServeAll(const Branch& branch) {
  co_return co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> greenback::Co<void> {
        for (const Order& order : branch.orders) {
          nursery.StartSoon(Serve, std::ref(branch), std::ref(order));
        }
        co_return;
      });
}

greenback::Co<absl::Status> Main() {
  const std::vector<Branch> branches = {
      {"north", {{"tea", "bread"}, {"coffee"}}},
      {"south", {{"milk", "tea", "sugar"}}},
  };
  co_return co_await greenback::OpenNursery(
      [&](greenback::Nursery& nursery) -> greenback::Co<void> {
        for (const Branch& branch : branches) {
          nursery.StartSoon(ServeAll, std::ref(branch));
        }
        co_return;
      });
}

int main() {
  return greenback::Run(greenback::WithPortalRunTree, Main).ok() ? 0 : 1;
}
