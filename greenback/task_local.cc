#include "greenback/task_local.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "greenback/host/portal_access.h"
#include "greenback/internal/exceptions.h"

namespace greenback {
namespace internal {

// Sorted by key. It is not abseil's hash table, because that is left broken
// when there is no memory for a copy.
struct Locals {
  using Value = std::pair<uint64_t, std::shared_ptr<const void>>;

  // The place of `key`, or the place where it would be inserted.
  std::vector<Value>::const_iterator Find(uint64_t key) const {
    return std::lower_bound(
        values.begin(), values.end(), key,
        [](const Value& value, uint64_t key) { return value.first < key; });
  }
  bool Has(std::vector<Value>::const_iterator place, uint64_t key) const {
    return place != values.end() && place->first == key;
  }

  std::vector<Value> values;
};

namespace {

// Destroys the values when its thread ends.
class LocalsOwner {
 public:
  explicit LocalsOwner(std::shared_ptr<Locals>& locals) : locals_(locals) {}
  LocalsOwner(const LocalsOwner&) = delete;
  LocalsOwner& operator=(const LocalsOwner&) = delete;
  // The values are removed before they are destroyed, because their destructors
  // may set variables.
  ~LocalsOwner() {
    while (locals_ != nullptr) std::exchange(locals_, nullptr).reset();
  }

 private:
  std::shared_ptr<Locals>& locals_;
};

// Not inlined: see ThisThread(). When the thread ends, the values are
// destroyed, but not the pointer to them: destructors of static objects, which
// run after that on the main thread, may use variables. What those set is not
// destroyed.
__attribute__((noinline)) std::shared_ptr<Locals>& LocalsOfThread() {
  alignas(std::shared_ptr<Locals>) thread_local constinit std::byte
      storage[sizeof(std::shared_ptr<Locals>)] = {};
  thread_local constinit std::shared_ptr<Locals>* locals = nullptr;
  asm volatile("" ::: "memory");
  if (locals == nullptr) [[unlikely]] {
    locals = new (storage) std::shared_ptr<Locals>;
    thread_local const LocalsOwner owner(*locals);
  }
  return *locals;
}

}  // namespace

std::shared_ptr<Locals>& CurrentLocals() {
  PortalTask* const task = ThisThread().current_task;
  return task != nullptr ? PortalAccess::Locals(*task) : LocalsOfThread();
}

uint64_t NextLocalKey() {
  static constinit std::atomic<uint64_t> last_key{0};
  return last_key.fetch_add(1, std::memory_order_relaxed) + 1;
}

const void* FindLocal(uint64_t key) {
  const Locals* const locals = CurrentLocals().get();
  if (locals == nullptr) return nullptr;
  const auto found = locals->Find(key);
  return locals->Has(found, key) ? found->second.get() : nullptr;
}

void SetLocal(uint64_t key, std::shared_ptr<const void> value) {
  std::shared_ptr<Locals>& current = CurrentLocals();
  // A table is never written to once it is shared. The old value is destroyed
  // last, because its destructor may set variables.
  auto changed = current != nullptr ? std::make_shared<Locals>(*current)
                                    : std::make_shared<Locals>();
  const auto place = changed->Find(key);
  const bool is_set = changed->Has(place, key);
  if (is_set && value != nullptr) {
    changed->values[static_cast<size_t>(place - changed->values.cbegin())]
        .second = std::move(value);
  } else if (is_set) {
    changed->values.erase(place);
  } else if (value != nullptr) {
    changed->values.emplace(place, key, std::move(value));
  }
  current.swap(changed);
}

}  // namespace internal

Context Context::Current() {
  Context context;
  context.locals_ = internal::CurrentLocals();
  return context;
}

Context::Entered::Entered(Context& context) : context_(context) {
  if (context.entered_) {
    internal::ThrowOrDie(std::logic_error(
        "greenback::Context::Run(): this context is in use by a Run() already; "
        "run a copy of it"));
  }
  context.entered_ = true;
  outer_ = std::exchange(internal::CurrentLocals(), context.locals_);
}

Context::Entered::~Entered() {
  context_.locals_ =
      std::exchange(internal::CurrentLocals(), std::move(outer_));
  context_.entered_ = false;
}

}  // namespace greenback
