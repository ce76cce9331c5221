// All of //greenback/asio: Boost.Asio with greenback.
#ifndef GREENBACK_ASIO_ASIO_H_
#define GREENBACK_ASIO_ASIO_H_

// IWYU pragma: begin_exports
#include "greenback/asio/operation.h"
#include "greenback/asio/run_executor.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_ASIO_ASIO_H_
