#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

#ifdef MUST_NOT_COMPILE
greenback::Co<int> Serve(greenback::TaskStatus<> started);
#else
greenback::Co<void> Serve(greenback::TaskStatus<> started);
#endif

greenback::Co<absl::Status> Spawn(greenback::Nursery& nursery) {
  return nursery.Start(Serve);
}
