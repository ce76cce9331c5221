// RunLocal<T>: a variable of which every run has its own value.
//
//   greenback::RunLocal<ConnectionCache> connections;
//   ...
//   connections.Get().Find(address);       // in a run: that run's value
//
// Use it for what the tasks of one run share, such as a cache or a pool, in
// place of a global that two runs, on two threads or one after the other, would
// share.
//
// The value is made when it is first requested in a run, and destroyed at the
// end of the run, after all tasks and outside the run. Values are destroyed in
// reverse order, so the values that T's constructor has requested still exist
// when T is destroyed.
//
// Use it on the run's thread; outside a run it is an error (std::logic_error,
// or a message and abort). Nothing here suspends, but T's constructor may
// Await(). When several tasks make the value at the same time, the first one to
// finish is kept.
#ifndef GREENBACK_RUNTIME_RUN_LOCAL_H_
#define GREENBACK_RUNTIME_RUN_LOCAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "greenback/task_local.h"

namespace greenback {

namespace internal {

// The value that the current run keeps under `key`, or null.
void* FindRunLocal(uint64_t key);
// Keeps `made` if the run has no value under `key` yet. Returns the value that
// the run keeps.
void* KeepRunLocal(uint64_t key, std::shared_ptr<void> made);

}  // namespace internal

template <class T>
class RunLocal {
 public:
  // Each run begins with T().
  RunLocal()
    requires std::is_default_constructible_v<T>
      : make_([] { return std::make_shared<T>(); }) {}
  // Each run begins with a copy of `first`.
  explicit RunLocal(T first)
    requires std::is_copy_constructible_v<T>
      : make_([first = std::move(first)] {
          return std::make_shared<T>(first);
        }) {}
  RunLocal(const RunLocal&) = delete;
  RunLocal& operator=(const RunLocal&) = delete;

  // Valid until the end of the run.
  T& Get() const {
    void* value = internal::FindRunLocal(key_);
    if (value == nullptr) value = internal::KeepRunLocal(key_, make_());
    return *static_cast<T*>(value);
  }

 private:
  const std::function<std::shared_ptr<T>()> make_;
  const uint64_t key_ = internal::NextLocalKey();
};

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_LOCAL_H_
