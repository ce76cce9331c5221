#include "greenback/asio/internal/operation_result.h"

#include <boost/system/system_error.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "greenback/internal/exceptions.h"

namespace greenback::asio::internal {

void ThrowErrorCode(const boost::system::error_code& error) {
#if defined(__cpp_exceptions)
  throw boost::system::system_error(error);
#else
  std::fprintf(
      stderr,
      "greenback: an Asio operation failed: %s\nThis program has no exceptions "
      "to say so: await operations that may fail, or be cancelled, with "
      "as_tuple(deferred) in place of deferred, and look at the error_code\n",
      error.message().c_str());
  std::abort();
#endif
}

void ThrowDropped() {
  greenback::internal::ThrowOrDie(boost::system::system_error(
      boost::asio::error::operation_aborted,
      "greenback: an Asio operation ended without a call of its handler, which "
      "was destroyed with its io_context or by the code that held it"));
}

bool ReportsAbort(const boost::system::error_code& error) {
  return error == boost::asio::error::operation_aborted;
}

bool ReportsAbort([[maybe_unused]] const std::exception_ptr& error) {
  bool aborted = false;
#if defined(__cpp_exceptions)
  if (error) {
    try {
      std::rethrow_exception(error);
    } catch (const boost::system::system_error& system_error) {
      aborted = ReportsAbort(system_error.code());
    } catch (...) {
    }
  }
#endif
  return aborted;
}

}  // namespace greenback::asio::internal
