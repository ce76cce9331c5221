// A fiber that runs a body until it yields: what most tests of the core need.
//
//   TestFiber fiber(pool, [](TestFiber& self) {
//     ...
//     self.Yield();     // back to the caller of Resume()
//     ...
//   });
//   fiber.Resume();     // until Yield() or the body's end
//   fiber.Resume();
//   EXPECT_TRUE(fiber.done());
//
// Resume() may be called on any thread, one at a time. A fiber destroyed before
// it is done is abandoned: its stack is returned and its frames are forgotten.
#ifndef GREENBACK_CONTEXT_INTERNAL_FIBER_FOR_TEST_H_
#define GREENBACK_CONTEXT_INTERNAL_FIBER_FOR_TEST_H_

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"

namespace greenback::context {

class TestFiber {
 public:
  using Body = std::function<void(TestFiber&)>;

  TestFiber(StackPool& pool, Body body) : body_(std::move(body)) {
    StackOrError made = pool.Acquire();
    if (!made.stack) {
      std::fprintf(stderr, "%s\n", made.error.c_str());
      std::abort();
    }
    stack_ = std::move(made.stack);
    context_ = SavedContext::Create(stack_, Main, this);
  }
  explicit TestFiber(Body body)
      : TestFiber(StackPool::Default(), std::move(body)) {}
  TestFiber(const TestFiber&) = delete;
  TestFiber& operator=(const TestFiber&) = delete;

  void Resume() { Switch(resumer_, context_); }
  void Yield() { Switch(context_, resumer_); }

  bool done() const { return done_; }
  const Stack& stack() const { return stack_; }

 private:
  static void Main(void* argument) {
    TestFiber& self = *static_cast<TestFiber*>(argument);
    self.body_(self);
    self.done_ = true;
    FinalSwitch(self.resumer_);
  }

  Body body_;
  Stack stack_;
  SavedContext context_;
  SavedContext resumer_;
  bool done_ = false;
};

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_INTERNAL_FIBER_FOR_TEST_H_
