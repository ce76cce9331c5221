#include "greenback/runtime/instrument.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include "greenback/internal/exceptions.h"

namespace greenback {
namespace internal {
namespace {

// Prints the exception that is being handled, which is why an instrument is
// removed. Allocates nothing, since there may be no memory.
void ReportRemoval(const char* hook) {
  const auto print = [hook](const char* what) {
    std::fprintf(stderr,
                 "greenback: an instrument threw in %s() and is removed: %s\n",
                 hook, what);
  };
#if defined(__cpp_exceptions)
  try {
    throw;
  } catch (const std::exception& error) {
    return print(error.what());
  } catch (...) {
  }
#endif
  print("an exception that is not a std::exception");
}

Instruments& InstrumentsOfRun(const char* caller) {
  Loop* const loop = Loop::Current();
  if (loop == nullptr) DieOutsideRun(caller);
  return *loop->instruments();
}

}  // namespace

void Instruments::Add(Instrument& instrument) {
  if (std::count(instruments_.begin(), instruments_.end(), &instrument) != 0) {
    return;
  }
  instruments_.push_back(&instrument);
  loop_.set_observer(this);
}

bool Instruments::Remove(Instrument& instrument) {
  const auto found =
      std::find(instruments_.begin(), instruments_.end(), &instrument);
  if (found == instruments_.end()) return false;
  *found = nullptr;
  removed_ = true;
  Compact();
  return true;
}

// Erases the null entries, unless a call iterates over the list.
void Instruments::Compact() {
  if (!removed_ || calls_ != 0) return;
  removed_ = false;
  std::erase(instruments_, nullptr);
  if (instruments_.empty()) loop_.set_observer(nullptr);
}

void Instruments::Call(const char* hook,
                       absl::FunctionRef<void(Instrument&)> call) {
  ++calls_;
  // Does not include those that are added meanwhile.
  const size_t count = instruments_.size();
  for (size_t i = 0; i != count; ++i) {
    Instrument* const instrument = instruments_[i];
    if (instrument == nullptr) continue;
    GREENBACK_TRY { call(*instrument); }
    GREENBACK_CATCH_ALL {
      ReportRemoval(hook);
      // Not [i]: it may have removed itself, and added itself again.
      Remove(*instrument);
    }
  }
  --calls_;
  Compact();
}

void Instruments::RunBegins() {
  Call("before_run", [](Instrument& each) { each.before_run(); });
}
void Instruments::RunEnds() {
  Call("after_run", [](Instrument& each) { each.after_run(); });
}
void Instruments::Spawned(Task& task) {
  Call("task_spawned", [&](Instrument& each) { each.task_spawned(task); });
}
void Instruments::Scheduled(PortalTask& task) {
  // No task runs in a hook: the caller may be in the middle of Event::Set(),
  // for example.
  PortalTask* const running = std::exchange(ThisThread().current_task, nullptr);
  Call("task_scheduled", [&](Instrument& each) {
    each.task_scheduled(static_cast<Task&>(task));
  });
  ThisThread().current_task = running;
}
void Instruments::StepBegins(PortalTask& task) {
  Call("before_task_step", [&](Instrument& each) {
    each.before_task_step(static_cast<Task&>(task));
  });
}
void Instruments::StepEnds(PortalTask& task) {
  Call("after_task_step", [&](Instrument& each) {
    each.after_task_step(static_cast<Task&>(task));
  });
}
void Instruments::Exited(Task& task) {
  Call("task_exited", [&](Instrument& each) { each.task_exited(task); });
}
void Instruments::IoWaitBegins(absl::Duration timeout) {
  Call("before_io_wait",
       [&](Instrument& each) { each.before_io_wait(timeout); });
}
void Instruments::IoWaitEnds(absl::Duration timeout) {
  Call("after_io_wait", [&](Instrument& each) { each.after_io_wait(timeout); });
}

}  // namespace internal

void AddInstrument(Instrument& instrument) {
  internal::InstrumentsOfRun("AddInstrument()").Add(instrument);
}

bool RemoveInstrument(Instrument& instrument) {
  return internal::InstrumentsOfRun("RemoveInstrument()").Remove(instrument);
}

}  // namespace greenback
