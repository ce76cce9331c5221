#include "instrument/auto_portal_instrument.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "greenback/greenback.h"
#include "gtest/gtest.h"
#include "tests/support/run_nursery.h"

namespace greenback {
namespace {

using ::testing::ElementsAre;

void Note(std::vector<std::string>& log, const std::string& name) {
  log.push_back(absl::StrCat(name, HasPortal() ? " yes" : " no"));
  if (HasPortal()) (void)Await(Checkpoint());
}

TEST(AutoPortalInstrumentTest, T05_HandedToRunItCoversSystemTasksToo) {
  std::vector<std::string> log;
  AutoPortalInstrument portals;
  RunOptions options;
  options.instruments = {&portals};
  RunNurseryOk(options, [&](Nursery& nursery) -> Co<void> {
    SpawnSystemTask([&log]() -> Co<void> {
      Note(log, "system task");
      co_return;
    });
    nursery.StartSoon([&log]() -> Co<void> {
      Note(log, "child");
      co_return;
    });
    Note(log, "main");
    (void)co_await Checkpoint();
  });
  EXPECT_THAT(log, ElementsAre("main yes", "system task yes", "child yes"));
}

TEST(AutoPortalInstrumentTest, AddedLaterItCoversWhatIsSpawnedFromThenOn) {
  std::vector<std::string> log;
  AutoPortalInstrument portals;
  RunNurseryOk([&](Nursery& nursery) -> Co<void> {
    const auto spawn = [&](const char* name) {
      nursery.StartSoon(
          [&log](const char* name) -> Co<void> {
            (void)co_await Checkpoint();
            Note(log, name);
          },
          name);
    };
    spawn("before");
    AddInstrument(portals);
    spawn("during");
    EXPECT_TRUE(RemoveInstrument(portals));
    spawn("after");
    Note(log, "main");
    co_return;
  });
  EXPECT_THAT(log,
              ElementsAre("main no", "before no", "during yes", "after no"));
}

}  // namespace
}  // namespace greenback
