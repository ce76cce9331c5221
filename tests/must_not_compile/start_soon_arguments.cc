#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

greenback::Co<void> Work(const char* name);

void Spawn(greenback::Nursery& nursery) {
#ifdef MUST_NOT_COMPILE
  nursery.StartSoon(Work, 42);
#else
  nursery.StartSoon(Work, "forty-two");
#endif
}
