// TaskLocal<T>: a variable of which every task has its own value.
//
//   greenback::TaskLocal<std::string> request_id("none");
//   ...
//   request_id.Set("r-17");                  // in a task
//   nursery.StartSoon(Handle);               // begins with "r-17"
//   Log(request_id.Get());
//
// A context is the values of all such variables. A task inherits, when it is
// spawned, the context of whoever spawns it; what either sets later is its own.
// The coroutines of a task and its synchronous frames, below Await() and above,
// share one context. Outside tasks each thread has one, which the main task of
// a run inherits.
//
// Use it for what is about the flow, such as a request's identity or a logger.
// Pass what a function works on as an argument.
//
// Spawning copies a pointer; Set() copies the table of what is set, and suits
// what is read often and set seldom.
//
// Context::Run() runs a function in another context, for example in a copy, so
// that what the function sets stays private:
//
//   greenback::Context::Current().Run([] {
//     request_id.Set("probe");
//     ...
//   });
//
// Threads: a variable may be used on all threads at the same time. Values are
// shared between contexts, so what a T points to may be, too.
// Nothing here suspends; a function under Context::Run() may Await().
#ifndef GREENBACK_TASK_LOCAL_H_
#define GREENBACK_TASK_LOCAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "greenback/host/portal_task.h"

namespace greenback {

namespace internal {

// Of the running task, or of the thread. Good until the task suspends.
std::shared_ptr<Locals>& CurrentLocals();

uint64_t NextLocalKey();
// Null: not set.
const void* FindLocal(uint64_t key);
// Null: not set any more.
void SetLocal(uint64_t key, std::shared_ptr<const void> value);

}  // namespace internal

template <class T>
class TaskLocal {
 public:
  // Get() gives `default_value` where nothing was set.
  explicit TaskLocal(T default_value) : default_(std::move(default_value)) {}
  TaskLocal()
    requires std::is_default_constructible_v<T>
      : default_() {}
  TaskLocal(const TaskLocal&) = delete;
  TaskLocal& operator=(const TaskLocal&) = delete;

  // Good until this variable's next Set() or Reset() in the same context, and
  // until that goes, with its task for instance.
  const T& Get() const {
    const void* const value = internal::FindLocal(key_);
    return value != nullptr ? *static_cast<const T*>(value) : default_;
  }
  bool is_set() const { return internal::FindLocal(key_) != nullptr; }

  void Set(T value) {
    internal::SetLocal(key_, std::make_shared<const T>(std::move(value)));
  }
  // Back to the default.
  void Reset() { internal::SetLocal(key_, nullptr); }

 private:
  // Never used twice, so that no variable finds another's values.
  const uint64_t key_ = internal::NextLocalKey();
  const T default_;
};

// The values of all task-local variables. A copy shares nothing with what it
// was copied from, as far as anybody can see.
class Context {
 public:
  // Nothing is set.
  Context() = default;
  // Of one that is inside its Run(): what it was when that began.
  Context(const Context& other) : locals_(other.locals_) {}
  Context& operator=(const Context& other) {
    locals_ = other.locals_;
    return *this;
  }
  // A copy of the running task's; outside tasks, of the thread's.
  static Context Current();

  // Calls fn(args...) with this as the running task's context, and gives its
  // result. What it sets stays in this object. A coroutine that fn returns runs
  // later, and not in it. By one task at a time, and not inside itself: that is
  // an error (std::logic_error, or a message and abort).
  template <class Fn, class... Args>
  decltype(auto) Run(Fn&& fn, Args&&... args) {
    const Entered entered(*this);
    return std::invoke(std::forward<Fn>(fn), std::forward<Args>(args)...);
  }

 private:
  class Entered {
   public:
    explicit Entered(Context& context);
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered();

   private:
    Context& context_;
    std::shared_ptr<internal::Locals> outer_;
  };

  std::shared_ptr<internal::Locals> locals_;
  bool entered_ = false;
};

}  // namespace greenback

#endif  // GREENBACK_TASK_LOCAL_H_
