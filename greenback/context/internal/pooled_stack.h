// IsPooledStack(): for the leak checker, which knows the stacks of the pools
// already. Internal.
#ifndef GREENBACK_CONTEXT_INTERNAL_POOLED_STACK_H_
#define GREENBACK_CONTEXT_INTERNAL_POOLED_STACK_H_

namespace greenback::context {

// Whether `address` is in a stack of a StackPool, or in the guard of one.
// Async-signal-safe. Defined in stack_pool.cc.
bool IsPooledStack(const void* address) noexcept;

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_INTERNAL_POOLED_STACK_H_
