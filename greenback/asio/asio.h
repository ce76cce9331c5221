// All of //greenback/asio: Boost.Asio with greenback. Needs exceptions;
// operation.h and run_executor.h do not.
#ifndef GREENBACK_ASIO_ASIO_H_
#define GREENBACK_ASIO_ASIO_H_

// IWYU pragma: begin_exports
#include "greenback/asio/awaitable.h"
#include "greenback/asio/operation.h"
#include "greenback/asio/portal.h"
#include "greenback/asio/portal_executor.h"
#include "greenback/asio/run_executor.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_ASIO_ASIO_H_
