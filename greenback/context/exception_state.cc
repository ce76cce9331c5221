#include "greenback/context/exception_state.h"

#include <cxxabi.h>

#include <type_traits>

namespace greenback::context {

static_assert(std::is_standard_layout_v<ExceptionState>);

// The ABI's struct is incomplete in <cxxabi.h>; ExceptionState has its layout.
__attribute__((noinline)) ExceptionState* ThreadExceptionState() noexcept {
  // Keeps the compiler from finding out that this function, too, is `const`.
  asm volatile("" ::: "memory");
  return reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

}  // namespace greenback::context
