// All of the utilities over portals.
#ifndef GREENBACK_UTIL_UTIL_H_
#define GREENBACK_UTIL_UTIL_H_

#include "util/async_context.h"       // IWYU pragma: export
#include "util/auto_await.h"          // IWYU pragma: export
#include "util/context_manager.h"     // IWYU pragma: export
#include "util/decorate_as_sync.h"    // IWYU pragma: export
#include "util/exit_reason.h"         // IWYU pragma: export
#include "util/lost_failure.h"        // IWYU pragma: export
#include "util/with_async_context.h"  // IWYU pragma: export

#endif  // GREENBACK_UTIL_UTIL_H_
