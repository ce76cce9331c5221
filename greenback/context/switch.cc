#include "greenback/context/switch.h"

#include <boost/context/detail/fcontext.hpp>
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

// Where jump_fcontext returns to. Boost's ends in an indirect jump, which
// leaves the processor's stack of return addresses one too high: all returns
// that follow, out of the deepest synchronous code, would be mispredicted. A
// return here puts that right. (Boost's for aarch64 does end in a return.)
#if defined(__x86_64__) && defined(__ELF__)
asm(R"(
  .text
  .p2align 4
  .type greenback_context_jump,@function
  .globl greenback_context_jump
greenback_context_jump:
  .cfi_startproc
  leaq 1f(%rip), %rax
  pushq %rax
  .cfi_adjust_cfa_offset 8
  jmp jump_fcontext@PLT
1:
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size greenback_context_jump, .-greenback_context_jump
)");
#else
extern "C" GREENBACK_SWITCHES greenback::context::internal::Arrival
greenback_context_jump(void* to, greenback::context::internal::Jump* jump) {
  const auto [stack_pointer, data] =
      boost::context::detail::jump_fcontext(to, jump);
  return {stack_pointer,
          static_cast<const greenback::context::internal::Jump*>(data)};
}
#endif

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
