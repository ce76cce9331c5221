#include "greenback/context/switch.h"

#include <boost/context/detail/fcontext.hpp>
#include <cassert>
#include <cstdlib>

#include "greenback/context/exception_state.h"
#include "greenback/context/sanitizer.h"

// The first frame of a fiber: where unwinders, debuggers and walkers of frame
// pointers stop. Boost's own first frame leaves an address of code in the frame
// pointer and whatever the stack held above it. The arguments (a transfer_t in
// two registers) pass through, and what to call comes back in two. It is called
// from here, since a frame of C++ in between may use the frame pointer as it
// likes.
extern "C" {
greenback::context::internal::Jump::First greenback_context_start(
    boost::context::detail::transfer_t transfer);
void greenback_context_entry(boost::context::detail::transfer_t transfer);
}

#if defined(__x86_64__) && defined(__ELF__)
asm(R"(
  .text
  .p2align 4
  .type greenback_context_entry,@function
  .hidden greenback_context_entry
  .globl greenback_context_entry
greenback_context_entry:
  .cfi_startproc
  .cfi_undefined rip
  endbr64
  xorl %ebp, %ebp
  andq $-16, %rsp
  call greenback_context_start
  movq %rdx, %rdi
  call *%rax
  call abort@PLT
  ud2
  .cfi_endproc
  .size greenback_context_entry, .-greenback_context_entry
)");
#elif defined(__aarch64__) && defined(__ELF__)
asm(R"(
  .text
  .p2align 4
  .type greenback_context_entry,%function
  .hidden greenback_context_entry
  .globl greenback_context_entry
greenback_context_entry:
  .cfi_startproc
  .cfi_undefined x30
  hint #34
  mov x29, xzr
  mov x30, xzr
  bl greenback_context_start
  mov x8, x0
  mov x0, x1
  blr x8
  bl abort
  brk #0
  .cfi_endproc
  .size greenback_context_entry, .-greenback_context_entry
)");
#else
extern "C" void greenback_context_entry(
    boost::context::detail::transfer_t transfer) {
  const auto first = greenback_context_start(transfer);
  first.entry(first.argument);
  std::abort();  // entry returned
}
#endif

// `used`: called from the assembly alone.
extern "C" GREENBACK_SWITCHES __attribute__((used, visibility("hidden")))
greenback::context::internal::Jump::First
greenback_context_start(boost::context::detail::transfer_t transfer) {
  using greenback::context::internal::Jump;
  return Jump::Start(transfer.fctx, *static_cast<const Jump*>(transfer.data));
}

namespace greenback::context {
namespace internal {

void Jump::Go() {
  // Kept on the stack, not in `from`: they are this flow's own business.
  ExceptionState* const exceptions = ThreadExceptionState();
  const ExceptionState mine = *exceptions;
  *exceptions = {};
  void* const target = to->stack_pointer_;
  assert(target && "greenback: switch to a context that is not saved");
  to->stack_pointer_ = nullptr;
  void* const fake_stack =
      sanitizer::BeforeJump(from->sanitizer_, to->sanitizer_, last);

  const auto [stack_pointer, data] =
      boost::context::detail::jump_fcontext(target, this);

  const Jump& other = *static_cast<const Jump*>(data);
  *ThreadExceptionState() = mine;
  Arrive(fake_stack, stack_pointer, other);
}

void Jump::Arrive(void* fake_stack, void* stack_pointer, const Jump& jump) {
  jump.from->stack_pointer_ = stack_pointer;
  sanitizer::AfterJump(fake_stack, jump.from->sanitizer_, jump.last);
  // Last, as it may be the moment when the other side's stack goes.
  if (jump.left) jump.left(jump.argument);
}

Jump::First Jump::Start(void* stack_pointer, const Jump& jump) {
  // Copied first: the owner may use `to` again as soon as the flow runs.
  const First first = {jump.to->entry_, jump.to->argument_};
  Arrive(nullptr, stack_pointer, jump);
  return first;
}

}  // namespace internal

SavedContext SavedContext::Create(const Stack& stack, void (*entry)(void*),
                                  void* argument) {
  SavedContext context;
  context.stack_pointer_ = boost::context::detail::make_fcontext(
      stack.top(), stack.size(), &greenback_context_entry);
  context.entry_ = entry;
  context.argument_ = argument;
  sanitizer::OnCreate(context.sanitizer_, stack.limit(), stack.size());
  return context;
}

GREENBACK_SWITCHES void FinalSwitch(SavedContext& to, void (*left)(void*),
                                    void* argument) {
  SavedContext ended;
  internal::Jump{&ended, &to, left, argument, true}.Go();
  std::abort();  // an ended flow was continued
}

}  // namespace greenback::context
