// LibraryHooks: what a coroutine library does for what its coroutines await, as
// the task of a call in such a coroutine sees it. Internal; the types are
// erased here, and ../coroutine_library.h documents what they are.
#ifndef GREENBACK_HOST_LIBRARY_HOOKS_H_
#define GREENBACK_HOST_LIBRARY_HOOKS_H_

#include <coroutine>
#include <memory>
#include <stop_token>

namespace greenback {

class PortalTask;

namespace internal {

// Names a type by an address.
using TypeId = const void*;
template <class T>
inline constexpr char kTypeIdOf = 0;
template <class T>
constexpr TypeId TypeIdOf() {
  return &kTypeIdOf<T>;
}

// Requests a stop when the coroutine is cancelled, as long as it exists.
class CancelLink {
 public:
  CancelLink() = default;
  CancelLink(const CancelLink&) = delete;
  CancelLink& operator=(const CancelLink&) = delete;
  virtual ~CancelLink() = default;
};

// One table for each type of promise. A null function: the library has no such
// thing.
struct LibraryHooks {
  // The context of the type `type` that the library hands to its awaitables;
  // null: it has none.
  void* (*context)(void* promise, TypeId type) = nullptr;
  // Resumes `frames` where the coroutine's code runs.
  void (*resume)(void* promise, std::coroutine_handle<> frames) = nullptr;
  std::unique_ptr<CancelLink> (*link)(void* promise,
                                      std::stop_source stop) = nullptr;
  // Destroys the coroutine, whose call has ended without a result.
  void (*destroy)(void* promise) noexcept = nullptr;

  constexpr bool empty() const {
    return context == nullptr && resume == nullptr && link == nullptr &&
           destroy == nullptr;
  }
};

// The coroutine around a call, and its library.
struct OuterCoroutine {
  std::coroutine_handle<> handle;
  void* promise = nullptr;
  const LibraryHooks* hooks = nullptr;  // null: nothing is known
};

// The context of that type of the coroutine around the call that `task` is;
// null if `task` is no such call, or the coroutine has none.
void* FindContext(const PortalTask* task, TypeId type) noexcept;

// Whether `task` is a call that may end without a result, because its library
// asks the awaiter of the call whether there is one.
bool CanDropCall(const PortalTask* task) noexcept;
// `task`, such a call, is cancelled and ends without a result: it is abandoned,
// and its coroutine is resumed when its frames are unwound.
void DropCall(PortalTask& task) noexcept;

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_HOST_LIBRARY_HOOKS_H_
