// What this process holds of the system, for tests that nothing leaks.
#ifndef GREENBACK_TESTS_SUPPORT_PROCESS_RESOURCES_H_
#define GREENBACK_TESTS_SUPPORT_PROCESS_RESOURCES_H_

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>

namespace greenback {

// Returns the number of open descriptors.
inline int CountDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return count - 1;  // the directory's own
}

// Returns the size of the address space, in bytes.
inline size_t AddressSpace() {
  size_t pages = 0;
  if (FILE* const file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Returns whether there is a child process, running or a zombie. Reaps none.
inline bool HasChildProcess() {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ||
         errno != ECHILD;
}

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_PROCESS_RESOURCES_H_
