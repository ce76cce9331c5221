// The whole context-switch core: stacks, the switch, running on a fiber.
// Depends on Boost.Context alone.
#ifndef GREENBACK_CONTEXT_CONTEXT_H_
#define GREENBACK_CONTEXT_CONTEXT_H_

// IWYU pragma: begin_exports
#include "greenback/context/exception_state.h"
#include "greenback/context/run_on_fiber.h"
#include "greenback/context/stack_overflow.h"
#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_CONTEXT_CONTEXT_H_
