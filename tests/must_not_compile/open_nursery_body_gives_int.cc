#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

greenback::Co<absl::Status> Work() {
#ifdef MUST_NOT_COMPILE
  auto body = [](greenback::Nursery&) -> greenback::Co<int> { co_return 42; };
#else
  auto body = [](greenback::Nursery&) -> greenback::Co<void> { co_return; };
#endif
  return greenback::OpenNursery(body);
}
