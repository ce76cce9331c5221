// What tasks hold: those that wait with a portal open, and those that wait in
// the middle of synchronous code.
//
//   ./bazelw run -c opt //benchmarks:memory -- --parked=100000 --idle=100000
//
// Prints one JSON object: resident bytes a task, of them those of stacks;
// mappings of the process; how many stacks of parked tasks have a guard that
// the kernel honours; nanoseconds a task to park and to wake all of them.

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "greenback/context/stack_pool.h"
#include "greenback/greenback.h"
#include "greenback/runtime/internal/loop.h"

ABSL_FLAG(int, parked, 10'000, "tasks to park in Await(), three calls deep");
ABSL_FLAG(int, idle, 0, "tasks with a portal that wait in a coroutine");

namespace greenback {
namespace {

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

// The number of stacks; each belongs to a fiber.
size_t Stacks() { return internal::Loop::Current()->fiber_count(); }

// Whether the kernel cannot read the byte below the stack that holds `address`.
// A read that faults in the kernel is an error, and no signal.
bool HasGuard(const void* address) {
  context::StackBounds bounds;
  if (!context::FindStack(address, bounds)) return false;
  char byte;
  iovec here = {&byte, 1};
  iovec there = {const_cast<char*>(bounds.limit) - 1, 1};
  return process_vm_readv(getpid(), &here, 1, &there, 1, 0) < 0 &&
         errno == EFAULT;
}

class Stopwatch {
 public:
  double Nanoseconds() const {
    return std::chrono::duration<double, std::nano>(
               std::chrono::steady_clock::now() - start_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
};

struct Report {
  size_t woken = 0;
  double idle_bytes = 0;
  size_t idle_stacks = 0;  // beyond the one that the loop runs on
  double parked_bytes = 0;
  size_t parked_stacks = 0;
  size_t guarded_stacks = 0;
  size_t mappings = 0;
  size_t mappings_before = 0;
  double park_ns = 0;
  double wake_ns = 0;
  size_t stacks_after = 0;
  double total_mib = 0;
};

// Records an address on its stack, and waits.
__attribute__((noinline)) bool WaitBelow(Event& event, int calls,
                                         std::vector<const void*>& stacks) {
  bool ok = false;
  if (calls == 1) {
    stacks.push_back(__builtin_frame_address(0));
    ok = Await(event.Wait()).ok();
  } else {
    ok = WaitBelow(event, calls - 1, stacks);
  }
  asm volatile("");  // no tail call
  return ok;
}

Co<void> Idle(Event& event, size_t& woken) {
  absl::Status status = co_await EnsurePortal();
  if (status.ok()) status = co_await event.Wait();
  if (status.ok()) ++woken;
}

Co<void> Park(Event& event, std::vector<const void*>& stacks, size_t& woken) {
  const absl::Status status = co_await EnsurePortal();
  if (status.ok() && WaitBelow(event, 3, stacks)) ++woken;
}

Co<absl::Status> UntilWaiting(const Event& event, size_t count) {
  absl::Status status;
  while (status.ok() && event.waiters() < count) {
    status = co_await Checkpoint();
  }
  co_return status;
}

Co<absl::Status> Measure(size_t parked, size_t idle, Report& report) {
  Event wake_idle;
  Event wake_parked;
  std::vector<const void*> stacks;
  stacks.reserve(parked);
  // Writes to it, so that it is resident from the start.
  stacks.resize(parked);
  stacks.clear();
  co_return co_await OpenNursery([&](Nursery& nursery) -> Co<absl::Status> {
    report.mappings_before = Mappings();
    const size_t at_first = ResidentBytes();
    const size_t stacks_at_first = Stacks();
    for (size_t i = 0; i < idle; ++i) {
      nursery.StartSoon(Idle, std::ref(wake_idle), std::ref(report.woken));
    }
    absl::Status status = co_await UntilWaiting(wake_idle, idle);
    if (!status.ok()) co_return status;
    const size_t with_idle = ResidentBytes();
    report.idle_stacks = Stacks() - stacks_at_first;
    if (idle > 0) {
      report.idle_bytes =
          (static_cast<double>(with_idle) - static_cast<double>(at_first)) /
          static_cast<double>(idle);
    }

    const Stopwatch park;
    for (size_t i = 0; i < parked; ++i) {
      nursery.StartSoon(Park, std::ref(wake_parked), std::ref(stacks),
                        std::ref(report.woken));
    }
    status = co_await UntilWaiting(wake_parked, parked);
    if (!status.ok()) co_return status;
    const double park_ns = park.Nanoseconds();
    const size_t with_parked = ResidentBytes();
    report.total_mib = static_cast<double>(with_parked) / (1 << 20);
    report.parked_stacks = Stacks() - stacks_at_first - report.idle_stacks;
    report.mappings = Mappings();
    for (const void* stack : stacks) report.guarded_stacks += HasGuard(stack);

    const Stopwatch wake;
    wake_parked.Set();
    while (report.woken < parked && status.ok()) {
      status = co_await Checkpoint();
    }
    if (!status.ok()) co_return status;
    if (parked > 0) {
      const double count = static_cast<double>(parked);
      report.parked_bytes =
          (static_cast<double>(with_parked) - static_cast<double>(with_idle)) /
          count;
      report.park_ns = park_ns / count;
      report.wake_ns = wake.Nanoseconds() / count;
    }
    wake_idle.Set();
    report.stacks_after = Stacks();
    co_return status;
  });
}

int Main() {
  const int parked = absl::GetFlag(FLAGS_parked);
  const int idle = absl::GetFlag(FLAGS_idle);
  if (parked < 0 || idle < 0) {
    std::cerr << "memory: --parked and --idle are numbers of tasks\n";
    return 2;
  }
  Report report;
  const absl::Status status = Run(Measure, static_cast<size_t>(parked),
                                  static_cast<size_t>(idle), std::ref(report));
  if (!status.ok()) {
    std::cerr << "memory: " << status << "\n";
    return 1;
  }
  if (report.woken != static_cast<size_t>(parked) + static_cast<size_t>(idle)) {
    std::cerr << "memory: only " << report.woken << " tasks woke up\n";
    return 1;
  }
  std::cout << absl::StrFormat(
      "{\n"
      "  \"parked\": %d,\n"
      "  \"parked_resident_bytes_each\": %.0f,\n"
      "  \"parked_stacks\": %d,\n"
      "  \"guarded_stacks\": %d,\n"
      "  \"idle\": %d,\n"
      "  \"idle_resident_bytes_each\": %.0f,\n"
      "  \"idle_stacks\": %d,\n"
      "  \"resident_mib\": %.0f,\n"
      "  \"mappings\": %d,\n"
      "  \"mappings_before\": %d,\n"
      "  \"park_ns_each\": %.0f,\n"
      "  \"wake_ns_each\": %.0f,\n"
      "  \"stacks_after_wake\": %d\n"
      "}\n",
      parked, report.parked_bytes, report.parked_stacks, report.guarded_stacks,
      idle, report.idle_bytes, report.idle_stacks, report.total_mib,
      report.mappings, report.mappings_before, report.park_ns, report.wake_ns,
      report.stacks_after);
  return 0;
}

}  // namespace
}  // namespace greenback

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("What tasks hold. Prints a JSON object.");
  absl::ParseCommandLine(argc, argv);
  return greenback::Main();
}
