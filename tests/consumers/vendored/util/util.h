#ifndef UTIL_UTIL_H_
#define UTIL_UTIL_H_

namespace util {

constexpr int Double(int number) { return 2 * number; }

}  // namespace util

#endif  // UTIL_UTIL_H_
