// RunNurseryOk(body): a run whose main task is one nursery, which is what many
// tests need.
//
//   RunNurseryOk([&](Nursery& nursery) -> Co<void> {
//     nursery.StartSoon(Child, ...);
//     ...
//   });
//
// It returns after the body and all children have ended, and expects the status
// of the nursery to be OK. RunNursery() returns that status.
#ifndef GREENBACK_TESTS_SUPPORT_RUN_NURSERY_H_
#define GREENBACK_TESTS_SUPPORT_RUN_NURSERY_H_

#include <utility>

#include "absl/status/status.h"
#include "greenback/runtime/nursery.h"
#include "greenback/runtime/run.h"
#include "gtest/gtest.h"

namespace greenback {

template <class Body>
absl::Status RunNursery(const RunOptions& options, Body body) {
  return Run(options, OpenNursery<Body>, std::move(body));
}

template <class Body>
absl::Status RunNursery(Body body) {
  return RunNursery(RunOptions(), std::move(body));
}

template <class Body>
void RunNurseryOk(const RunOptions& options, Body body) {
  const absl::Status status = RunNursery(options, std::move(body));
  EXPECT_TRUE(status.ok()) << status;
}

template <class Body>
void RunNurseryOk(Body body) {
  RunNurseryOk(RunOptions(), std::move(body));
}

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_RUN_NURSERY_H_
