// LeaveMark: shows in a log when a frame is left, and whether it was unwound.
//
//   const LeaveMark mark{log, "call"};  // adds "call left" or "call unwound"
#ifndef GREENBACK_TESTS_SUPPORT_LEAVE_MARK_H_
#define GREENBACK_TESTS_SUPPORT_LEAVE_MARK_H_

#include <exception>
#include <string>
#include <vector>

namespace greenback {

struct LeaveMark {
  std::vector<std::string>& log;
  std::string name;
  ~LeaveMark() {
    log.push_back(name +
                  (std::uncaught_exceptions() > 0 ? " unwound" : " left"));
  }
};

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_LEAVE_MARK_H_
