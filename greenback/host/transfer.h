// Transfer from coroutine to coroutine that grows no stack. Internal.
//
// `await_suspend` that returns a handle is meant to be a tail call: symmetric
// transfer. clang makes it one always; g++ only at -O2 and without sanitizers,
// and elsewhere a loop of a hundred thousand awaits overflows the stack. So
// with g++ the handle is left for the innermost trampoline below, to which the
// transferring coroutine returns:
//
//   ResumeAndTransfer(handle);              // a trampoline: resumes until done
//   return TransferTo(handle);              // in an await_suspend above it
//
// All who resume greenback's coroutines are trampolines: the loop, Await(), and
// a coroutine type of another library that awaits one.
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

// For the trampoline of this thread. There is none there already.
void LeaveForTrampoline(std::coroutine_handle<> handle) noexcept;
// What was left, or null.
std::coroutine_handle<> TakeFromTrampoline() noexcept;

// What an await_suspend returns to go on with `handle`.
inline std::coroutine_handle<> TransferTo(
    std::coroutine_handle<> handle) noexcept {
  if constexpr (kTailCalls) return handle;
  LeaveForTrampoline(handle);
  return std::noop_coroutine();
}

// Resumes `handle`, and what it transfers to, until something suspends.
inline void ResumeAndTransfer(std::coroutine_handle<> handle) {
  handle.resume();
  if constexpr (!kTailCalls) {
    while (std::coroutine_handle<> next = TakeFromTrampoline()) next.resume();
  }
}

// The same, for who knows a function and an argument only: the handle's
// address().
inline void ResumeAddress(void* address) {
  ResumeAndTransfer(std::coroutine_handle<>::from_address(address));
}

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_TRANSFER_H_
