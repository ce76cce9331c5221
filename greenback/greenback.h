// The portal manager and the runtime: all of greenback/ except Boost.Asio's
// part and the context-switch core by itself. Where less is enough, depend on
// single targets instead.
#ifndef GREENBACK_GREENBACK_H_
#define GREENBACK_GREENBACK_H_

// IWYU pragma: begin_exports
#include "greenback/abandoned.h"
#include "greenback/await.h"
#include "greenback/awaitable.h"
#include "greenback/coroutine_library.h"
#include "greenback/from_callback.h"
#include "greenback/host/portal_task.h"
#include "greenback/no_await_lock.h"
#include "greenback/no_await_scope.h"
#include "greenback/portal.h"
#include "greenback/portal_error.h"
#include "greenback/portal_options.h"
#include "greenback/runtime/runtime.h"
#include "greenback/task_local.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_GREENBACK_H_
