#include "greenback/context/stack_pool.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "greenback/context/internal/pooled_stack.h"
#include "greenback/context/internal/sanitizer.h"

// Newer than the C library's headers.
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace greenback::context {

// A mapping of `count` stacks, each with its guard below it and a page above
// it, in which it begins:
//   base | guard 0 | stack 0 | page 0 | guard 1 | stack 1 | page 1 | ...
struct StackSlab {
  StackPool* pool = nullptr;
  char* base = nullptr;
  size_t mapped = 0;
  uint32_t count = 0;
  uint32_t fresh = 0;  // stacks from here on were never used, and have no guard
  uint32_t held = 0;   // stacks that are in use or warm
  std::vector<uint32_t> cold;          // returned, with their memory
  std::vector<unsigned> valgrind_ids;  // by stack
  size_t room_index = 0;               // place in with_room_, while has_room
  bool has_room() const { return fresh < count || !cold.empty(); }
};

namespace {

constexpr uint32_t kMaxStacksPerSlab = 256;
// Tops are spread over this many cache lines: a page less what leaves a small
// frame on the top page.
constexpr size_t kCacheLine = 64;
constexpr size_t kColours = 60;

size_t PageSize() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

size_t RoundUpToPages(size_t bytes) {
  const size_t page = PageSize();
  return std::max(page, (bytes + page - 1) / page * page);
}

// Empty if `value` is within its bounds.
std::string CheckBounds(const char* option, size_t value, size_t least,
                        size_t most) {
  if (value >= least && value <= most) return "";
  return std::string("greenback: StackPoolOptions::") + option + " is " +
         std::to_string(value) + " bytes; choose from " +
         std::to_string(least) + " to " + std::to_string(most);
}

std::string CheckSizes(const StackPoolOptions& options) {
  std::string error = CheckBounds("stack_size", options.stack_size,
                                  kMinStackSize, kMaxStackSize);
  return error.empty()
             ? CheckBounds("guard_size", options.guard_size, 0, kMaxGuardSize)
             : error;
}

// All slabs of all pools, for a signal handler to search: a list that only
// grows, whose entries are used again. An entry is free while base is null.
struct SlabEntry {
  std::atomic<const char*> base{nullptr};
  std::atomic<size_t> mapped{0};
  std::atomic<size_t> stride{0};
  std::atomic<size_t> guard{0};
  SlabEntry* next = nullptr;
};
std::atomic<SlabEntry*> slab_entries{nullptr};
std::atomic<uint64_t> slabs_gone{0};
constinit std::mutex slab_entries_mutex;

// `spare` becomes an entry if there is no free one.
void ListSlab(const char* base, size_t mapped, size_t stride, size_t guard,
              std::unique_ptr<SlabEntry> spare) noexcept {
  std::lock_guard lock(slab_entries_mutex);
  SlabEntry* entry = slab_entries.load(std::memory_order_relaxed);
  while (entry && entry->base.load(std::memory_order_relaxed)) {
    entry = entry->next;
  }
  const bool is_new = entry == nullptr;
  if (is_new) {
    entry = spare.release();
    entry->next = slab_entries.load(std::memory_order_relaxed);
  }
  entry->mapped = mapped;
  entry->stride = stride;
  entry->guard = guard;
  entry->base.store(base, std::memory_order_release);
  if (is_new) slab_entries.store(entry, std::memory_order_release);
}

void UnlistSlab(const char* base) {
  std::lock_guard lock(slab_entries_mutex);
  for (SlabEntry* entry = slab_entries.load(std::memory_order_relaxed); entry;
       entry = entry->next) {
    if (entry->base.load(std::memory_order_relaxed) == base) {
      entry->base.store(nullptr, std::memory_order_release);
      slabs_gone.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
}

// The value of a sysctl for a message; "unknown" where /proc is missing.
std::string Sysctl(const char* path) {
  char text[32] = "unknown";
  if (FILE* file = std::fopen(path, "re")) {
    if (std::fscanf(file, "%31s", text) != 1) std::strcpy(text, "unknown");
    std::fclose(file);
  }
  return text;
}

std::string MapError(const char* what, int error) {
  std::string message = "greenback: cannot ";
  message += what;
  message += " a fiber stack: ";
  message += std::strerror(error);
  if (error == ENOMEM || error == EAGAIN) {
    message += "; raise vm.max_map_count (now " +
               Sysctl("/proc/sys/vm/max_map_count") +
               "; a kernel from Linux 6.13 on needs no mapping for a guard), "
               "RLIMIT_AS, or vm.overcommit_memory (now " +
               Sysctl("/proc/sys/vm/overcommit_memory") + ")";
  }
  return message;
}

char* StackLimit(const StackSlab& slab, uint32_t index, size_t stride,
                 size_t guard) {
  return slab.base + index * stride + guard;
}

// Whether MADV_GUARD_INSTALL guards pages in this process, tried once, with
// `page`. Kernels before 6.13 refuse it; emulators (qemu-user) say yes to
// advice that they ignore. A page that is guarded cannot be populated.
bool KernelGuards(char* page) {
  static const bool guards =
      madvise(page, PageSize(), MADV_GUARD_INSTALL) == 0 &&
      madvise(page, PageSize(), MADV_POPULATE_READ) != 0 && errno == EFAULT;
  return guards;
}

}  // namespace

Stack& Stack::operator=(Stack&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  slab_ = std::exchange(other.slab_, nullptr);
  index_ = other.index_;
  limit_ = std::exchange(other.limit_, nullptr);
  top_ = std::exchange(other.top_, nullptr);
  return *this;
}

bool Stack::HoldsLocal(const void* address) const {
  const char* const local = static_cast<const char*>(address);
  return (local >= limit_ && local < top_) || sanitizer::IsFakeLocal(address);
}

void Stack::GiveBack() noexcept {
  if (!slab_) return;
  StackSlab* slab = std::exchange(slab_, nullptr);
  slab->pool->GiveBack({slab, index_});
}

StackPool::StackPool(StackPoolOptions options)
    : options_([&options] {
        if (!CheckSizes(options).empty()) return options;
        options.stack_size = RoundUpToPages(options.stack_size);
        options.guard_size = RoundUpToPages(options.guard_size);
        return options;
      }()),
      stride_(options_.guard_size + options_.stack_size + PageSize()) {}

StackPool::~StackPool() {
  if (stats_.in_use != 0) {
    std::fprintf(stderr,
                 "greenback: a StackPool is destroyed while %zu of its stacks "
                 "are in use; let their fibers end first\n",
                 stats_.in_use);
    std::abort();
  }
  while (!slabs_.empty()) UnmapSlab(slabs_.back().get());
}

StackPool& StackPool::Default() {
  static StackPool* const pool = new StackPool;
  return *pool;
}

StackOrError StackPool::Acquire() {
  StackOrError result;
  std::lock_guard lock(mutex_);
  if (stats_.in_use >= options_.max_stacks) {
    result.error = "greenback: all " + std::to_string(options_.max_stacks) +
                   " fiber stacks of the pool are in use; raise "
                   "StackPoolOptions::max_stacks";
    return result;
  }
  Slot slot;
  if (!warm_.empty()) {
    slot = warm_.back();
    warm_.pop_back();
    --stats_.warm;
  } else {
    StackSlab* slab =
        with_room_.empty() ? MapSlab(result.error) : with_room_.back();
    if (!slab) return result;
    if (!slab->cold.empty()) {
      slot = {slab, slab->cold.back()};
      slab->cold.pop_back();
    } else {
      if (!InstallGuard(slab->base + slab->fresh * stride_, result.error)) {
        if (slab->held == 0) UnmapSlab(slab);
        return result;
      }
      slot = {slab, slab->fresh++};
    }
    ++slab->held;
    if (!slab->has_room()) {
      with_room_[slab->room_index] = with_room_.back();
      with_room_[slab->room_index]->room_index = slab->room_index;
      with_room_.pop_back();
    }
  }
  ++stats_.in_use;
  Stack& stack = result.stack;
  stack.slab_ = slot.slab;
  stack.index_ = slot.index;
  stack.limit_ =
      StackLimit(*slot.slab, slot.index, stride_, options_.guard_size);
  stack.top_ = slot.slab->base + (slot.index + 1) * stride_ -
               slot.index % kColours * kCacheLine;
  slot.slab->valgrind_ids[slot.index] =
      sanitizer::RegisterStack(stack.limit_, stack.top_);
  return result;
}

void StackPool::GiveBack(Slot slot) {
  std::lock_guard lock(mutex_);
  --stats_.in_use;
  sanitizer::DeregisterStack(slot.slab->valgrind_ids[slot.index]);
  if (warm_.size() < options_.max_warm) {
    warm_.push_back(slot);
    ++stats_.warm;
  } else {
    MakeCold(slot);
  }
}

void StackPool::Trim() {
  std::lock_guard lock(mutex_);
  for (Slot slot : warm_) MakeCold(slot);
  warm_.clear();
  stats_.warm = 0;
}

StackPoolStats StackPool::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

// Returns the memory of a stack to the system, and if it was the last one held
// in its slab, also the address space of the slab.
void StackPool::MakeCold(Slot slot) {
  StackSlab* slab = slot.slab;
  if (--slab->held == 0) {
    UnmapSlab(slab);
    return;
  }
  // The guard stays: MADV_DONTNEED does not remove one, and is not asked to.
  madvise(StackLimit(*slab, slot.index, stride_, options_.guard_size),
          stride_ - options_.guard_size, MADV_DONTNEED);
  if (!slab->has_room()) {
    slab->room_index = with_room_.size();
    with_room_.push_back(slab);
  }
  slab->cold.push_back(slot.index);
}

StackSlab* StackPool::MapSlab(std::string& error) {
  error = CheckSizes(options_);
  if (!error.empty()) return nullptr;
  // Slabs double up to a bound, so that a program with two fibers does not
  // reserve address space for hundreds.
  uint32_t count = 4;
  if (!slabs_.empty()) {
    count = std::min(slabs_.back()->count * 2, kMaxStacksPerSlab);
  }
  // Everything else is allocated first: a mapping must not be lost because
  // there is no memory for its records.
  auto slab = std::make_unique<StackSlab>();
  slab->cold.reserve(count);  // returning a stack must not allocate
  slab->valgrind_ids.resize(count);
  warm_.reserve(std::min(options_.max_warm, warm_.capacity() + count));
  with_room_.reserve(slabs_.size() + 1);
  slabs_.reserve(slabs_.size() + 1);
  auto entry = std::make_unique<SlabEntry>();

  const auto map = [](size_t bytes) {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  };
  void* base = map(count * stride_);
  if (base == MAP_FAILED && count > 1) {
    count = 1;  // near a limit, one may still fit
    base = map(stride_);
  }
  if (base == MAP_FAILED) {
    error = MapError("map", errno);
    return nullptr;
  }
  const size_t mapped = count * stride_;
  // A huge page would commit 2 MiB for the first byte of a stack.
  madvise(base, mapped, MADV_NOHUGEPAGE);
  prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, base, mapped, "greenback stacks");
  sanitizer::OnMap(base, mapped);

  slab->pool = this;
  slab->base = static_cast<char*>(base);
  slab->mapped = mapped;
  slab->count = count;
  ListSlab(slab->base, mapped, stride_, options_.guard_size, std::move(entry));
  stats_.mapped_bytes += mapped;
  slab->room_index = with_room_.size();
  with_room_.push_back(slab.get());
  slabs_.push_back(std::move(slab));
  return slabs_.back().get();
}

void StackPool::UnmapSlab(StackSlab* slab) {
  if (slab->has_room() && slab->room_index < with_room_.size() &&
      with_room_[slab->room_index] == slab) {
    with_room_[slab->room_index] = with_room_.back();
    with_room_[slab->room_index]->room_index = slab->room_index;
    with_room_.pop_back();
  }
  UnlistSlab(slab->base);
  sanitizer::OnUnmap(slab->base, slab->mapped);
  munmap(slab->base, slab->mapped);
  stats_.mapped_bytes -= slab->mapped;
  const auto found =
      std::find_if(slabs_.begin(), slabs_.end(),
                   [slab](const auto& owned) { return owned.get() == slab; });
  slabs_.erase(found);
}

bool StackPool::InstallGuard(char* guard, std::string& error) {
  // The leak checker reads whole slabs, so its guards must be mappings of
  // their own, which it can see and pass over.
  if (options_.guard == StackPoolOptions::Guard::kAuto &&
      !sanitizer::kAddress && KernelGuards(guard) &&
      madvise(guard, options_.guard_size, MADV_GUARD_INSTALL) == 0) {
    ++stats_.madvise_guards;
    return true;
  }
  if (mprotect(guard, options_.guard_size, PROT_NONE) == 0) {
    ++stats_.mprotect_guards;
    return true;
  }
  error = MapError("guard", errno);
  return false;
}

bool FindStack(const void* address, StackBounds& bounds) noexcept {
  const char* const where = static_cast<const char*>(address);
  for (SlabEntry* entry = slab_entries.load(std::memory_order_acquire); entry;
       entry = entry->next) {
    const char* base = entry->base.load(std::memory_order_acquire);
    if (!base || where < base || where >= base + entry->mapped) continue;
    const size_t stride = entry->stride;
    const size_t guard = entry->guard;
    // Another slab may have taken the entry meanwhile. That cannot happen if a
    // flow runs on a stack of the first one.
    if (entry->base.load() != base) continue;
    bounds.guard = base + static_cast<size_t>(where - base) / stride * stride;
    bounds.limit = bounds.guard + guard;
    bounds.end = bounds.guard + stride;
    bounds.stack_size = stride - guard - PageSize();
    return true;
  }
  return false;
}

bool IsPooledStack(const void* address) noexcept {
  StackBounds bounds;
  return FindStack(address, bounds);
}

uint64_t SlabsGone() noexcept {
  return slabs_gone.load(std::memory_order_relaxed);
}

}  // namespace greenback::context
