#include "greenback/context/exception_state.h"

#include <cxxabi.h>

#include <type_traits>

namespace greenback::context {

static_assert(std::is_standard_layout_v<ExceptionState>);

// The ABI's struct is incomplete in <cxxabi.h>; ExceptionState has its layout.
__attribute__((noinline)) ExceptionState* ThreadExceptionState() noexcept {
  // The address is the thread's for good; asking the C++ library, in another
  // shared object, takes two calls more.
  thread_local constinit ExceptionState* of_thread = nullptr;
  // Keeps the compiler from finding out that this function, too, is `const`.
  asm volatile("" ::: "memory");
  if (of_thread == nullptr) [[unlikely]] {
    of_thread = reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  }
  return of_thread;
}

}  // namespace greenback::context
