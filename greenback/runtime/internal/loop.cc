#include "greenback/runtime/internal/loop.h"

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/exceptions.h"
#include "greenback/portal_error.h"

namespace greenback {

absl::Time CurrentTime() {
  internal::Loop* const loop = internal::Loop::Current();
  if (loop == nullptr) internal::DieOutsideRun("CurrentTime()");
  return loop->clock().Now();
}

namespace internal {
namespace {

// Often enough for I/O to be prompt, and rarely enough to add no measurable
// cost to a checkpoint.
constexpr uint64_t kStepsBetweenPolls = 64;

// The idle fibers that a loop keeps. The stacks of further ones return to the
// pool, which decides whether to keep their memory.
constexpr size_t kMostIdleFibers = 64;

class MonotonicClock final : public Clock {
 public:
  absl::Time Now() override {
    return start_ +
           absl::FromChrono(std::chrono::steady_clock::now() - steady_start_);
  }
  absl::Duration TimeToWait(absl::Time deadline) override {
    return deadline == absl::InfiniteFuture() ? absl::InfiniteDuration()
                                              : deadline - Now();
  }

 private:
  const absl::Time start_ = absl::Now();
  const std::chrono::steady_clock::time_point steady_start_ =
      std::chrono::steady_clock::now();
};

}  // namespace

void DieOutsideRun(const char* what) {
  const PortalTask* const task = ThisThread().current_task;
  if (task != nullptr) {
    ThrowOrDie(
        PortalError(PortalError::Reason::kWrongHost,
                    absl::StrCat("greenback::", what, ": task \"", task->name(),
                                 "\" is run by ", task->host(),
                                 ", and this is for tasks that are run by "
                                 "greenback::Run(); use what ",
                                 task->host(), " has for it")));
  }
  ThrowOrDie(std::logic_error(absl::StrCat(
      "greenback::", what,
      ": no task of a run is running on this thread; call it in code that "
      "greenback::Run() runs")));
}

struct Loop::Fiber {
  Loop* loop;
  size_t index;  // in fibers_
  context::Stack stack;
  context::SavedContext context;  // while idle
};

Loop::Loop(context::StackPoolOptions stacks, Clock* clock)
    : thread_(std::this_thread::get_id()),
      stacks_(stacks),
      own_clock_(clock ? nullptr : std::make_unique<MonotonicClock>()),
      clock_(clock ? clock : own_clock_.get()) {
  // A failure to file a fiber as idle could not be reported.
  idle_.reserve(kMostIdleFibers);
}

Loop::~Loop() = default;

void Loop::Fail(std::exception_ptr error) noexcept {
  std::rethrow_exception(std::move(error));
}

absl::Status Loop::Run(absl::FunctionRef<void()> begin) {
  ReportStackOverflows();
  absl::Status made = MakeIdleFiber();
  if (!made.ok()) return made;
  thread_state_ = &ThisThread();
  outer_state_ = *thread_state_;
  *thread_state_ = {};
  thread_state_->loop = this;
  thread_state_->io = reactor_.io();
  thread_state_->steps = outer_state_.steps;
  const absl::Cleanup end = [this] { End(); };
  begin();

  running_ = idle_.back();
  idle_.pop_back();
  Switch(outside_, running_->context);
  return absl::OkStatus();
}

void Loop::End() noexcept {
  // Needed if begin() has thrown.
  Stop();
  // The last running fiber has ended. The idle ones notice that the loop has
  // stopped as soon as they resume.
  for (Fiber* fiber : idle_) Switch(outside_, fiber->context);
  idle_.clear();
  fibers_.clear();
  outer_state_.steps = thread_state_->steps;
  *thread_state_ = outer_state_;
}

void Loop::FiberMain(void* fiber) {
  Loop& loop = *static_cast<Fiber*>(fiber)->loop;
  loop.RunOnThisFiber();
  context::FinalSwitch(loop.outside_);
}

void Loop::RunOnThisFiber() {
  while (!stopped_) RunOne();
}

// Inlined, and called in one place only: see Jump::Go().
inline __attribute__((always_inline)) void Loop::SwitchTo(FiberWaiter& waiter) {
  Fiber* const self = running_;
  running_ = static_cast<Fiber*>(waiter.host_fiber);
  thread_state_->current_task = waiter.task;
  ++switch_count_;
  if (idle_.size() >= kMostIdleFibers) [[unlikely]] {
    context::FinalSwitch(waiter.context, RemoveFiber, self);
  }
  idle_.push_back(self);
  context::Switch(self->context, waiter.context);
  // Resumed here by Park(), which took this fiber from the idle ones, or at the
  // end of the run.
}

inline __attribute__((always_inline)) void Loop::RunOne() {
  ++step_count_;
  if (ready_.empty() || step_count_ >= next_poll_) [[unlikely]] {
    PollOrWait(/*may_wait=*/true);
  }
  Waiter* const waiter = static_cast<Waiter*>(&ready_.Pop());
  if (observer_ != nullptr) [[unlikely]]
    observer_->StepBegins(*waiter->task);
  thread_state_->current_task = waiter->task;
  FiberWaiter* woken = nullptr;
  if (waiter->kind() != Waiter::Kind::kFiber) [[likely]] {
    waiter->handle.resume();
    if (thread_state_->attention) [[unlikely]]
      woken = AfterStep();
  } else {
    woken = static_cast<FiberWaiter*>(waiter);
  }
  if (woken != nullptr) [[unlikely]]
    SwitchTo(*woken);
  // Null if the task has ended or parked.
  PortalTask* const task = std::exchange(thread_state_->current_task, nullptr);
  if (observer_ != nullptr && task != nullptr) [[unlikely]]
    observer_->StepEnds(*task);
}

FiberWaiter* Loop::AfterStep() {
  while (thread_state_->attention) {
    if (std::coroutine_handle<> next = TakeFromTrampoline()) {
      thread_state_->attention =
          fired_in_step_ != nullptr || !promotions_.empty();
      next.resume();
      continue;
    }
    thread_state_->attention = false;
    Promote();
    if (fired_in_step_ == nullptr) return nullptr;
    // A waiter that fired in its own task's step resumes at once: to its task
    // that is the rest of the step. It must not resume earlier, on the stack of
    // the step's other frames; here, at the top level, they have returned.
    Waiter& fired = *std::exchange(fired_in_step_, nullptr);
    if (fired.kind() == Waiter::Kind::kFiber) {
      return static_cast<FiberWaiter*>(&fired);
    }
    fired.handle.resume();
  }
  return nullptr;
}

void Loop::Withdraw(Waiter& waiter) noexcept {
  Loop* const loop = Current();
  if (loop == nullptr) return;  // the run has ended, and its queue with it
  if (loop->fired_in_step_ == &waiter) {
    loop->fired_in_step_ = nullptr;
    return;
  }
  loop->ready_.Remove(waiter);
}

void Loop::Promote() {
  while (Promotion* const promotion = promotions_.first()) {
    promotion->LeaveList();
    promotion->promote(*promotion->task);
  }
}

void Loop::PollOrWait(bool may_wait) {
  next_poll_ = step_count_ + kStepsBetweenPolls;
  // A wait for nothing but I/O runs what is ready first anyway.
  const bool waits_for_io = may_wait && ready_.empty() && timers_.empty();
  if (reactor_.has_work() && !waits_for_io) Poll(absl::ZeroDuration());
  if (!timers_.empty()) FireTimers();
  while (may_wait && ready_.empty()) {
    // A clock may jump when it is asked, and must not jump over what has been
    // posted already.
    Poll(reactor_.has_posted()
             ? absl::ZeroDuration()
             : clock_->TimeToWait(timers_.empty()
                                      ? absl::InfiniteFuture()
                                      : timers_.begin()->first.first));
    if (!timers_.empty()) FireTimers();
  }
}

// Runs the handlers of I/O that is ready, after a wait of up to `timeout`.
void Loop::Poll(absl::Duration timeout) {
  // It is negative if the deadline has passed since the timers were checked.
  timeout = std::max(timeout, absl::ZeroDuration());
  if (observer_ != nullptr) [[unlikely]]
    observer_->IoWaitBegins(timeout);
  reactor_.Wait(timeout);
  if (observer_ != nullptr) [[unlikely]]
    observer_->IoWaitEnds(timeout);
}

void Loop::FireTimers() {
  const absl::Time now = clock_->Now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Timer* timer = timers_.begin()->second;
    Disarm(*timer);
    timer->Fire();
  }
}

void Loop::Arm(Timer& timer, absl::Time deadline) {
  const uint64_t order = ++timer_order_;
  timers_.emplace(std::pair(deadline, order), &timer);
  Disarm(timer);
  timer.deadline = deadline;
  timer.order = order;
}

void Loop::Disarm(Timer& timer) {
  if (timer.order == 0) return;
  timers_.erase({timer.deadline, timer.order});
  timer.order = 0;
}

void Loop::PromoteAfterStep(Promotion& promotion) noexcept {
  promotion.LeaveList();
  promotions_.PushFront(promotion);
  thread_state_->attention = true;
}

absl::Status Loop::MakeIdleFiber() {
  context::StackOrError made = stacks_.Acquire();
  if (!made.stack) {
    // Names the settings as RunOptions does.
    return absl::ResourceExhaustedError(absl::StrReplaceAll(
        made.error,
        {{"StackPoolOptions::max_stacks", "RunOptions::max_fibers"},
         {"StackPoolOptions::stack_size", "RunOptions::stack_size"}}));
  }
  auto fiber = std::make_unique<Fiber>(
      Fiber{this, fibers_.size(), std::move(made.stack), {}});
  fiber->context =
      context::SavedContext::Create(fiber->stack, FiberMain, fiber.get());
  Fiber* const made_fiber = fiber.get();
  fibers_.push_back(std::move(fiber));
  idle_.push_back(made_fiber);
  return absl::OkStatus();
}

void Loop::RemoveFiber(void* fiber) {
  const Fiber& removed = *static_cast<Fiber*>(fiber);
  auto& fibers = removed.loop->fibers_;
  const size_t index = removed.index;
  std::swap(fibers[index], fibers.back());
  fibers[index]->index = index;
  fibers.pop_back();
}

// Only Park() takes an idle fiber, and each switch to a woken fiber adds an
// idle one, so the fiber that is reserved here is still idle when this fiber
// parks.
absl::Status Loop::ReserveFiber() {
  if (!idle_.empty()) [[likely]]
    return absl::OkStatus();
  return MakeIdleFiber();
}

bool Loop::IsAllThatIsReady(const FiberWaiter& waiter) const {
  if (!ready_.has_one()) return false;
  const Waiter* const ready = static_cast<const Waiter*>(ready_.first());
  return ready == &waiter || (waiter.handle && ready->handle == waiter.handle);
}

void Loop::EndStep(PortalTask& task) {
  thread_state_->current_task = nullptr;
  if (observer_ != nullptr) [[unlikely]]
    observer_->StepEnds(task);
}

// The rest of Park() if there is something else to run: does what the step has
// left to do, and returns the next fiber's context. SwitchTo() makes the task
// the current one again.
inline __attribute__((always_inline)) context::SavedContext* Loop::LeaveFiber(
    FiberWaiter& waiter) {
  if (thread_state_->attention) [[unlikely]] {
    thread_state_->attention = false;
    Promote();
    if (fired_in_step_ != nullptr) {
      Schedule(*std::exchange(fired_in_step_, nullptr));
    }
  }
  waiter.ParkUnshared();
  waiter.host_fiber = running_;
  running_ = idle_.back();
  idle_.pop_back();
  ++switch_count_;
  return &running_->context;
}

context::SavedContext* Loop::Park(FiberWaiter& waiter) {
  // A round trip through another fiber would only lead back here.
  if (IsAllThatIsReady(waiter) && !thread_state_->attention) {
    const bool poll = ++step_count_ >= next_poll_;
    if (poll || observer_ != nullptr) [[unlikely]] {
      EndStep(*waiter.task);
      if (poll) PollOrWait(/*may_wait=*/false);
      // An instrument or an I/O handler may have made others ready.
      if (!IsAllThatIsReady(waiter)) return LeaveFiber(waiter);
      if (observer_ != nullptr) observer_->StepBegins(*waiter.task);
      thread_state_->current_task = waiter.task;
    }
    ready_.Pop();
    return nullptr;
  }
  context::SavedContext* const next = LeaveFiber(waiter);
  EndStep(*waiter.task);
  return next;
}

void Loop::Wake(Waiter& waiter) noexcept {
  if (!OnThisThread()) {
    waiter.run = [](Posted& posted, Posted::End end) {
      // kDrop does not happen while a task waits: the run waits for its tasks.
      if (end == Posted::End::kRun) {
        Current()->Wake(static_cast<Waiter&>(posted));
      }
    };
    RunSoonFromAnyThread(waiter);
    return;
  }
  if (!waiter.FireUnshared()) return;  // Await() sees it before it parks
  if (waiter.task == current_task() && fired_in_step_ == nullptr) {
    fired_in_step_ = &waiter;
    thread_state_->attention = true;
  } else {
    Schedule(waiter);
  }
}

}  // namespace internal
}  // namespace greenback
