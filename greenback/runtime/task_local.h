// Forwards to greenback/task_local.h: TaskLocal works on every host, not only
// in the runtime.
#ifndef GREENBACK_RUNTIME_TASK_LOCAL_H_
#define GREENBACK_RUNTIME_TASK_LOCAL_H_

#include "greenback/task_local.h"  // IWYU pragma: export

#endif  // GREENBACK_RUNTIME_TASK_LOCAL_H_
