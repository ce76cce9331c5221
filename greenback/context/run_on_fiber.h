// RunOnFiber(fn): borrows a stack, runs `fn` on it, and returns its result.
//
//   std::optional<Expr> tree = greenback::RunOnFiber(pool, [&] {
//     return ParseRecursively(text);  // too deep for this thread's stack
//   });
//
// Use it for deep recursion on a thread whose stack is small. It runs no other
// task meanwhile: to wait, use Await(), which works inside `fn` as outside.
//
// Result: what `fn` returns, references included. An exception of `fn`
// propagates out of RunOnFiber(). `fn` starts with no exception in flight, even
// if the caller is inside a `catch`.
// Suspends: never by itself. When `fn` awaits, the caller's frames wait too,
// and all of them may resume on another thread.
// Errors: StackExhausted when the pool has no stack left (without exceptions it
// prints the message and aborts).
#ifndef GREENBACK_CONTEXT_RUN_ON_FIBER_H_
#define GREENBACK_CONTEXT_RUN_ON_FIBER_H_

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "greenback/context/stack_pool.h"

namespace greenback {

// There was no stack. The message says what ran out, and which setting to
// raise.
class StackExhausted : public std::bad_alloc {
 public:
  explicit StackExhausted(std::string message)
      : message_(std::make_shared<const std::string>(std::move(message))) {}
  const char* what() const noexcept override { return message_->c_str(); }

 private:
  std::shared_ptr<const std::string> message_;  // copying must not throw
};

namespace context::internal {
// Calls call(argument) on a stack of `pool`; its exceptions propagate.
void RunOnFiber(StackPool& pool, void (*call)(void*), void* argument);
}  // namespace context::internal

template <class Fn>
std::invoke_result_t<Fn> RunOnFiber(context::StackPool& pool, Fn&& fn) {
  using Result = std::invoke_result_t<Fn>;
  if constexpr (std::is_void_v<Result>) {
    // Not the address of `fn` itself: the address of a function, or of a const
    // object, does not convert to void*.
    struct Call {
      std::remove_reference_t<Fn>* fn;
    } call{std::addressof(fn)};
    context::internal::RunOnFiber(
        pool,
        [](void* argument) {
          std::forward<Fn> (*static_cast<Call*>(argument)->fn)();
        },
        &call);
  } else {
    // A reference is passed as a pointer.
    using Slot = std::conditional_t<std::is_reference_v<Result>,
                                    std::remove_reference_t<Result>*,
                                    std::optional<Result>>;
    struct Call {
      std::remove_reference_t<Fn>* fn;
      Slot slot;
    } call{std::addressof(fn), {}};
    context::internal::RunOnFiber(
        pool,
        [](void* argument) {
          Call& made = *static_cast<Call*>(argument);
          if constexpr (std::is_reference_v<Result>) {
            Result result = std::forward<Fn>(*made.fn)();
            made.slot = std::addressof(result);
          } else {
            made.slot.emplace(std::forward<Fn>(*made.fn)());
          }
        },
        &call);
    return static_cast<Result>(*std::move(call.slot));
  }
}

// The same on a stack of the process's own pool, of 1 MiB.
template <class Fn>
std::invoke_result_t<Fn> RunOnFiber(Fn&& fn) {
  return RunOnFiber(context::StackPool::Default(), std::forward<Fn>(fn));
}

}  // namespace greenback

#endif  // GREENBACK_CONTEXT_RUN_ON_FIBER_H_
