#include "greenback/context/switch.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#include "greenback/context/exception_state.h"
#include "greenback/context/internal/jump.h"
#include "greenback/context/internal/sanitizer.h"
#if GREENBACK_FCONTEXT
#include <boost/context/detail/fcontext.hpp>
#endif

namespace greenback::context::internal {
namespace {

// Where a new flow begins. At the top of its stack.
struct Start : Place {
  void (*entry)(void*);
  void* argument;
  ControlWords control;
};

// What the first frame of a flow calls.
struct First {
  void (*entry)(void*);
  void* argument;
};

// What a jump passes to it.
#if GREENBACK_FCONTEXT
using Arrival = boost::context::detail::transfer_t;
Place* Other(Arrival arrival) {
  Place* const other = static_cast<Place*>(arrival.data);
  other->fcontext = arrival.fctx;
  return other;
}
Place* There(Arrival arrival) {
  return static_cast<Place*>(arrival.data)->there;
}
#else
struct Arrival {
  Place* other;
  Place* there;
};
Place* Other(Arrival arrival) { return arrival.other; }
Place* There(Arrival arrival) { return arrival.there; }
#endif

}  // namespace
}  // namespace greenback::context::internal

// The first frame of a fiber: where unwinders, debuggers and walkers of frame
// pointers stop, whatever the stack held above it. It is where a jump arrives;
// its arguments, in registers, pass through to greenback_context_start(), which
// returns a function and its argument in two registers. The function is called
// from here, since a frame of C++ in between may use the frame pointer as it
// likes. In front of it is a nop that does not run: unwinders that come from a
// jump to it look for a call there.
extern "C" {
greenback::context::internal::First greenback_context_start(
    greenback::context::internal::Arrival arrival);
void greenback_context_entry(greenback::context::internal::Arrival arrival);
}

#if defined(__x86_64__) && defined(__ELF__)
asm(R"(
  .text
  .p2align 4
  .type greenback_context_entry,@function
  .hidden greenback_context_entry
  .globl greenback_context_entry
  .cfi_startproc
  .cfi_undefined rip
  nop
greenback_context_entry:
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
  .cfi_startproc
  .cfi_undefined x30
  nop
greenback_context_entry:
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
void greenback_context_entry(greenback::context::internal::Arrival arrival) {
  const auto first = greenback_context_start(arrival);
  first.entry(first.argument);
  std::abort();  // entry returned
}
#endif

#if GREENBACK_FCONTEXT_BY_JUMP
// Where JumpTo() enters jump_fcontext(), and where that arrives. It leaves the
// red zone alone. There is no unwind information for the caller here, nor in
// jump_fcontext() itself, so unwinders stop.
asm(R"(
  .text
  .type greenback_context_jump_fcontext,@function
  .globl greenback_context_jump_fcontext
greenback_context_jump_fcontext:
  .cfi_startproc
  .cfi_undefined rip
  leaq -128(%rsp), %rsp
  pushq %rax
  leaq 1f(%rip), %rax
  pushq %rax
  jmpq *jump_fcontext@GOTPCREL(%rip)
1:
  endbr64
  popq %rcx
  leaq 128(%rsp), %rsp
  jmpq *%rcx
  .cfi_endproc
  .size greenback_context_jump_fcontext, .-greenback_context_jump_fcontext
)");
#endif

// `used`: called from the assembly alone.
extern "C" GREENBACK_SWITCHES
__attribute__((used, visibility("hidden"))) greenback::context::internal::First
greenback_context_start(greenback::context::internal::Arrival arrival) {
  using greenback::context::internal::Jump;
  using greenback::context::internal::Start;
  Jump& jump =
      static_cast<Jump&>(*greenback::context::internal::Other(arrival));
  const Start& start =
      static_cast<const Start&>(*greenback::context::internal::There(arrival));
  start.control.Load(jump.control);
  *jump.exceptions = {};
  Jump::Arrive(nullptr, jump);
  return {start.entry, start.argument};
}

namespace greenback::context {

#if GREENBACK_FCONTEXT && !GREENBACK_FCONTEXT_BY_JUMP
GREENBACK_SWITCHES internal::Place* internal::JumpTo(Place* there,
                                                     Place* here) {
  here->there = there;
  return Other(boost::context::detail::jump_fcontext(there->fcontext, here));
}
#endif

SavedContext SavedContext::Create(const Stack& stack, void (*entry)(void*),
                                  void* argument) {
  using internal::Start;
  SavedContext context;
  sanitizer::OnCreate(context.sanitizer_, stack.limit(), stack.size());
  const uintptr_t place =
      (reinterpret_cast<uintptr_t>(stack.top()) - sizeof(Start)) &
      ~uintptr_t{15};
  Start* const start = new (reinterpret_cast<void*>(place)) Start();
  start->entry = entry;
  start->argument = argument;
  start->control.Save();
#if GREENBACK_FCONTEXT
  start->fcontext = boost::context::detail::make_fcontext(
      start,
      static_cast<size_t>(reinterpret_cast<char*>(start) - stack.limit()),
      &greenback_context_entry);
#else
  start->stack_pointer = start;
  start->resume = reinterpret_cast<void*>(&greenback_context_entry);
#endif
  context.place_ = start;
  return context;
}

GREENBACK_SWITCHES void FinalSwitch(SavedContext& to, void (*left)(void*),
                                    void* argument) {
  SavedContext ended;
  internal::Jump jump;
  jump.Go(ended, to, /*last=*/true, left, argument);
  std::abort();  // an ended flow was continued
}

}  // namespace greenback::context
