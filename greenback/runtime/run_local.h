// RunLocal<T>: a variable of which every run has its own value.
//
//   greenback::RunLocal<ConnectionCache> connections;
//   ...
//   connections.Get().Find(address);       // in a run: that run's
//
// For what the tasks of one run share, such as a cache or a pool, without a
// global that two runs, on two threads or one after the other, would share.
//
// The value is made when the run first asks for it, and destroyed at the end of
// the run. Use it on the run's thread; outside a run it is an error
// (std::logic_error, or a message and abort). Nothing here suspends.
#ifndef GREENBACK_RUNTIME_RUN_LOCAL_H_
#define GREENBACK_RUNTIME_RUN_LOCAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "greenback/runtime/task_local.h"

namespace greenback {

namespace internal {

// Where the present run keeps the value of `key`.
std::shared_ptr<void>& RunLocalValue(uint64_t key);

}  // namespace internal

template <class T>
class RunLocal {
 public:
  // Each run begins with T().
  RunLocal() requires std::is_default_constructible_v<T>
      : make_([] { return std::make_shared<T>(); }) {}
  // Each run begins with a copy of `first`.
  explicit RunLocal(T first) requires std::is_copy_constructible_v<T>
      : make_([first = std::move(first)] {
        return std::make_shared<T>(first);
      }) {}
  RunLocal(const RunLocal&) = delete;
  RunLocal& operator=(const RunLocal&) = delete;

  // Good until the end of the run.
  T& Get() const {
    std::shared_ptr<void>& value = internal::RunLocalValue(key_);
    if (value == nullptr) {
      // Making it may ask for other variables, and move `value`.
      std::shared_ptr<void> made = make_();
      return *static_cast<T*>(
          (internal::RunLocalValue(key_) = std::move(made)).get());
    }
    return *static_cast<T*>(value.get());
  }

 private:
  const std::function<std::shared_ptr<T>()> make_;
  const uint64_t key_ = internal::NextLocalKey();
};

}  // namespace greenback

#endif  // GREENBACK_RUNTIME_RUN_LOCAL_H_
