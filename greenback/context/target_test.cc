// Switches in functions that may use more registers than the rest of the
// program, by a `target` attribute of their own. Those registers are the
// caller's to save, so after a switch they hold what another flow left there.
#include <cstdint>
#include <exception>
#include <utility>

#include "greenback/context/stack_pool.h"
#include "greenback/context/switch.h"
#include "gtest/gtest.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// More values than there are registers.
#define EACH(x)                                                               \
  x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13)   \
      x(14) x(15) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23) x(24) x(25) \
          x(26) x(27) x(28) x(29) x(30) x(31) x(32) x(33) x(34) x(35)

namespace greenback::context {
namespace {

constexpr int kValues = 36;
constexpr int kRounds = 3;

// A fiber that calls `overwrite` each time that it is resumed.
struct Overwriter {
  explicit Overwriter(void (*overwrite)()) : overwrite(overwrite) {
    StackOrError made = StackPool::Default().Acquire();
    EXPECT_EQ(made.error, "");
    stack = std::move(made.stack);
    fiber = SavedContext::Create(stack, Main, this);
  }
  Overwriter(const Overwriter&) = delete;
  Overwriter& operator=(const Overwriter&) = delete;

  static void Main(void* argument) {
    Overwriter& self = *static_cast<Overwriter*>(argument);
    for (;;) {
      self.overwrite();
      Switch(self.fiber, self.test);
    }
  }

  void (*overwrite)();
  Stack stack;
  SavedContext test;
  SavedContext fiber;
};

#if defined(__x86_64__)

#define AVX512 __attribute__((noinline, target("avx512f,avx512bw,avx512vl")))

bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

AVX512 void OverwriteAvx512() {
#define OVERWRITE_VECTOR(i)                                          \
  asm volatile("vpternlogd $255, %%zmm" #i ", %%zmm" #i ", %%zmm" #i \
               :                                                     \
               :                                                     \
               : "xmm" #i)
  OVERWRITE_VECTOR(16);
  OVERWRITE_VECTOR(17);
  OVERWRITE_VECTOR(18);
  OVERWRITE_VECTOR(19);
  OVERWRITE_VECTOR(20);
  OVERWRITE_VECTOR(21);
  OVERWRITE_VECTOR(22);
  OVERWRITE_VECTOR(23);
  OVERWRITE_VECTOR(24);
  OVERWRITE_VECTOR(25);
  OVERWRITE_VECTOR(26);
  OVERWRITE_VECTOR(27);
  OVERWRITE_VECTOR(28);
  OVERWRITE_VECTOR(29);
  OVERWRITE_VECTOR(30);
  OVERWRITE_VECTOR(31);
#define OVERWRITE_MASK(i) \
  asm volatile("kxorq %%k" #i ", %%k" #i ", %%k" #i : : : "k" #i)
  OVERWRITE_MASK(0);
  OVERWRITE_MASK(1);
  OVERWRITE_MASK(2);
  OVERWRITE_MASK(3);
  OVERWRITE_MASK(4);
  OVERWRITE_MASK(5);
  OVERWRITE_MASK(6);
  OVERWRITE_MASK(7);
}

// One value.
template <class T>
AVX512 T Sum(Overwriter& other, const T* values) {
  T sum = 0;
  for (int i = 0; i < kValues; ++i) {
    Switch(other.test, other.fiber);
    sum += values[i];
  }
  return sum;
}

// As many as there are, of the types that the registers may hold.
template <class T>
AVX512 void AddInEachRound(Overwriter& other, T* values) {
#define LOAD(i) T value##i = values[i];
  EACH(LOAD)
#undef LOAD
  for (int round = 0; round < kRounds; ++round) {
    Switch(other.test, other.fiber);
#define ADD(i) value##i += round;
    EACH(ADD)
#undef ADD
  }
#define STORE(i) values[i] = value##i;
  EACH(STORE)
#undef STORE
}

AVX512 void AddMaskedInEachRound(Overwriter& other, __m512i* values) {
  const __m512i one = _mm512_set1_epi8(1);
#define LOAD(i) const __mmask64 mask##i = _mm512_test_epi8_mask(values[i], one);
  EACH(LOAD)
#undef LOAD
  for (int round = 0; round < kRounds; ++round) {
    Switch(other.test, other.fiber);
#define ADD(i) \
  values[i] = _mm512_mask_add_epi8(values[i], mask##i, values[i], one);
    EACH(ADD)
#undef ADD
  }
}

template <class T>
void ExpectValuesSurvive() {
  T values[kValues];
  for (int i = 0; i < kValues; ++i) values[i] = static_cast<T>(i);
  Overwriter other(OverwriteAvx512);
  EXPECT_EQ(Sum(other, values), static_cast<T>(kValues * (kValues - 1) / 2));
  AddInEachRound(other, values);
  for (int i = 0; i < kValues; ++i) {
    EXPECT_EQ(values[i], static_cast<T>(i + kRounds * (kRounds - 1) / 2)) << i;
  }
}

TEST(TargetTest, R29_Avx512ValuesSurvive) {
  if (!HasAvx512()) GTEST_SKIP() << "this processor has no AVX-512";
  ExpectValuesSurvive<double>();
  ExpectValuesSurvive<float>();
  ExpectValuesSurvive<int64_t>();
  ExpectValuesSurvive<uint16_t>();
}

TEST(TargetTest, R29_Avx512MasksSurvive) {
  if (!HasAvx512()) GTEST_SKIP() << "this processor has no AVX-512";
  alignas(64) unsigned char bytes[kValues][64];
  for (int i = 0; i < kValues; ++i) {
    for (int j = 0; j < 64; ++j) bytes[i][j] = (i * 7 + j * 5) & 3;
  }
  Overwriter other(OverwriteAvx512);
  AddMaskedInEachRound(other, reinterpret_cast<__m512i*>(bytes));
  for (int i = 0; i < kValues; ++i) {
    for (int j = 0; j < 64; ++j) {
      const int before = (i * 7 + j * 5) & 3;
      EXPECT_EQ(bytes[i][j], before & 1 ? before + kRounds : before)
          << i << " " << j;
    }
  }
}

#if defined(__cpp_exceptions)

AVX512 bool HasItsExceptionAfterASwitch(Overwriter& other) {
  try {
    throw 1;
  } catch (int) {
    Switch(other.test, other.fiber);
    return static_cast<bool>(std::current_exception());
  }
}

TEST(TargetTest, R29_ExceptionsInFlightSurviveInAvx512Functions) {
  if (!HasAvx512()) GTEST_SKIP() << "this processor has no AVX-512";
  Overwriter other(OverwriteAvx512);
  EXPECT_TRUE(HasItsExceptionAfterASwitch(other));
}

#endif

#endif

}  // namespace
}  // namespace greenback::context
