// TaskLocal serves every host, and lives in greenback/task_local.h.
#ifndef GREENBACK_RUNTIME_TASK_LOCAL_H_
#define GREENBACK_RUNTIME_TASK_LOCAL_H_

#include "greenback/task_local.h"  // IWYU pragma: export

#endif  // GREENBACK_RUNTIME_TASK_LOCAL_H_
