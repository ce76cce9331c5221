// How one coroutine resumes another without growing the stack. Internal.
//
// When an await_suspend returns a handle, the compiler should resume that by a
// tail call: symmetric transfer. clang always does; g++ does so only at -O2 and
// without sanitizers, and otherwise a loop of a hundred thousand awaits
// overflows the stack. So with g++ the handle is left for the innermost
// trampoline on the stack, to which the transferring coroutine returns:
//
//   ResumeAndTransfer(handle);    // a trampoline: resumes until none is left
//   return TransferTo(handle);    // in an await_suspend that it has called
//
// All code that resumes greenback's coroutines is a trampoline: the loop,
// Await(), and the awaiter by which a coroutine of another library awaits one.
#ifndef GREENBACK_HOST_TRANSFER_H_
#define GREENBACK_HOST_TRANSFER_H_

#include <concepts>
#include <coroutine>

namespace greenback::internal {

#if defined(__clang__)
inline constexpr bool kTailCalls = true;
#else
inline constexpr bool kTailCalls = false;
#endif

// Base of the promises of coroutines that are only ever resumed by trampolines,
// so that what they await may use TransferTo().
struct TransferringPromise {};
template <class Promise>
concept Transferring = std::derived_from<Promise, TransferringPromise>;

// Leaves a handle for the trampoline of this thread, where there must be none.
void LeaveForTrampoline(std::coroutine_handle<> handle) noexcept;
// Takes the handle that was left. Null if there is none.
std::coroutine_handle<> TakeFromTrampoline() noexcept;

// Resumes `handle` next. An await_suspend returns the result.
inline std::coroutine_handle<> TransferTo(
    std::coroutine_handle<> handle) noexcept {
  if constexpr (kTailCalls) return handle;
  LeaveForTrampoline(handle);
  return std::noop_coroutine();
}

// Resumes `handle`, and the coroutines that it transfers to, until one suspends
// without a transfer.
inline void ResumeAndTransfer(std::coroutine_handle<> handle) {
  handle.resume();
  if constexpr (!kTailCalls) {
    while (std::coroutine_handle<> next = TakeFromTrampoline()) next.resume();
  }
}

// The same, for a caller that keeps a function and its argument. The argument
// is the handle's address().
inline void ResumeAddress(void* address) {
  ResumeAndTransfer(std::coroutine_handle<>::from_address(address));
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_TRANSFER_H_
