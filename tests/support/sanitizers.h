// Whether a sanitizer is at work, for tests of what it replaces, such as
// malloc(), and for tests that take too long with it. A test that is skipped
// says why.
#ifndef GREENBACK_TESTS_SUPPORT_SANITIZERS_H_
#define GREENBACK_TESTS_SUPPORT_SANITIZERS_H_

// g++ defines __SANITIZE_ADDRESS__ and __SANITIZE_THREAD__, clang has features.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GREENBACK_TEST_WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define GREENBACK_TEST_WITH_TSAN 1
#endif
#endif

namespace greenback {

#if defined(__SANITIZE_ADDRESS__) || defined(GREENBACK_TEST_WITH_ASAN)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || defined(GREENBACK_TEST_WITH_TSAN)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_SANITIZERS_H_
