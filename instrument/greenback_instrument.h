// Includes every way to give portals to whole trees of tasks.
#ifndef GREENBACK_INSTRUMENT_GREENBACK_INSTRUMENT_H_
#define GREENBACK_INSTRUMENT_GREENBACK_INSTRUMENT_H_

// IWYU pragma: begin_exports
#include "instrument/auto_portal_instrument.h"
#include "instrument/portals_for_children.h"
#include "instrument/portals_for_tree.h"
#include "instrument/with_portal_run_tree.h"
// IWYU pragma: end_exports

#endif  // GREENBACK_INSTRUMENT_GREENBACK_INSTRUMENT_H_
