// Unwinders stop at a fiber's entry, whether they walk its frames by CFI or by
// frame pointers, and also if the stack held garbage before. Compiled with
// frame pointers; depends on abseil, as a program may, while the core does not.
#include <dlfcn.h>
#include <execinfo.h>
#include <unwind.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/debugging/stacktrace.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "gtest/gtest.h"

namespace greenback::context {
namespace {

constexpr size_t kMaxFrames = 200;

using Frames = std::vector<void*>;

// Each walks the stack of its caller. The result includes the walker's own
// frames or not.
using Walker = Frames (*)();

__attribute__((noinline)) Frames WalkByBacktrace() {
  Frames frames(kMaxFrames);
  frames.resize(static_cast<size_t>(
      backtrace(frames.data(), static_cast<int>(frames.size()))));
  return frames;
}

__attribute__((noinline)) Frames WalkByUnwinder() {
  Frames frames;
  const _Unwind_Reason_Code ended = _Unwind_Backtrace(
      [](_Unwind_Context* context, void* argument) {
        Frames& frames = *static_cast<Frames*>(argument);
        frames.push_back(reinterpret_cast<void*>(_Unwind_GetIP(context)));
        return frames.size() < kMaxFrames ? _URC_NO_REASON : _URC_NORMAL_STOP;
      },
      &frames);
  EXPECT_EQ(ended, _URC_END_OF_STACK);
  // The end itself is reported too, without an address.
  if (!frames.empty() && frames.back() == nullptr) frames.pop_back();
  return frames;
}

__attribute__((noinline)) Frames WalkByAbseil() {
  Frames frames(kMaxFrames);
  frames.resize(static_cast<size_t>(absl::GetStackTrace(
      frames.data(), static_cast<int>(frames.size()), /*skip_count=*/0)));
  return frames;
}

// As profilers do it: trusts every frame pointer that is not null.
__attribute__((noinline, no_sanitize("address"))) Frames WalkByFramePointer() {
  Frames frames;
  void** frame = static_cast<void**>(__builtin_frame_address(0));
  while (frame && frames.size() < kMaxFrames) {
    frames.push_back(frame[1]);
    frame = static_cast<void**>(frame[0]);
  }
  EXPECT_EQ(frame, nullptr);
  return frames;
}

struct Call {
  Walker walk;
  Frames frames;
  SavedContext test;
};

// The function that an address of code is in.
const void* FunctionAt(void* address) {
  return _Unwind_FindEnclosingFunction(static_cast<char*>(address) - 1);
}

// Three functions to find, none of which ends in a jump to the next.
__attribute__((noinline)) void Inner(Call& call) {
  call.frames = call.walk();
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void Outer(Call& call) {
  Inner(call);
  asm volatile("" ::: "memory");
}
// Whether abseil finds its callers on a thread's own stack. Some packages of it
// are compiled without frame pointers, or with return addresses that are signed
// (aarch64), and it reports those as they are.
bool AbseilWorksOnThreads() {
  Call call{WalkByAbseil, {}, {}};
  Outer(call);
  for (void* frame : call.frames) {
    const void* const function = FunctionAt(frame);
    if (function == nullptr) return false;
    if (function == reinterpret_cast<const void*>(Outer)) return true;
  }
  return false;
}
void Entry(void* argument) {
  Call& call = *static_cast<Call*>(argument);
  Outer(call);
  asm volatile("" ::: "memory");
  FinalSwitch(call.test);
}

struct Way {
  const char* name;
  Walker walk;
};

class BacktraceTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (GetParam().walk == WalkByAbseil && !AbseilWorksOnThreads()) {
      GTEST_SKIP() << "this abseil finds no callers on a thread's own stack";
    }
  }
};

void ExpectEndsAtEntry(const Frames& frames) {
  const auto find = [&frames](void (*function)(void*)) {
    return std::find_if(frames.begin(), frames.end(), [&](void* frame) {
      return FunctionAt(frame) == reinterpret_cast<const void*>(function);
    });
  };
  const auto entry = find(Entry);
  ASSERT_NE(entry, frames.end());
  // Inside it, the walker, Inner and Outer; around it, the core's own first
  // frames and nothing else.
  EXPECT_LE(entry - frames.begin(), 6);
  EXPECT_GE(entry - frames.begin(), 2);
  EXPECT_LE(frames.end() - entry, 3);
  const auto expect = [&](auto function, auto frame) {
    EXPECT_EQ(FunctionAt(*frame), reinterpret_cast<const void*>(function));
  };
  expect(Outer, entry - 1);
  expect(Inner, entry - 2);
  for (void* frame : frames) {
    Dl_info info;
    EXPECT_NE(dladdr(frame, &info), 0) << frame << " is no code";
    EXPECT_NE(FunctionAt(frame), nullptr) << frame << " is in no function";
  }
}

TEST_P(BacktraceTest, R11_StopsAtTheEntry) {
  for (const int garbage : {0xA5, 0x00, 0xFF}) {
    SCOPED_TRACE(garbage);
    StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
    StackOrError made = pool.Acquire();
    ASSERT_EQ(made.error, "");
    // The page of the top too, above the top.
    StackBounds bounds;
    ASSERT_TRUE(FindStack(made.stack.limit(), bounds));
    std::memset(made.stack.limit(), garbage,
                static_cast<size_t>(bounds.end - made.stack.limit()));
    Call call{GetParam().walk, {}, {}};
    SavedContext fiber = SavedContext::Create(made.stack, Entry, &call);
    Switch(call.test, fiber);
    ExpectEndsAtEntry(call.frames);
  }
}

TEST_P(BacktraceTest, R11_StopsOnAStackThatWasUsedBefore) {
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  size_t frames = 0;
  for (int i = 0; i < 3; ++i) {
    StackOrError made = pool.Acquire();
    ASSERT_EQ(made.error, "");
    Call call{GetParam().walk, {}, {}};
    SavedContext fiber = SavedContext::Create(made.stack, Entry, &call);
    Switch(call.test, fiber);
    ExpectEndsAtEntry(call.frames);
    if (i == 0) frames = call.frames.size();
    EXPECT_EQ(call.frames.size(), frames);
  }
}

TEST_P(BacktraceTest, R11_StopsAfterASwitch) {
  // A fiber that was continued, from deeper than it was started from.
  StackPool pool({.stack_size = 64 << 10, .max_stacks = 1});
  struct Parks {
    Call call;
    SavedContext fiber;
    static void Park(void* argument) {
      Parks& parks = *static_cast<Parks*>(argument);
      Switch(parks.fiber, parks.call.test);
      Entry(&parks.call);
    }
  } parks{{GetParam().walk, {}, {}}, {}};
  StackOrError made = pool.Acquire();
  ASSERT_EQ(made.error, "");
  std::memset(made.stack.limit(), 0xA5, made.stack.size());
  parks.fiber = SavedContext::Create(made.stack, Parks::Park, &parks);
  Switch(parks.call.test, parks.fiber);
  Switch(parks.call.test, parks.fiber);
  EXPECT_GE(parks.call.frames.size(), 3u);
  EXPECT_LE(parks.call.frames.size(), 10u);
  for (void* frame : parks.call.frames) {
    EXPECT_NE(FunctionAt(frame), nullptr) << frame << " is in no function";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ways, BacktraceTest,
    ::testing::Values(Way{"Backtrace", WalkByBacktrace},
                      Way{"Unwinder", WalkByUnwinder},
                      Way{"FramePointer", WalkByFramePointer},
                      Way{"Abseil", WalkByAbseil}),
    [](const ::testing::TestParamInfo<Way>& way) -> std::string {
      return way.param.name;
    });

}  // namespace
}  // namespace greenback::context
