// NoMoreThreads: while it lives, this process can start no thread, as if it had
// too many. For tests of what happens then.
#ifndef GREENBACK_TESTS_SUPPORT_NO_MORE_THREADS_H_
#define GREENBACK_TESTS_SUPPORT_NO_MORE_THREADS_H_

#include <pthread.h>

#include <cstddef>
#include <cstdlib>

namespace greenback {

// Lets each new thread ask for a stack that no address space has room for. (The
// limit on their number, setrlimit(RLIMIT_NPROC), does not apply to root.)
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_getattr_default_np(&before_);
    SetStackSize(size_t{1} << 48);
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;
  ~NoMoreThreads() {
    size_t size = 0;
    pthread_attr_getstacksize(&before_, &size);
    SetStackSize(size);
    pthread_attr_destroy(&before_);
  }

 private:
  static void SetStackSize(size_t size) {
    pthread_attr_t attributes;
    pthread_getattr_default_np(&attributes);
    pthread_attr_setstacksize(&attributes, size);
    if (pthread_setattr_default_np(&attributes) != 0) std::abort();
    pthread_attr_destroy(&attributes);
  }

  pthread_attr_t before_;
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_NO_MORE_THREADS_H_
