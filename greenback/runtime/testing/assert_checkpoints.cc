#include "greenback/runtime/testing/assert_checkpoints.h"

#include "greenback/runtime/internal/cancel_state.h"
#include "greenback/runtime/internal/loop.h"
#include "greenback/runtime/task.h"
#include "gtest/gtest.h"

namespace greenback {
namespace internal {

PointsPassed::PointsPassed()
    : steps_(CurrentCancellable().loop->step_count()),
      cancellation_points_(CurrentCancellable().cancellation_points) {}

// The loop has begun another step, unless the task has run all the time.
bool PointsPassed::schedule_point() const {
  return CurrentCancellable().loop->step_count() != steps_;
}

bool PointsPassed::cancellation_point() const {
  return CurrentCancellable().cancellation_points != cancellation_points_;
}

}  // namespace internal

AssertCheckpoints::~AssertCheckpoints() {
  if (!passed_.schedule_point()) {
    ADD_FAILURE_AT(where_.file_name(), static_cast<int>(where_.line()))
        << "AssertCheckpoints: there was no schedule point";
  }
  if (!passed_.cancellation_point()) {
    ADD_FAILURE_AT(where_.file_name(), static_cast<int>(where_.line()))
        << "AssertCheckpoints: there was no cancellation point";
  }
}

AssertNoCheckpoints::~AssertNoCheckpoints() {
  if (passed_.schedule_point()) {
    ADD_FAILURE_AT(where_.file_name(), static_cast<int>(where_.line()))
        << "AssertNoCheckpoints: there was a schedule point";
  }
  if (passed_.cancellation_point()) {
    ADD_FAILURE_AT(where_.file_name(), static_cast<int>(where_.line()))
        << "AssertNoCheckpoints: there was a cancellation point";
  }
}

}  // namespace greenback
