// AutoPortalInstrument: gives a portal to every task of a run.
//
//   greenback::AutoPortalInstrument portals;
//   greenback::RunOptions options;
//   options.instruments = {&portals};
//   greenback::Run(options, Main);
//
// Every task that is spawned while the instrument is installed begins with a
// portal, system tasks (system_task.h) included. Use it for a program that is
// synchronous code for the most part. To give portals to the tasks of one call,
// and not to those of the libraries that the program uses, WithPortalRunTree()
// is better; for a single task, EnsurePortal().
//
// It may also be added during a run, with AddInstrument(): tasks that have been
// spawned before then get no portal. A portal costs its task nothing until it
// is used. Nothing here suspends. Ownership: as for all instruments, the
// caller's.
#ifndef GREENBACK_INSTRUMENT_AUTO_PORTAL_INSTRUMENT_H_
#define GREENBACK_INSTRUMENT_AUTO_PORTAL_INSTRUMENT_H_

#include "greenback/portal.h"
#include "greenback/runtime/instrument.h"
#include "greenback/runtime/task.h"

namespace greenback {

class AutoPortalInstrument final : public Instrument {
 public:
  void task_spawned(Task& task) override { BestowPortal(task); }
};

}  // namespace greenback

#endif  // GREENBACK_INSTRUMENT_AUTO_PORTAL_INSTRUMENT_H_
