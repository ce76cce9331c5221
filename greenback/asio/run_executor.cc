#include "greenback/asio/run_executor.h"

#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/internal/reactor.h"
#include "greenback/runtime/internal/reactor_context.h"

namespace greenback::asio {

boost::asio::io_context::executor_type RunExecutor() {
  internal::Loop* const loop = internal::Loop::Current();
  if (loop == nullptr) internal::DieOutsideRun("asio::RunExecutor()");
  loop->reactor().KeepPolling();
  return loop->reactor().context().io.get_executor();
}

}  // namespace greenback::asio
