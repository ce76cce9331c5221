// The jump of a switch: suspends the running flow of control and resumes
// another one. Internal to switch.h.
//
// On x86-64 and aarch64 it is a few instructions, inline. They are inline
// because a function that is called in one flow and returns in another puts the
// processor's return-stack buffer out of step, and then all returns out of the
// deepest synchronous code are mispredicted. That costs several times what the
// jump does.
//
// Elsewhere, and with GREENBACK_FCONTEXT
// (`--define=greenback_switch=fcontext`), it is jump_fcontext() of
// Boost.Context. Choose that where other code must find Boost's layout on a
// waiting stack, or with a hardware shadow stack, if Boost is built for one. On
// x86-64 jump_fcontext() pops its return address from the stack and jumps
// there; so it is entered by a jump, too, and the buffer stays in step. Where a
// shadow stack has to see the call, it is called.
//
// All of a program must be compiled alike. Functions with a `target` attribute
// may switch, except where the compiler cannot be told which of their registers
// the jump changes: with g++, functions for APX in a program that is not
// compiled for APX. The tiles of AMX keep their values only until the next
// switch, as they do only until the next call.
#ifndef GREENBACK_CONTEXT_INTERNAL_JUMP_H_
#define GREENBACK_CONTEXT_INTERNAL_JUMP_H_

// Builds that would fail later, silently or with a puzzling message.
#if defined(__has_feature)
#if __has_feature(safe_stack)
#error \
    "greenback does not support -fsanitize=safe-stack: the second stack that it gives each thread does not follow a switch"
#endif
#if __has_feature(shadow_call_stack)
#error \
    "greenback does not support -fsanitize=shadow-call-stack: the shadow stack that it gives each thread does not follow a switch"
#endif
#endif
#if defined(__x86_64__) && !defined(__LP64__)
#error "greenback does not support the x32 ABI (-mx32): compile with -m64"
#endif
#if defined(__x86_64__) && !(defined(__SSE2__) && defined(__MMX__))
#error \
    "greenback does not support -mno-sse, -mno-mmx and -mgeneral-regs-only: a switch keeps the floating-point control words"
#endif

#include <cstdint>

#if !defined(GREENBACK_FCONTEXT)
// (APX has registers that the list below does not name.)
#if defined(__ELF__) && defined(__LP64__) && \
    ((defined(__x86_64__) && !defined(__APX_F__)) || defined(__aarch64__))
#define GREENBACK_FCONTEXT 0
#else
#define GREENBACK_FCONTEXT 1
#endif
#endif

#if GREENBACK_FCONTEXT && defined(__ELF__) && defined(__LP64__) && \
    defined(__x86_64__) && !defined(__APX_F__) &&                  \
    !(defined(__CET__) && (__CET__ & 2))
#define GREENBACK_FCONTEXT_BY_JUMP 1
#else
#define GREENBACK_FCONTEXT_BY_JUMP 0
#endif

// The registers that a call may change, except the integer registers.
//
// JumpTo() is inlined into functions that may have a `target` attribute of
// their own, so the list includes the registers that only such a function can
// use: nothing that must survive the jump may be in one of them. clang accepts
// their names in every function. g++ accepts only the names that the function
// at hand can use, and the preprocessor does not know that function. For g++
// they are outputs that are never read, with two alternatives. The first is all
// of the registers; it is impossible without AVX-512, where the class "k" is
// empty. The second is memory. g++ prefers an alternative in which every
// operand is already in its place, before it compares the costs ("!"), so the
// second one also has an input that is never in its place: a zero in rax.
// (There are at most 30 operands, too few for the registers of APX as well.)
#if defined(__x86_64__)
#if defined(__clang__) || defined(__AVX512F__)
#define GREENBACK_CALL_CLOBBERS_AVX512                                        \
  "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",     \
      "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", \
      "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#define GREENBACK_OUTPUTS
#define GREENBACK_INPUTS
#define GREENBACK_IN(reg) reg
#else
#define GREENBACK_CALL_CLOBBERS_AVX512
#define GREENBACK_4_VECTORS                                                 \
  , "=v,!m"(vector_output), "=v,!m"(vector_output), "=v,!m"(vector_output), \
      "=v,!m"(vector_output)
#define GREENBACK_4_MASKS                                             \
  , "=k,!m"(mask_output), "=k,!m"(mask_output), "=k,!m"(mask_output), \
      "=k,!m"(mask_output)
#define GREENBACK_OUTPUTS                                     \
  GREENBACK_4_VECTORS GREENBACK_4_VECTORS GREENBACK_4_VECTORS \
      GREENBACK_4_VECTORS GREENBACK_4_MASKS GREENBACK_4_MASKS
#define GREENBACK_INPUTS "i,!a"(0)
#define GREENBACK_IN(reg) reg "," reg
#endif
#endif
// An assembler's input, or with -masm=intel an error.
#define GREENBACK_ATT_SYNTAX(input)                                        \
  "{" input                                                                \
  "|.error \"greenback does not support -masm=intel: compile without it\"" \
  "}"
#if defined(__clang__) && __clang_major__ >= 18
#define GREENBACK_CALL_CLOBBERS_APX                                            \
  "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", \
      "r27", "r28", "r29", "r30", "r31",
#else
#define GREENBACK_CALL_CLOBBERS_APX
#endif
#define GREENBACK_CALL_CLOBBERS                                             \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",   \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",         \
      GREENBACK_CALL_CLOBBERS_AVX512 GREENBACK_CALL_CLOBBERS_APX "st",      \
      "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "mm0", \
      "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "cc", "memory"

namespace greenback::context::internal {

#if defined(__x86_64__) && !defined(__clang__)
// Outputs in memory that are never read. Not on the stack, where they would
// make a waiting fiber larger. Functions for AVX-512 write to them.
__attribute__((visibility("hidden"))) inline volatile float vector_output;
__attribute__((visibility("hidden"))) inline volatile unsigned char mask_output;
#endif

#if GREENBACK_FCONTEXT

// A suspended flow. Lives on its stack.
struct Place {
  void* fcontext;
  Place* there;  // the flow that was resumed in its place
};

// Saves the running flow in `here` and resumes the one at `there`. Returns the
// `here` of the flow that resumes this one.
#if GREENBACK_FCONTEXT_BY_JUMP

// jump_fcontext(), on the way to which nothing here touches the stack pointer:
// a label in switch.cc.
extern "C" void greenback_context_jump_fcontext();

inline __attribute__((always_inline)) Place* JumpTo(Place* there, Place* here) {
  here->there = there;
  // On the way there, the target and the data; on the way back, what
  // jump_fcontext() returns.
  void* fcontext = there->fcontext;
  Place* data = here;
  void* address;
  asm volatile(
      GREENBACK_ATT_SYNTAX(
          "leaq 1f(%%rip), %%rax\n\t"
          "jmpq *greenback_context_jump_fcontext@GOTPCREL(%%rip)\n"
          "1:\n\t"
          "endbr64\n\t"
          "movq %%rax, %%rdi\n\t"
          "movq %%rdx, %%rsi")
      : "=" GREENBACK_IN("a")(address), "+" GREENBACK_IN("D")(fcontext),
        "+" GREENBACK_IN("S")(data) GREENBACK_OUTPUTS
      : GREENBACK_INPUTS
      : "rcx", "rdx", "r8", "r9", "r10", "r11", GREENBACK_CALL_CLOBBERS);
  data->fcontext = fcontext;
  return data;
}

#else

Place* JumpTo(Place* there, Place* here);

#endif

// jump_fcontext() does this.
struct ControlWords {
  void Save() {}
  void Load(const ControlWords&) const {}
};

#else

struct Place {
  void* stack_pointer;
  void* frame_pointer;
  void* base_pointer;  // some functions need it to find their frame
  void* resume;
};

// The instructions that load the other flow's registers, in a section of their
// own. Wherever a profiler or a debugger interrupts them, the unwinder must
// find the caller. Once the stack pointer belongs to the other flow, the unwind
// rules of the function that JumpTo() is inlined into are wrong. So these
// instructions are outside of that function, as if they were a function that
// the other flow had called, with `rules` that find the caller in its Place.
// (Changing the rules inside the function would save one direct jump; but some
// functions are compiled without unwind rules, and there the assembler accepts
// no directives for them.)
//
// clang 18 and older accept only one such function at a time; without rules,
// unwinders stop.
#if defined(__clang__) && __clang_major__ < 19
#define GREENBACK_CFI(directives)
#else
#define GREENBACK_CFI(directives) directives
#endif
// clang-format off
#define GREENBACK_BETWEEN_FLOWS(rules, instructions)                          \
  ".pushsection .text.greenback_context_jump, \"ax\", %%progbits\n\t"         \
  ".type greenback_context_jump_%=, %%function\n"                             \
  "greenback_context_jump_%=:\n\t"                                            \
  GREENBACK_CFI(".cfi_startproc\n\t" rules)                                   \
  instructions                                                                \
  GREENBACK_CFI(".cfi_endproc\n\t")                                           \
  ".size greenback_context_jump_%=, . - greenback_context_jump_%=\n\t"        \
  ".popsection\n"
// clang-format on

inline __attribute__((always_inline)) Place* JumpTo(Place* there, Place* here) {
  // A new flow finds both arguments where a function expects them. All other
  // registers are clobbered, as in a call; the compiler saves those that a call
  // would preserve, where they hold anything.
#if defined(__x86_64__)
  void* address;
  asm volatile(
      // clang-format off
      GREENBACK_ATT_SYNTAX(
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rsp, (%%rdi)\n\t"
      "movq %%rbp, 8(%%rdi)\n\t"
      "movq %%rbx, 16(%%rdi)\n\t"
      "movq %%rax, 24(%%rdi)\n\t"
      "jmp greenback_context_jump_%=\n\t"
      GREENBACK_BETWEEN_FLOWS(
          // The caller's stack pointer is (%rsi); rip, rbp and rbx lie there.
          ".cfi_escape 0x0f, 3, 0x74, 0, 0x06\n\t"
          ".cfi_escape 0x10, 16, 2, 0x74, 24\n\t"
          ".cfi_escape 0x10, 6, 2, 0x74, 8\n\t"
          ".cfi_escape 0x10, 3, 2, 0x74, 16\n\t",
          "movq (%%rsi), %%rsp\n\t"
          "movq 8(%%rsi), %%rbp\n\t"
          "movq 16(%%rsi), %%rbx\n\t"
          "jmpq *24(%%rsi)\n\t")
      "1:\n\t"
      "endbr64")
      // clang-format on
      : "=" GREENBACK_IN("a")(address), "+" GREENBACK_IN("D")(here),
        "+" GREENBACK_IN("S")(there) GREENBACK_OUTPUTS
      : GREENBACK_INPUTS
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        GREENBACK_CALL_CLOBBERS);
  return here;
#else
  register Place* x0 asm("x0") = here;
  register Place* x1 asm("x1") = there;
  asm volatile(
      "adr x9, 1f\n\t"
      "mov x10, sp\n\t"
      "stp x10, x29, [x0]\n\t"
      "stp x19, x9, [x0, #16]\n\t"
      "b greenback_context_jump_%=\n\t"
      // clang-format off
      GREENBACK_BETWEEN_FLOWS(
          // The caller's stack pointer is [x1]; x30, x29 and x19 lie there.
          ".cfi_escape 0x0f, 3, 0x71, 0, 0x06\n\t"
          ".cfi_escape 0x10, 30, 2, 0x71, 24\n\t"
          ".cfi_escape 0x10, 29, 2, 0x71, 8\n\t"
          ".cfi_escape 0x10, 19, 2, 0x71, 16\n\t",
          "ldp x10, x29, [x1]\n\t"
          "ldp x19, x16, [x1, #16]\n\t"
          "mov sp, x10\n\t"
          "br x16\n\t")
      // clang-format on
      "1:\n\t"
      "hint #36"  // bti j
      : "+r"(x0), "+r"(x1)
      :
      : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
        "x13", "x14", "x15", "x16", "x17", "x20", "x21", "x22", "x23", "x24",
        "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5",
        "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
        "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
        "v27", "v28", "v29", "v30", "v31",
#if !defined(__ANDROID__) && !defined(__Fuchsia__)
        "x18",  // the platform's own, there
#endif
        // The registers of SVE, which a function may use that has it as its
        // `target`. "v0" is all of z0.
        "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10",
        "p11", "p12", "p13", "p14", "p15", "cc", "memory");
  return x0;
#endif
}

// The floating-point control words of a flow: rounding, traps. Loading them
// takes longer than the jump, and they hardly ever differ, except for the
// status flags, which are preserved no more than by any call.
struct ControlWords {
#if defined(__x86_64__)
  void Save() {
    asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(sse), "=m"(x87));
  }
  // Replaces `present`.
  void Load(const ControlWords& present) const {
    if (((sse ^ present.sse) & ~kFlags) != 0) [[unlikely]] {
      asm volatile("ldmxcsr %0" : : "m"(sse));
    }
    if (x87 != present.x87) [[unlikely]] {
      asm volatile("fldcw %0" : : "m"(x87));
    }
  }

  static constexpr uint32_t kFlags = 0x3f;
  uint32_t sse;
  uint16_t x87;
#else
  void Save() { asm volatile("mrs %0, fpcr" : "=r"(fpcr)); }
  void Load(const ControlWords& present) const {
    if (fpcr != present.fpcr) [[unlikely]] {
      asm volatile("msr fpcr, %0" : : "r"(fpcr));
    }
  }

  uint64_t fpcr;
#endif
};

#endif

}  // namespace greenback::context::internal

#undef GREENBACK_CALL_CLOBBERS
#undef GREENBACK_CALL_CLOBBERS_APX
#undef GREENBACK_CALL_CLOBBERS_AVX512
#undef GREENBACK_OUTPUTS
#undef GREENBACK_INPUTS
#undef GREENBACK_IN
#undef GREENBACK_4_VECTORS
#undef GREENBACK_4_MASKS
#undef GREENBACK_ATT_SYNTAX
#undef GREENBACK_CFI
#undef GREENBACK_BETWEEN_FLOWS

#endif  // GREENBACK_CONTEXT_INTERNAL_JUMP_H_
