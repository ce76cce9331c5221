#include "greenback/asio/run_executor.h"

#include "greenback/runtime/run_io.h"

namespace greenback::asio {

boost::asio::io_context::executor_type RunExecutor() {
  const auto io =
      greenback::internal::RunIo::CurrentOrDie("asio::RunExecutor()");
  io.KeepPolling();
  return io.context().get_executor();
}

}  // namespace greenback::asio
