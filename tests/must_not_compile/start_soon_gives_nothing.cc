#include "greenback/runtime/co.h"
#include "greenback/runtime/nursery.h"

#ifdef MUST_NOT_COMPILE
void Work();
#else
greenback::Co<void> Work();
#endif

void Spawn(greenback::Nursery& nursery) { nursery.StartSoon(Work); }
