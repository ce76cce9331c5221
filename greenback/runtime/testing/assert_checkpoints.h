// AssertCheckpoints and AssertNoCheckpoints: assert, in a test, that a part of
// a task makes a checkpoint, or that it makes none.
//
//   {
//     greenback::AssertCheckpoints yes;
//     co_await queue.Take();
//   }
//   {
//     greenback::AssertNoCheckpoints no;
//     queue.PutNow(1);
//   }
//
// A function that promises to be a checkpoint should be one on every path, so
// that a loop around it lets others run and can be cancelled: AssertCheckpoints
// fails unless there was both a schedule point and a cancellation point.
// AssertNoCheckpoints fails if there was either.
//
// At its end, in the task in which it began, it adds a failure to the running
// GoogleTest test, at the place where it began. Nothing here suspends.
#ifndef GREENBACK_RUNTIME_TESTING_ASSERT_CHECKPOINTS_H_
#define GREENBACK_RUNTIME_TESTING_ASSERT_CHECKPOINTS_H_

#include <cstdint>
#include <source_location>

namespace greenback {

namespace internal {

// The points that the running task has passed since this object was made.
class PointsPassed {
 public:
  PointsPassed();
  bool schedule_point() const;
  bool cancellation_point() const;

 private:
  const uint64_t steps_;
  const uint64_t cancellation_points_;
};

}  // namespace internal

class [[nodiscard]] AssertCheckpoints {
 public:
  explicit AssertCheckpoints(
      std::source_location where = std::source_location::current())
      : where_(where) {}
  AssertCheckpoints(const AssertCheckpoints&) = delete;
  AssertCheckpoints& operator=(const AssertCheckpoints&) = delete;
  ~AssertCheckpoints();

 private:
  const std::source_location where_;
  const internal::PointsPassed passed_;
};

class [[nodiscard]] AssertNoCheckpoints {
 public:
  explicit AssertNoCheckpoints(
      std::source_location where = std::source_location::current())
      : where_(where) {}
  AssertNoCheckpoints(const AssertNoCheckpoints&) = delete;
  AssertNoCheckpoints& operator=(const AssertNoCheckpoints&) = delete;
  ~AssertNoCheckpoints();

 private:
  const std::source_location where_;
  const internal::PointsPassed passed_;
};

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_TESTING_ASSERT_CHECKPOINTS_H_
