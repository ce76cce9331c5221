#include "instrument/instrument.h"

namespace instrument {

static int counted = 0;

void Count() { ++counted; }

int Counted() { return counted; }

}  // namespace instrument
