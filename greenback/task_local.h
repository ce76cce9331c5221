// TaskLocal<T>: a variable of which every task has its own value.
//
//   greenback::TaskLocal<std::string> request_id("none");
//   ...
//   request_id.Set("r-17");                  // in a task
//   nursery.StartSoon(Handle);               // begins with "r-17"
//   Log(request_id.Get());
//
// A context holds the values of all such variables. A new task inherits the
// context of the code that spawns it; after that, neither sees what the other
// sets. The coroutines of a task and its synchronous frames share one context,
// on both sides of every Await(). Outside tasks each thread has a context,
// which the main task of a run inherits.
//
// Use it for what belongs to the flow of control, such as a request's identity
// or a logger. Do not use it for what a function works on: pass that as an
// argument.
//
// Spawning copies a pointer. Set() copies the table of all values that are set,
// so a TaskLocal is for what is read often and set seldom.
//
// Context::Run() runs a function in another context, for example in a copy, so
// that what the function sets stays private:
//
//   greenback::Context::Current().Run([] {
//     request_id.Set("probe");
//     ...
//   });
//
// Threads: a variable may be used on all threads at the same time. Contexts
// share values, so several threads may read the same T, and what it points to,
// at the same time.
// Nothing here suspends; a function that Context::Run() calls may Await().
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

// The context of the running task, or outside tasks of the thread. The
// reference is valid until the task suspends.
std::shared_ptr<Locals>& CurrentLocals();

uint64_t NextLocalKey();
// Returns the value in the current context; null: none is set.
const void* FindLocal(uint64_t key);
// Sets the value in the current context; null: none is set afterwards.
void SetLocal(uint64_t key, std::shared_ptr<const void> value);

}  // namespace internal

template <class T>
class TaskLocal {
 public:
  // Get() returns `default_value` where no value is set.
  explicit TaskLocal(T default_value) : default_(std::move(default_value)) {}
  TaskLocal()
    requires std::is_default_constructible_v<T>
      : default_() {}
  TaskLocal(const TaskLocal&) = delete;
  TaskLocal& operator=(const TaskLocal&) = delete;

  // The reference is valid until this variable's next Set() or Reset() in the
  // same context, and not after that context is destroyed, which happens when
  // its task ends, for instance.
  const T& Get() const {
    const void* const value = internal::FindLocal(key_);
    return value != nullptr ? *static_cast<const T*>(value) : default_;
  }
  bool is_set() const { return internal::FindLocal(key_) != nullptr; }

  void Set(T value) {
    internal::SetLocal(key_, std::make_shared<const T>(std::move(value)));
  }
  // Restores the default.
  void Reset() { internal::SetLocal(key_, nullptr); }

 private:
  // A key is never used again, so that no variable finds another's values.
  const uint64_t key_ = internal::NextLocalKey();
  const T default_;
};

// The values of all task-local variables. A copy behaves as if it shared
// nothing with its original.
class Context {
 public:
  // A context in which no variable is set.
  Context() = default;
  // A copy of a context that is inside its Run() has the values from before.
  Context(const Context& other) : locals_(other.locals_) {}
  Context& operator=(const Context& other) {
    locals_ = other.locals_;
    return *this;
  }
  // A copy of the running task's context; outside tasks, of the thread's.
  static Context Current();

  // Calls fn(args...) with this as the running task's context, and returns its
  // result. What it sets stays in this object. A coroutine that fn returns runs
  // later, and not in this context. Running a context in two tasks at the same
  // time, or inside itself, is an error: it throws std::logic_error; without
  // exceptions it prints a message and aborts.
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
