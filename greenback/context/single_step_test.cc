// Unwinds at each instruction of switches, as a profiler's signal or a debugger
// may: the processor's trap flag raises SIGTRAP after every one. Unwinding
// finds one flow's callers or stops.
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unwind.h>

#include <cstdint>
#include <utility>

#include "greenback/context/internal/sanitizer.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "gtest/gtest.h"

#if defined(__x86_64__)

extern "C" void greenback_context_entry();

namespace greenback::context {
namespace {

struct Flows {
  SavedContext thread;
  SavedContext fiber;
};

// What the frames of one walk are, from where the step was.
struct Walk {
  uintptr_t from;
  bool after_from;
  int callers;
  bool on_thread;
  bool on_fiber;
  bool too_deep;
};

struct Wrong {
  uintptr_t at;
  const char* what;
};

// Read by the signal handler, which sets the trap flag accordingly. The flag is
// the thread's; switches leave it alone.
volatile bool stepping;

// Written by the signal handler.
constexpr int kMaxWrong = 32;
Wrong wrong[kMaxWrong];
int wrong_count;
int steps_on_thread;
int steps_on_fiber;
int steps_without_caller;

uintptr_t thread_base;
uintptr_t fiber_base;

// Where the function of an instruction begins.
uintptr_t FunctionAt(uintptr_t address) {
  return reinterpret_cast<uintptr_t>(
      _Unwind_FindEnclosingFunction(reinterpret_cast<void*>(address + 1)));
}

_Unwind_Reason_Code SeeFrame(_Unwind_Context* context, void* argument) {
  Walk& walk = *static_cast<Walk*>(argument);
  const uintptr_t address = _Unwind_GetIP(context);
  if (walk.after_from && address != 0) ++walk.callers;
  if (address == walk.from) walk.after_from = true;
  const uintptr_t function = _Unwind_GetRegionStart(context);
  if (function == thread_base) walk.on_thread = true;
  if (function == fiber_base) walk.on_fiber = true;
  walk.too_deep = walk.callers > 100;
  return walk.too_deep ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

void OnStep(int, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr greg_t kTrapFlag = 0x100;
  registers[REG_EFL] &= ~kTrapFlag;
  if (stepping) registers[REG_EFL] |= kTrapFlag;
  if (info->si_code != TRAP_TRACE) return;
  Walk walk = {};
  walk.from = static_cast<uintptr_t>(registers[REG_RIP]);
  const _Unwind_Reason_Code ended = _Unwind_Backtrace(SeeFrame, &walk);
  const char* what = nullptr;
  if (walk.too_deep) {
    what = "does not end";
  } else if (ended != _URC_END_OF_STACK) {
    what = "ends with an error";
  } else if (!walk.after_from) {
    what = "does not get to where the step was";
  } else if (walk.on_thread && walk.on_fiber) {
    what = "finds callers on both stacks";
  } else if (walk.on_thread) {
    ++steps_on_thread;
  } else if (walk.on_fiber) {
    ++steps_on_fiber;
  } else if (walk.callers == 0) {
    ++steps_without_caller;
  } else {
    what = "finds callers that there are not";
  }
  if (what != nullptr) {
    if (wrong_count < kMaxWrong) wrong[wrong_count] = {walk.from, what};
    ++wrong_count;
  }
}

void FiberMain(void* argument) {
  Flows& flows = *static_cast<Flows*>(argument);
  Switch(flows.fiber, flows.thread);
  asm volatile("");
  SwitchThen(flows.fiber, flows.thread, [](void*) {}, nullptr);
  FinalSwitch(flows.thread);
}

// Frames of another size than FiberMain()'s, so that one function's rules do
// not fit the other one's frame.
__attribute__((noinline)) void SwitchBelow(Flows& flows, int frames) {
  int local[8];
  asm volatile("" : : "r"(local) : "memory");
  if (frames == 0) {
    Switch(flows.thread, flows.fiber);
  } else {
    SwitchBelow(flows, frames - 1);
  }
  asm volatile("" : : "r"(local) : "memory");
}

// All three switches to a new fiber, to one that waits, and by its end.
__attribute__((noinline)) void SwitchThrice(Flows& flows) {
  SwitchBelow(flows, 3);
  Switch(flows.thread, flows.fiber);
  SwitchBelow(flows, 0);
  asm volatile("");
}

__attribute__((noinline)) void StepThroughThreeSwitches(Flows& flows) {
  stepping = true;
  raise(SIGTRAP);  // sets the flag
  SwitchThrice(flows);
  stepping = false;
  asm volatile("");
}

TEST(SingleStepTest, R42_UnwindingFindsTheCallerOrStops) {
  if (sanitizer::kAddress || sanitizer::kThread) {
    GTEST_SKIP()
        << "the handler would run inside of the sanitizer's own functions";
  }
  if (sanitizer::kValgrind) GTEST_SKIP() << "Valgrind does not single-step";
  thread_base =
      FunctionAt(reinterpret_cast<uintptr_t>(&StepThroughThreeSwitches));
  fiber_base =
      FunctionAt(reinterpret_cast<uintptr_t>(&greenback_context_entry));
  ASSERT_NE(thread_base, 0u);
  ASSERT_NE(fiber_base, 0u);
  struct sigaction action = {};
  action.sa_sigaction = OnStep;
  action.sa_flags = SA_SIGINFO;
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  // The first time binds what the dynamic linker binds late.
  for (const bool step : {false, true}) {
    StackOrError made = StackPool::Default().Acquire();
    ASSERT_EQ(made.error, "");
    Flows flows;
    flows.fiber = SavedContext::Create(made.stack, FiberMain, &flows);
    if (step) {
      StepThroughThreeSwitches(flows);
    } else {
      Walk walk = {};
      _Unwind_Backtrace(SeeFrame, &walk);
      SwitchThrice(flows);
    }
  }
  sigaction(SIGTRAP, &before, nullptr);
  EXPECT_GT(steps_on_thread, 50);
  EXPECT_GT(steps_on_fiber, 50);
  RecordProperty("steps_without_caller", steps_without_caller);
  EXPECT_EQ(wrong_count, 0);
  for (int i = 0; i < wrong_count && i < kMaxWrong; ++i) {
    const uintptr_t function = FunctionAt(wrong[i].at);
    ADD_FAILURE() << "at " << wrong[i].at - function << " bytes from "
                  << ::testing::PrintToString(
                         reinterpret_cast<const void*>(function))
                  << ": " << wrong[i].what;
  }
}

}  // namespace
}  // namespace greenback::context

#endif
