#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

greenback::Co<absl::Status> Work() {
#ifdef MUST_NOT_COMPILE
  auto body = [](int) -> greenback::Co<void> { co_return; };
#else
  auto body = [](greenback::Nursery&) -> greenback::Co<void> { co_return; };
#endif
  return greenback::OpenNursery(body);
}
