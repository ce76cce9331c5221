// Includes every utility over portals.
#ifndef GREENBACK_UTIL_GREENBACK_UTIL_H_
#define GREENBACK_UTIL_GREENBACK_UTIL_H_

// IWYU pragma: begin_exports
#include "util/async_context.h"
#include "util/async_generator.h"
#include "util/async_iter.h"
#include "util/auto_await.h"
#include "util/context_manager.h"
#include "util/decorate_as_sync.h"
#include "util/exit_reason.h"
#include "util/lost_failure.h"
#include "util/with_async_context.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_UTIL_GREENBACK_UTIL_H_
