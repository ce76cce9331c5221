// Tells the sanitizers and Valgrind what a switch does to the stack.
//
// They all assume that a thread has one stack. Each hook below is empty unless
// the build has the tool it speaks to, so callers need no #ifdef:
//
// - AddressSanitizer: start and finish of each switch, so that its idea of the
//   stack's bounds and its "fake" frames (detect_stack_use_after_return) follow
//   the switch; poison of a dead flow's frames is lifted before its stack is
//   used again.
// - LeakSanitizer: fiber stacks are memory in which to look for pointers; so
//   are, while they wait, "fake" frames and the threads' own stacks.
// - ThreadSanitizer: one TSan fiber for each flow of control.
// - Valgrind: stacks are registered; only with -DGREENBACK_VALGRIND
//   (`--config=valgrind`), as it needs Valgrind's header.
//
// Not for use outside //greenback/context. Nothing here suspends, throws or
// allocates.
#ifndef GREENBACK_CONTEXT_INTERNAL_SANITIZER_H_
#define GREENBACK_CONTEXT_INTERNAL_SANITIZER_H_

#include <cstddef>

#include "greenback/context/internal/pooled_stack.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GREENBACK_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define GREENBACK_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define GREENBACK_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define GREENBACK_TSAN 0
#endif

#if defined(GREENBACK_VALGRIND)
#include <valgrind/valgrind.h>
#endif

// For the functions that take part in a switch. TSan would note the entry of an
// instrumented one on one fiber's call stack and its exit on another's; ASan
// would keep its locals in a "fake" frame, which is freed when a flow ends
// while the other side still reads what was passed to it. clang's
// no_sanitize("thread") leaves the notes of entry and exit in.
#if defined(__clang__)
#define GREENBACK_SWITCHES \
  __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define GREENBACK_SWITCHES \
  __attribute__((noinline, no_sanitize("address", "thread")))
#endif
// The same for functions that are inlined where no sanitizer is at work; see
// jump.h.
#if GREENBACK_ASAN || GREENBACK_TSAN
#define GREENBACK_SWITCHES_INLINE GREENBACK_SWITCHES inline
#else
#define GREENBACK_SWITCHES_INLINE inline __attribute__((always_inline))
#endif

namespace greenback::context::sanitizer {

inline constexpr bool kAddress = GREENBACK_ASAN;
inline constexpr bool kThread = GREENBACK_TSAN;
#if defined(GREENBACK_VALGRIND)
inline constexpr bool kValgrind = true;
#else
inline constexpr bool kValgrind = false;
#endif

// What the tools must know about a flow of control that is not running.
struct FlowState {
#if GREENBACK_ASAN
  const void* bottom = nullptr;  // lowest address
  size_t size = 0;
  void* fake_stack = nullptr;
  bool is_root = false;  // the stack is registered with the leak checker
#endif
#if GREENBACK_TSAN
  void* fiber = nullptr;
#endif
#if GREENBACK_ASAN || GREENBACK_TSAN
  bool has_ended = false;
#endif
};

#if GREENBACK_ASAN
// The bytes of the fake frames that ASan makes for a stack of a size. Source:
// compiler-rt, asan_fake_stack.h (FakeStack::RequiredSize), asan_thread.cpp;
// the flags {min,max}_uar_stack_size_log as they are by default.
inline size_t FakeStackSize(size_t stack_size) {
  size_t log = 16;
  while (log < 20 && (size_t{1} << log) < stack_size) ++log;
  return 4096 + (size_t{1} << (log + 1 - 6)) + (size_t{11} << log);
}

// The leak checker scans the stacks on which threads run at the time, and the
// slabs. `flow` waits now / is about to continue.
GREENBACK_SWITCHES_INLINE void AddRoots(FlowState& flow) {
  if (flow.fake_stack) {
    __lsan_register_root_region(flow.fake_stack, FakeStackSize(flow.size));
  }
  flow.is_root = !IsPooledStack(flow.bottom);
  if (flow.is_root) __lsan_register_root_region(flow.bottom, flow.size);
}
GREENBACK_SWITCHES_INLINE void RemoveRoots(FlowState& flow) {
  if (flow.fake_stack) {
    __lsan_unregister_root_region(flow.fake_stack, FakeStackSize(flow.size));
  }
  if (flow.is_root) __lsan_unregister_root_region(flow.bottom, flow.size);
  flow.fake_stack = nullptr;
  flow.is_root = false;
}
#endif

// A flow is about to be made on the stack [bottom, bottom + size).
inline void OnCreate([[maybe_unused]] FlowState& flow,
                     [[maybe_unused]] void* bottom,
                     [[maybe_unused]] size_t size) {
#if GREENBACK_ASAN
  __asan_unpoison_memory_region(bottom, size);
  flow.bottom = bottom;
  flow.size = size;
#endif
#if GREENBACK_TSAN
  flow.fiber = __tsan_create_fiber(0);
#endif
}

// On the stack of `from`, right before the jump to `to`. `last`: `from` will
// never be continued. Returns what AfterJump() wants when it is.
GREENBACK_SWITCHES_INLINE void* BeforeJump([[maybe_unused]] FlowState& from,
                                           [[maybe_unused]] FlowState& to,
                                           [[maybe_unused]] bool last) {
  void* fake_stack = nullptr;
#if GREENBACK_ASAN
  RemoveRoots(to);
  __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack, to.bottom,
                                 to.size);
  from.fake_stack = fake_stack;
#endif
#if GREENBACK_TSAN
  from.fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.fiber, 0);
#endif
#if GREENBACK_ASAN || GREENBACK_TSAN
  from.has_ended = last;
#endif
  return fake_stack;
}

// On the other stack, right after the jump that left `from`. The bounds of
// `from` are noted only here, because it may be the thread's own stack, or one
// that another library has switched to without notice.
GREENBACK_SWITCHES_INLINE void AfterJump([[maybe_unused]] void* fake_stack,
                                         [[maybe_unused]] FlowState& from) {
#if GREENBACK_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &from.bottom, &from.size);
  if (!from.has_ended) AddRoots(from);
#endif
#if GREENBACK_TSAN
  if (from.has_ended) __tsan_destroy_fiber(from.fiber);
#endif
}

// Whether `address` is in a fake frame of the stack that runs.
inline bool IsFakeLocal([[maybe_unused]] const void* address) {
#if GREENBACK_ASAN
  void* const fake_stack = __asan_get_current_fake_stack();
  return fake_stack != nullptr &&
         __asan_addr_is_in_fake_stack(fake_stack, const_cast<void*>(address),
                                      nullptr, nullptr) != nullptr;
#else
  return false;
#endif
}

// A slab of stacks is mapped / about to be unmapped.
inline void OnMap([[maybe_unused]] void* slab, [[maybe_unused]] size_t size) {
#if GREENBACK_ASAN
  __lsan_register_root_region(slab, size);
#endif
}
inline void OnUnmap([[maybe_unused]] void* slab, [[maybe_unused]] size_t size) {
#if GREENBACK_ASAN
  __lsan_unregister_root_region(slab, size);
  __asan_unpoison_memory_region(slab, size);
#endif
}

// A stack gets its place in a slab / loses it. The id belongs to the stack.
inline unsigned RegisterStack([[maybe_unused]] void* bottom,
                              [[maybe_unused]] void* top) {
#if defined(GREENBACK_VALGRIND)
  return VALGRIND_STACK_REGISTER(bottom, top);
#else
  return 0;
#endif
}
inline void DeregisterStack([[maybe_unused]] unsigned id) {
#if defined(GREENBACK_VALGRIND)
  VALGRIND_STACK_DEREGISTER(id);
#endif
}

}  // namespace greenback::context::sanitizer

#endif  // GREENBACK_CONTEXT_INTERNAL_SANITIZER_H_
