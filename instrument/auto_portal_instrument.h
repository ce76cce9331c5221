// AutoPortalInstrument: a portal for every task of a run.
//
//   greenback::AutoPortalInstrument portals;
//   greenback::RunOptions options;
//   options.instruments = {&portals};
//   greenback::Run(options, Main);
//
// Every task that is spawned while the run tells it of them begins with a
// portal, system tasks (system_task.h) included. For a program that is
// synchronous code for the most part. Where the tasks below one call are meant,
// and not those of the libraries that it uses, WithPortalRunTree() is better;
// where it is one task, EnsurePortal().
//
// May also be added in the middle of a run, with AddInstrument(): tasks that
// are there already get none. A portal costs its task nothing until it is used.
// Nothing here suspends. Ownership: as of all instruments, the caller's.
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
