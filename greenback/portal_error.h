// PortalError: Await() was called where it may not suspend. AwaitableError:
// what was awaited cannot be awaited any more.
//
// A mistake of the program, not of the awaited work: fix the call instead of
// catching it. Code that has a synchronous way out asks HasPortal() first, or
// uses TryAwait(), which gives the text of both as a FailedPrecondition status.
// Builds without exceptions print what() and abort.
#ifndef GREENBACK_PORTAL_ERROR_H_
#define GREENBACK_PORTAL_ERROR_H_

#include <stdexcept>
#include <string>

namespace greenback {

class PortalError : public std::logic_error {
 public:
  enum class Reason {
    kNoTask,        // called outside any task
    kNoPortal,      // the task has opened none
    kBestowedNow,   // bestowed on itself, and no checkpoint since
    kNoAwaitScope,  // below a NoAwaitScope
    kWrongHost,     // what is awaited is for the tasks of another host
  };

  PortalError(Reason reason, const std::string& what)
      : std::logic_error(what), reason_(reason) {}

  Reason reason() const { return reason_; }

 private:
  Reason reason_;
};

// Something that can be awaited once was awaited again, or while it was being
// awaited, or after it was moved from; or a generator was sent a value too
// soon.
class AwaitableError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace greenback

#endif  // GREENBACK_PORTAL_ERROR_H_
