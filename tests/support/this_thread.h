// IdOfThisThread(): on which thread a test is, for functions that Await() and
// may continue on another one.
#ifndef GREENBACK_TESTS_SUPPORT_THIS_THREAD_H_
#define GREENBACK_TESTS_SUPPORT_THIS_THREAD_H_

#include <thread>

namespace greenback {

// Not std::this_thread::get_id() where it is used: compilers keep its value in
// functions that Await().
inline __attribute__((noinline)) std::thread::id IdOfThisThread() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_THIS_THREAD_H_
