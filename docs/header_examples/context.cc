// Where the examples of greenback/context stand.
#include "greenback/context/context.h"

#include <optional>
#include <string>

namespace greenback::context {

namespace exception_state {
void Example() {
  // EXAMPLE greenback/context/exception_state.h 1
  // EXAMPLE greenback/context/exception_state.h 2
}
}  // namespace exception_state

namespace run_on_fiber {
struct Expr {};
std::optional<Expr> ParseRecursively(const std::string& text);
void Example(StackPool& pool, const std::string& text) {
  // EXAMPLE greenback/context/run_on_fiber.h 1
}
}  // namespace run_on_fiber

namespace stack_overflow {
int TooDeeplyNested();
int Example() {
  // EXAMPLE greenback/context/stack_overflow.h 1
  return 0;
}
}  // namespace stack_overflow

namespace stack_pool {
void Report(const std::string& error);
void RunBetween(char* limit, char* top);
void Example() {
  // EXAMPLE greenback/context/stack_pool.h 1
}
}  // namespace stack_pool

namespace switching {
void Example(const Stack& stack) {
  // EXAMPLE greenback/context/switch.h 1
}
}  // namespace switching

}  // namespace greenback::context
