// The whole runtime: structured concurrency on a loop that runs on fibers.
#ifndef GREENBACK_RUNTIME_RUNTIME_H_
#define GREENBACK_RUNTIME_RUNTIME_H_

// IWYU pragma: begin_exports
#include "greenback/runtime/cancel_scope.h"
#include "greenback/runtime/checkpoint.h"
#include "greenback/runtime/clock.h"
#include "greenback/runtime/co.h"
#include "greenback/runtime/event.h"
#include "greenback/runtime/exception_group.h"
#include "greenback/runtime/fail_scope.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/process.h"
#include "greenback/runtime/reschedule.h"
#include "greenback/runtime/run.h"
#include "greenback/runtime/run_in_thread.h"
#include "greenback/runtime/run_local.h"
#include "greenback/runtime/run_options.h"
#include "greenback/runtime/run_token.h"
#include "greenback/runtime/sleep.h"
#include "greenback/runtime/system_task.h"
#include "greenback/runtime/task.h"
#include "greenback/runtime/task_local.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_RUNTIME_RUNTIME_H_
