// A pool of guarded stacks for fibers.
//
//   StackPool pool({.stack_size = 256 << 10});
//   StackOrError made = pool.Acquire();
//   if (!made.stack) return Report(made.error);   // names the setting to raise
//   RunBetween(made.stack.limit(), made.stack.top());
//                                                 // ~Stack returns it
//
// Use it when you make contexts yourself; RunOnFiber() and the portals have
// pools of their own.
//
// Every stack has a guard below it; a stack without one is not handed out.
// Where the kernel has MADV_GUARD_INSTALL (Linux 6.13) a guard costs no mapping
// and the number of stacks is bounded by memory alone; elsewhere mprotect() is
// used, which splits the mapping, so that vm.max_map_count (65,530 by default)
// allows about 32,000. Memory is committed as stacks grow into it: an address
// space of 1 MiB with 4 KiB used costs 4 KiB and a page-table entry.
//
// Threads: all functions may be called from any thread. A Stack may be returned
// on another thread than the one that acquired it.
// Lifetime: the pool must outlive its stacks; otherwise its destructor prints a
// message and aborts. No flow may run on a stack when it is returned.
// Errors: StackOrError::error says what ran out and which setting to raise, or
// which setting is out of bounds. The only exception is std::bad_alloc, when
// there is no memory for the pool's own records or for that text: then nothing
// has changed. Returning a stack never allocates. Nothing here suspends.
#ifndef GREENBACK_CONTEXT_STACK_POOL_H_
#define GREENBACK_CONTEXT_STACK_POOL_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace greenback::context {

class StackPool;
struct StackSlab;

// The bounds of StackPoolOptions::stack_size. A signal puts a frame of up to 11
// KiB (with AMX) on the running stack, and its handler needs some more. At the
// other end, slabs of the largest stacks and guards must fit in a size_t.
inline constexpr size_t kMinStackSize = size_t{16} << 10;
inline constexpr size_t kMaxStackSize =
    static_cast<size_t>(uint64_t{1} << (sizeof(size_t) > 4 ? 40 : 22));
// The upper bound of StackPoolOptions::guard_size. A guard costs page tables.
inline constexpr size_t kMaxGuardSize =
    static_cast<size_t>(uint64_t{1} << (sizeof(size_t) > 4 ? 30 : 22));

struct StackPoolOptions {
  // Usable bytes of a stack, rounded up to whole pages and up to a page more.
  // Outside of 16 KiB to 1 TiB, Acquire() fails; builds with sanitizers need
  // several times what others do. This is address space, not memory: pages are
  // committed when first touched.
  size_t stack_size = size_t{1} << 20;

  // Inaccessible bytes below each stack, rounded up to whole pages; at least
  // one page. Above 1 GiB, Acquire() fails. The default is more than a page,
  // since a function with large locals may step over a page without touching
  // it. A function whose locals are larger than the guard may step over that
  // into another fiber's stack: compile code that has such functions with
  // -fstack-clash-protection, which touches every page.
  size_t guard_size = size_t{64} << 10;

  // Stacks that may be in use at the same time.
  size_t max_stacks = std::numeric_limits<size_t>::max();

  // Returned stacks that keep their memory, for speed. The memory of further
  // ones is returned to the system at once.
  size_t max_warm = 256;

  // How to make guards. kAuto: by madvise, or by mprotect where the kernel
  // refuses that.
  enum class Guard { kAuto, kMprotect };
  Guard guard = Guard::kAuto;
};

// What a pool holds at this moment.
struct StackPoolStats {
  size_t in_use = 0;          // acquired and not returned
  size_t warm = 0;            // returned, memory kept
  size_t mapped_bytes = 0;    // address space of all slabs
  size_t madvise_guards = 0;  // guards installed so far, by method
  size_t mprotect_guards = 0;
};

// A stack borrowed from its pool. Move-only; empty when default-constructed or
// moved from.
class Stack {
 public:
  Stack() = default;
  Stack(Stack&& other) noexcept { *this = std::move(other); }
  Stack& operator=(Stack&& other) noexcept;
  ~Stack() { GiveBack(); }

  explicit operator bool() const { return slab_ != nullptr; }

  // The lowest usable address; the guard ends here.
  char* limit() const { return limit_; }
  // One past the highest usable address, 16-byte aligned. Tops are spread over
  // the cache lines of a page: stacks that all begin at the same offset evict
  // each other's hottest lines (round robin over 1,024 fibers took twice the
  // time).
  char* top() const { return top_; }
  // At least StackPoolOptions::stack_size, and up to a page more.
  size_t size() const { return static_cast<size_t>(top_ - limit_); }
  // On this stack: whether a local variable at `address` is one of its own.
  // (AddressSanitizer keeps locals elsewhere, for each stack apart.)
  bool HoldsLocal(const void* address) const;

 private:
  friend class StackPool;
  void GiveBack() noexcept;

  StackSlab* slab_ = nullptr;
  uint32_t index_ = 0;  // which stack of the slab
  char* limit_ = nullptr;
  char* top_ = nullptr;
};

// `error` is empty if and only if there is a stack.
struct StackOrError {
  Stack stack;
  std::string error;
};

class StackPool {
 public:
  explicit StackPool(StackPoolOptions options = {});
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  // The process's own pool, with default options; never destroyed.
  static StackPool& Default();

  // A guarded stack. Its contents are unspecified.
  StackOrError Acquire();

  // Returns the memory of every stack that is not in use to the system.
  void Trim();

  StackPoolStats stats() const;
  const StackPoolOptions& options() const { return options_; }

 private:
  friend class Stack;
  struct Slot {
    StackSlab* slab;
    uint32_t index;
  };

  StackSlab* MapSlab(std::string& error);
  void UnmapSlab(StackSlab* slab);
  bool InstallGuard(char* guard, std::string& error);
  void MakeCold(Slot slot);
  void GiveBack(Slot slot);

  const StackPoolOptions options_;  // sizes rounded up, if they are in bounds
  const size_t stride_;  // guard, stack, and a page for the spread of its top

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<StackSlab>> slabs_;
  std::vector<StackSlab*> with_room_;  // with a cold or fresh stack
  std::vector<Slot> warm_;             // last in, first out
  StackPoolStats stats_;
};

// For the overflow report: finds the stack whose bounds, or whose guard,
// contain `address`, in any pool. Returns false if there is none.
// Async-signal-safe.
struct StackBounds {
  const char* guard = nullptr;
  const char* limit = nullptr;
  const char* end = nullptr;  // of the stack's address space, at or above top()
  size_t stack_size = 0;      // StackPoolOptions::stack_size
};
bool FindStack(const void* address, StackBounds& bounds) noexcept;

// The number of slabs unmapped so far. While it does not change, the bounds
// that FindStack() has found stay valid. Async-signal-safe.
uint64_t SlabsGone() noexcept;

}  // namespace greenback::context

#endif  // GREENBACK_CONTEXT_STACK_POOL_H_
